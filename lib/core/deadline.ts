import { TimeoutError } from "./errors.ts";
import { TIMEOUT_STAGES, type TimeoutStage } from "./timeout_stage.ts";

/** Longest time-out, in milliseconds: the most that a timer can hold (2^31 - 1). */
export const MAX_TIMEOUT_MS = 2_147_483_647;

/**
 * Time budget of one call, together with the caller's AbortSignal. Dispose it to stop its timer and to leave the
 * caller's signal.
 *
 * `signal` aborts with a {@link TimeoutError} when the time is up, or with the caller's own reason.
 */
export class Deadline implements Disposable {
  /** Signal that aborts when the time is up or the caller aborts. */
  readonly signal: AbortSignal;
  /** Stage that the call is in. Set it before each wait: the error names the one during which the time was up. */
  stage: TimeoutStage;
  readonly #endsAt: number;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #leaveCaller: (() => void) | undefined;

  /**
   * Starts the timer.
   *
   * @param what Name of the operation, for the message: "decrypt"
   * @param timeoutMs Milliseconds from now, 1 to {@link MAX_TIMEOUT_MS}
   * @param signal Signal of the caller, if there is one
   * @param stage First stage. Default: `process`, which waits for nothing outside
   */
  constructor(what: string, timeoutMs: number, signal?: AbortSignal, stage: TimeoutStage = "process") {
    const controller = new AbortController();
    this.signal = controller.signal;
    this.stage = stage;
    this.#endsAt = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => controller.abort(timedOut(what, timeoutMs, this.stage)), timeoutMs);
    this.#leaveCaller = signal && follow(signal, controller);
  }

  /** Milliseconds left, never below zero; zero once the signal has aborted. */
  get remainingMs(): number {
    return this.signal.aborted ? 0 : Math.max(0, this.#endsAt - performance.now());
  }

  /** Throws the reason if the time is up or the caller aborted. */
  throwIfPassed(): void {
    this.signal.throwIfAborted();
  }

  /**
   * Settles as `work` does, or rejects when the deadline passes first; `work` itself goes on.
   *
   * @param work Work to wait for
   */
  async race<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    this.throwIfPassed();
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(this.signal.reason);
    this.signal.addEventListener("abort", onAbort);
    try {
      return await Promise.race([work, promise]);
    } finally {
      this.signal.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Waits, or rejects when the deadline passes first.
   *
   * @param delayMs Milliseconds
   */
  async sleep(delayMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.race(new Promise<void>((resolve) => (timer = setTimeout(resolve, delayMs))));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Stops the timer, and leaves the caller's signal. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#leaveCaller?.();
  }
}

/** Follows a signal as `AbortSignal.any` does, which costs three times as much and keeps signals until collected. */
function follow(signal: AbortSignal, controller: AbortController): () => void {
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}

function timedOut(what: string, timeoutMs: number, stage: TimeoutStage): TimeoutError {
  const { missing, hint } = TIMEOUT_STAGES[stage];
  return new TimeoutError(`Cannot ${what}: ${missing} within ${timeoutMs} ms`, { hint, stage });
}
