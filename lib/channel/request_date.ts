import { SEALED_KEPT_MS, SEALED_PAST_MS } from "../wire/sealed_fields.ts";

/** Reads how many milliseconds have passed. */
export type Elapsed = () => number;

/** Starts to measure time. One of the two clocks may stand still while the machine sleeps, the other may be set. */
export function startClocks(): Elapsed {
  const [wall, steady] = [Date.now(), performance.now()];
  return () => Math.max(Date.now() - wall, performance.now() - steady);
}

/**
 * Date of a request to one boot of an enclave, which takes the request's id once, as long as it remembers it.
 *
 * The date stays the same when the request is sealed again: under a later one it could be served after its id is
 * forgotten. A refusal of the date alone does not say that the request was not served: whoever carries it may have had it
 * served in time, and then sent it again.
 */
export class RequestDate {
  #ms: number;
  readonly #elapsed: Elapsed = startClocks();
  /** Whether the date is the enclave's own. */
  isCorrected = false;

  /** @param ms Milliseconds since 1970, by this side's idea of the enclave's clock */
  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Milliseconds since 1970. */
  get ms(): number {
    return this.#ms;
  }

  /**
   * Tells whether the enclave certainly has not served the request, and will serve it once only if it gets a later date.
   *
   * @param enclaveMs Time by the enclave's clock when it refused the date; what was cut off makes it earlier
   */
  isUnserved(enclaveMs: number): boolean {
    const second = Math.floor(this.#ms / 1000) * 1000;
    // One that is ahead can get in later, as long as the id of the one after is remembered.
    if (second > enclaveMs) return second - enclaveMs <= SEALED_KEPT_MS;
    return enclaveMs - this.#elapsed() - second > SEALED_PAST_MS;
  }

  /**
   * Takes the enclave's own time.
   *
   * @param enclaveMs Milliseconds since 1970
   */
  correct(enclaveMs: number): void {
    this.#ms = enclaveMs;
    this.isCorrected = true;
  }
}
