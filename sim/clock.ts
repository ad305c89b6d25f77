/**
 * The clock of the simulated world. An enclave's own clock drifts; here the world's is moved instead, and the
 * process that runs the code under test keeps its own.
 */
export class SimulatedClock {
  /** Lead of the world over the process, in milliseconds. It may be negative, and may change at any time. */
  offsetMs = 0;
  /** The process's clock, milliseconds since 1970. */
  readonly base: () => number;

  /**
   * Makes a clock that shows what the process's does, until it is moved.
   *
   * @param base The process's clock, milliseconds since 1970
   */
  constructor(base: () => number = Date.now) {
    this.base = base;
  }

  /** The world's time, milliseconds since 1970. */
  readonly now = (): number => this.base() + this.offsetMs;
}
