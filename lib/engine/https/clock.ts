/**
 * The greatest difference of the two clocks that is made up for: a day, in milliseconds. Whoever finds more has
 * a clock to set: certificates are judged by it, too.
 */
export const MAX_CLOCK_OFFSET_MS = 86_400_000;

/**
 * This machine's clock, put right by what KMS shows. An enclave's clock drifts, and KMS refuses signatures that
 * are off by more than five minutes.
 *
 * KMS's time is taken from an answer over verified TLS only, and only after KMS refused a signature for its time.
 */
export class KmsClock {
  readonly #now: () => Date;
  #offsetMs = 0;

  /** @param now This machine's clock */
  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** What is added to this machine's time, in milliseconds: above zero if KMS is ahead. Zero until corrected. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** KMS's time, as far as it is known. */
  now(): Date {
    return new Date(this.#now().getTime() + this.#offsetMs);
  }

  /**
   * Goes by KMS's time from now on, unless it is too far away to be believed.
   *
   * @param dateMs What KMS's answer, which has just come, shows: milliseconds since 1970, in whole seconds
   * @returns Whether it does
   */
  correct(dateMs: number | undefined): boolean {
    if (dateMs === undefined) return false;
    const offsetMs = dateMs - this.#now().getTime();
    if (!(Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS)) return false;
    this.#offsetMs = offsetMs;
    return true;
  }
}
