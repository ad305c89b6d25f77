/** A fixed number of slots: who finds none free waits in line. */
export class Slots {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** @param count Number of slots, at least 1 */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Takes a slot, waiting for one if need be.
   *
   * @param signal Ends the wait: the promise rejects with its reason
   * @returns The slot, which its disposal frees
   */
  async take(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free === 0) await this.#turn(signal);
    else this.#free--;
    return { [Symbol.dispose]: () => this.#release() };
  }

  // Who leaves hands the slot straight to the next in line, so nobody can slip in between.
  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const admit = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(signal.reason);
      };
      this.#waiting.push(admit);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
