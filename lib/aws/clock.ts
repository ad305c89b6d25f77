import type { Clock } from "./credentials_source.ts";

/**
 * The greatest difference of the two clocks that is made up for: a day, in milliseconds. Whoever finds more has
 * a clock to set: certificates are judged by it, too.
 */
export const MAX_CLOCK_OFFSET_MS = 86_400_000;

/**
 * This machine's clock, put right by what KMS shows. An enclave's clock drifts, and KMS refuses signatures that
 * are off by more than five minutes.
 *
 * KMS's time is taken from an answer over verified TLS only. Signatures go by it only after KMS refused one for its
 * time; whether credentials have expired is judged by the last answer, whatever it was.
 */
export class KmsClock {
  readonly #now: () => Date;
  #offsetMs = 0;
  #lastOffsetMs: number | undefined;
  #isCompared = false;

  /** KMS's time by its last answer, to judge credentials by; this machine's until there was one. */
  readonly ofLastAnswer: Clock = {
    now: () => new Date(this.#now().getTime() + (this.#lastOffsetMs ?? 0)),
    name: () => {
      if (this.#lastOffsetMs !== undefined) return "KMS's clock";
      return `this machine's clock, which ${
        this.#isCompared ? "is more than a day off KMS's" : "KMS has not confirmed"
      },`;
    },
  };

  /** @param now This machine's clock */
  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** Whether an answer has shown KMS's time, even one that is too far away to be believed. */
  get isCompared(): boolean {
    return this.#isCompared;
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
   * Notes what time it is by an answer.
   *
   * @param dateMs What KMS's answer, which has just come, shows: milliseconds since 1970, in whole seconds
   */
  compare(dateMs: number | undefined): void {
    if (dateMs === undefined) return;
    this.#isCompared = true;
    this.#lastOffsetMs = this.#believable(dateMs);
  }

  /**
   * Goes by KMS's time from now on, unless it is too far away to be believed.
   *
   * @param dateMs What KMS's answer, which has just come, shows: milliseconds since 1970, in whole seconds
   * @returns Whether it does
   */
  correct(dateMs: number | undefined): boolean {
    const offsetMs = dateMs === undefined ? undefined : this.#believable(dateMs);
    if (offsetMs === undefined) return false;
    this.#offsetMs = offsetMs;
    return true;
  }

  #believable(dateMs: number): number | undefined {
    const offsetMs = dateMs - this.#now().getTime();
    return Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS ? offsetMs : undefined;
  }
}
