import { OverloadedError } from "./service_errors.ts";

/** Share of the queue that one connection may have, and at least one place. */
const QUEUE_SHARES = 16;

/** Lets one waiting request in. */
type Admit = () => void;

/**
 * Bounds how many requests run at once, and how many wait. Connections take turns: before a request that waits,
 * at most one of each other connection is let in.
 */
export class Admission {
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  readonly #maxWaitingEach: number;
  /** Waiting requests by connection; the connection whose turn is next comes first. */
  readonly #waiting = new Map<object, Set<Admit>>();
  #waitingCount = 0;
  #running = 0;

  /**
   * @param maxRunning At least 1
   * @param maxWaiting 0 or more; of one connection a sixteenth, and at least one
   */
  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning;
    this.#maxWaiting = maxWaiting;
    this.#maxWaitingEach = Math.max(1, Math.floor(maxWaiting / QUEUE_SHARES));
  }

  /** Number of requests that run or wait. */
  get inside(): number {
    return this.#running + this.#waitingCount;
  }

  /**
   * Waits until the request may run.
   *
   * @param connection Identifies the connection that the request came over
   * @param signal Ends the wait; the promise rejects with its reason
   * @returns Turn, to be disposed when the request is over
   * @throws {OverloadedError} At once, when too many wait already, altogether or of this connection
   */
  async enter(connection: object, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#running < this.#maxRunning) this.#running++;
    else if (!this.#hasPlace(connection)) throw new OverloadedError();
    else await this.#turn(connection, signal);
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#leave();
        left = true;
      },
    };
  }

  #hasPlace(connection: object): boolean {
    const own = this.#waiting.get(connection)?.size ?? 0;
    return this.#waitingCount < this.#maxWaiting && own < this.#maxWaitingEach;
  }

  // The place goes straight to the next in line, so that nobody slips in between.
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) return void this.#running--;
    const [connection, [admit]] = next;
    admit?.();
    // Whoever has had a turn goes behind the others.
    const others = this.#waiting.get(connection);
    if (others === undefined) return;
    this.#waiting.delete(connection);
    this.#waiting.set(connection, others);
  }

  #turn(connection: object, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const admit = () => {
      this.#remove(connection, admit);
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = () => {
      this.#remove(connection, admit);
      reject(signal.reason);
    };
    const own = this.#waiting.get(connection) ?? new Set();
    this.#waiting.set(connection, own.add(admit));
    this.#waitingCount++;
    signal.addEventListener("abort", giveUp, { once: true });
    return promise;
  }

  #remove(connection: object, admit: Admit): void {
    const own = this.#waiting.get(connection);
    if (own?.delete(admit) !== true) return;
    this.#waitingCount--;
    if (own.size === 0) this.#waiting.delete(connection);
  }
}
