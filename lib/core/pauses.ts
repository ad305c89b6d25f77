/** Lengths of pauses between tries, in milliseconds. */
export interface PauseLimits {
  /** Pause after the first failure. */
  readonly firstMs: number;
  /** Longest pause. */
  readonly maxMs: number;
}

/**
 * Pauses between tries of something that fails. Each is twice as long as the one before, up to a limit, and shortened
 * by up to half at random, so that many enclaves do not ask at the same moment. It has no timer: the caller makes the
 * next try once the pause is over.
 */
export class Pauses {
  readonly #limits: PauseLimits;
  readonly #random: () => number;
  #failures = 0;
  #endsAt = -Infinity;

  /**
   * Starts without a pause.
   *
   * @param limits Lengths of the pauses
   * @param random Source of numbers from 0 to below 1
   */
  constructor(limits: PauseLimits, random: () => number = Math.random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Whether the next try may be made, as it may before the first failure. */
  get areOver(): boolean {
    return this.remainingMs === 0;
  }

  /** Milliseconds until the pause is over; 0 when it is. */
  get remainingMs(): number {
    return Math.max(0, this.#endsAt - performance.now());
  }

  /** Begins the next, longer pause. */
  begin(): void {
    const { firstMs, maxMs } = this.#limits;
    const longestMs = Math.min(maxMs, firstMs * 2 ** this.#failures++);
    this.#endsAt = performance.now() + longestMs * (1 - this.#random() / 2);
  }

  /** Ends the pause after a success: the next one is the first again. */
  reset(): void {
    this.#failures = 0;
    this.#endsAt = -Infinity;
  }
}
