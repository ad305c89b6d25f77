import { OverloadedError } from "./service_errors.ts";

/** Share of the queue that one connection or caller may have, and at least one place. */
const QUEUE_SHARES = 16;

/** Key that requests take turns by: a connection, or a caller who proved who they are, as a text. */
export type TurnKey = object | string;

/** Limits of an {@link Admission}. */
export interface AdmissionLimits {
  /** Requests that run at once; at least 1. */
  readonly maxRunning: number;
  /** Requests that wait; 0 or more. Of one connection or caller a sixteenth, and at least one. */
  readonly maxWaiting: number;
}

/** Lets one waiting request in. */
type Admit = () => void;

/**
 * Bounds how many requests run at once, and how many wait. Connections and callers take turns: before a request that
 * waits, at most one of each other is let in.
 */
export class Admission {
  #limits: AdmissionLimits;
  /** Waiting requests by connection or caller; whoever has the next turn comes first. */
  readonly #waiting = new Map<TurnKey, Set<Admit>>();
  #waitingCount = 0;
  #running = 0;

  /**
   * @param maxRunning At least 1
   * @param maxWaiting 0 or more; of one connection a sixteenth, and at least one
   */
  constructor(maxRunning: number, maxWaiting: number) {
    this.#limits = { maxRunning, maxWaiting };
  }

  /** Limits in force. */
  get limits(): AdmissionLimits {
    return this.#limits;
  }

  /** Changes the limits. What runs or waits already stays; those who wait are let in when more may run. */
  set limits(limits: AdmissionLimits) {
    this.#limits = limits;
    while (this.#running < limits.maxRunning && this.#waitingCount > 0) {
      this.#running++;
      this.#leave();
    }
  }

  /** Number of requests that run or wait. */
  get inside(): number {
    return this.#running + this.#waitingCount;
  }

  /**
   * Waits until the request may run.
   *
   * @param by Key that the request takes turns by
   * @param signal Ends the wait; the promise rejects with its reason
   * @returns Turn, to be disposed when the request is over
   * @throws {OverloadedError} At once, when too many wait already, altogether or of this connection
   */
  async enter(by: TurnKey, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#running < this.#limits.maxRunning) this.#running++;
    else if (!this.#hasPlace(by)) throw new OverloadedError();
    else await this.#turn(by, signal);
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#leave();
        left = true;
      },
    };
  }

  #hasPlace(by: TurnKey): boolean {
    const own = this.#waiting.get(by)?.size ?? 0;
    const { maxWaiting } = this.#limits;
    return this.#waitingCount < maxWaiting && own < Math.max(1, Math.floor(maxWaiting / QUEUE_SHARES));
  }

  // The place goes straight to the next in line, so that nobody slips in between.
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined || this.#running > this.#limits.maxRunning) return void this.#running--;
    const [by, [admit]] = next;
    admit?.();
    // Whoever has had a turn goes behind the others.
    const others = this.#waiting.get(by);
    if (others === undefined) return;
    this.#waiting.delete(by);
    this.#waiting.set(by, others);
  }

  #turn(by: TurnKey, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const admit = () => {
      this.#remove(by, admit);
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = () => {
      this.#remove(by, admit);
      reject(signal.reason);
    };
    const own = this.#waiting.get(by) ?? new Set();
    this.#waiting.set(by, own.add(admit));
    this.#waitingCount++;
    signal.addEventListener("abort", giveUp, { once: true });
    return promise;
  }

  #remove(by: TurnKey, admit: Admit): void {
    const own = this.#waiting.get(by);
    if (own?.delete(admit) !== true) return;
    this.#waitingCount--;
    if (own.size === 0) this.#waiting.delete(by);
  }
}
