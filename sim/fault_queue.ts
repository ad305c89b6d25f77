/** For how long a fault lasts. */
export interface FaultTimes {
  /** How many requests it hits, 1 or more. Default: all, until it is ended. */
  readonly times?: number | undefined;
}

/** The faults in force. The one injected last comes first; each request takes one. */
export class FaultQueue<Fault> {
  #entries: { readonly fault: Fault; left: number }[] = [];

  /**
   * @param fault What to do
   * @param options For how many requests
   * @returns What ends it
   * @throws {RangeError} When `times` is not a whole number above 0
   */
  add(fault: Fault, { times = Infinity }: FaultTimes): Disposable {
    if (times !== Infinity && (!Number.isSafeInteger(times) || times < 1)) {
      throw new RangeError("times has to be a whole number above 0");
    }
    const entry = { fault, left: times };
    this.#entries.unshift(entry);
    return {
      [Symbol.dispose]: () => void (this.#entries = this.#entries.filter((other) => other !== entry)),
    };
  }

  /**
   * The fault for one request, if any.
   *
   * @param matches Which faults come into question
   */
  take(matches: (fault: Fault) => boolean = () => true): Fault | undefined {
    const entry = this.#entries.find(({ fault }) => matches(fault));
    if (entry === undefined) return undefined;
    if (--entry.left === 0) this.#entries = this.#entries.filter((other) => other !== entry);
    return entry.fault;
  }

  /** Ends all. */
  clear(): void {
    this.#entries = [];
  }
}
