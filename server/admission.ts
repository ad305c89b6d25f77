import { OverloadedError } from "./service_errors.ts";

/** How many requests run at once, and how many may wait for their turn. */
export class Admission {
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /**
   * @param maxRunning At least 1
   * @param maxWaiting 0 or more
   */
  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning;
    this.#maxWaiting = maxWaiting;
  }

  /** How many run or wait. */
  get inside(): number {
    return this.#running + this.#waiting.size;
  }

  /**
   * Waits for a turn, in order of arrival.
   *
   * @param signal Ends the wait; the promise rejects with its reason
   * @returns What to dispose when the request is over
   * @throws {OverloadedError} At once, when too many wait already
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#running < this.#maxRunning) this.#running++;
    else if (this.#waiting.size >= this.#maxWaiting) throw new OverloadedError();
    else await this.#turn(signal);
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#leave();
        left = true;
      },
    };
  }

  // The place goes straight to the next in line, so that nobody slips in between.
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#running--;
    else next();
  }

  #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const admit = () => {
      this.#waiting.delete(admit);
      signal.removeEventListener("abort", giveUp);
      resolve();
    };
    const giveUp = () => {
      this.#waiting.delete(admit);
      reject(signal.reason);
    };
    this.#waiting.add(admit);
    signal.addEventListener("abort", giveUp, { once: true });
    return promise;
  }
}
