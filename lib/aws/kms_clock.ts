import type { Clock } from "./credentials_source.ts";

/**
 * Greatest difference of the two clocks that is corrected: a day, in milliseconds. A larger one means that this clock
 * must be set: certificates are judged by it, too.
 */
export const MAX_CLOCK_OFFSET_MS = 86_400_000;

/**
 * This machine's clock, corrected by KMS's time. An enclave's clock drifts, and KMS refuses signatures that are off by
 * more than five minutes.
 *
 * KMS's time is taken from an answer over verified TLS only. Signatures use it only after KMS refused one for its
 * time; the expiration of credentials is judged by the last answer, whatever it was.
 */
export class KmsClock {
  readonly #now: () => Date;
  readonly #sinceStart: () => number;
  /** Time of the last answer, and when it came by a clock that nobody sets; both in milliseconds. */
  #lastAnswer: { readonly dateMs: number; readonly cameAtMs: number } | undefined;
  #offsetMs = 0;
  #lastOffsetMs: number | undefined;
  #isCompared = false;

  /** Clock by KMS's last answer, to judge credentials by; this machine's until there was one. */
  readonly ofLastAnswer: Clock = {
    now: () => new Date(this.#now().getTime() + (this.#lastOffsetMs ?? 0)),
    name: () => {
      if (this.#lastOffsetMs !== undefined) return "KMS's clock";
      return `this machine's clock, which ${
        this.#isCompared ? "is more than a day off KMS's" : "KMS has not confirmed"
      },`;
    },
  };

  /**
   * Starts uncorrected.
   *
   * @param now Clock of this machine
   * @param sinceStart Clock in milliseconds that nobody sets and that never goes back
   */
  constructor(now: () => Date = () => new Date(), sinceStart: () => number = () => performance.now()) {
    this.#now = now;
    this.#sinceStart = sinceStart;
  }

  /** Whether an answer has shown KMS's time, even one that is too far away to be believed. */
  get isCompared(): boolean {
    return this.#isCompared;
  }

  /**
   * Time by KMS's last answer and what has passed since, in milliseconds since 1970, whatever this machine's clock was
   * set to meanwhile. Undefined until an answer told a time, and when the last one told one that is not believed. Whoever
   * holds an answer back makes it that much too early.
   */
  get timeMs(): number | undefined {
    const last = this.#lastAnswer;
    return last === undefined ? undefined : last.dateMs + this.#sinceStart() - last.cameAtMs;
  }

  /** Milliseconds that are added to this machine's time: above zero if KMS is ahead. Zero until corrected. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Tells KMS's time, as far as it is known. */
  now(): Date {
    return new Date(this.#now().getTime() + this.#offsetMs);
  }

  /**
   * Notes the time of an answer.
   *
   * @param dateMs Time in KMS's answer, which has just come: milliseconds since 1970, in whole seconds
   */
  compare(dateMs: number | undefined): void {
    if (dateMs === undefined) return;
    this.#isCompared = true;
    this.#lastOffsetMs = this.#believable(dateMs);
    const isBelieved = this.#lastOffsetMs !== undefined;
    this.#lastAnswer = isBelieved ? { dateMs, cameAtMs: this.#sinceStart() } : undefined;
  }

  /**
   * Uses KMS's time from now on, unless it is too far away to be believed.
   *
   * @param dateMs Time in KMS's answer, which has just come: milliseconds since 1970, in whole seconds
   * @returns Whether it is used
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
