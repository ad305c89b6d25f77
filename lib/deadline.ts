import { TimeoutError } from "./errors.ts";

/** The longest time-out, in milliseconds: what a timer can hold (2^31 - 1). */
export const MAX_TIMEOUT_MS = 2_147_483_647;

const KMS_HINT =
  "Is the proxy on the parent running and reaching KMS? A longer timeoutMs helps only a slow one";

/**
 * One call's time budget together with the caller's AbortSignal. Dispose it to stop its timer.
 *
 * `signal` aborts with a {@link TimeoutError} when the time is up, or with the caller's own reason.
 */
export class Deadline implements Disposable {
  /** Aborts when the time is up or when the caller aborts. */
  readonly signal: AbortSignal;
  readonly #endsAt: number;
  readonly #timer: ReturnType<typeof setTimeout>;

  /**
   * @param what The operation, for the message: "decrypt"
   * @param timeoutMs Milliseconds from now, 1 to {@link MAX_TIMEOUT_MS}
   * @param signal The caller's signal, if there is one
   * @param hint Why there may be no answer. Default: of KMS
   */
  constructor(what: string, timeoutMs: number, signal?: AbortSignal, hint: string = KMS_HINT) {
    const timer = new AbortController();
    this.#endsAt = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => timer.abort(timedOut(what, timeoutMs, hint)), timeoutMs);
    this.signal = signal === undefined ? timer.signal : AbortSignal.any([timer.signal, signal]);
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
   * @param work What to wait for
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
   * @param delayMs How long, in milliseconds
   */
  async sleep(delayMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.race(new Promise<void>((resolve) => (timer = setTimeout(resolve, delayMs))));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Stops the timer. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

function timedOut(what: string, timeoutMs: number, hint: string): TimeoutError {
  return new TimeoutError(`Cannot ${what}: no answer within ${timeoutMs} ms`, { hint });
}
