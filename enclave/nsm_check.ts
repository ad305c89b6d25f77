import { decodeAttestationDocument } from "../lib/attestation/document.ts";
import { Deadline } from "../lib/core/deadline.ts";
import { LAST_KNOWN_PCR } from "../lib/core/pcrs.ts";
import { encodeHex } from "../lib/core/encoding.ts";
import type { NsmClient } from "../lib/nsm/nsm_client.ts";

/** Milliseconds for which the NSM's last answer counts: the NSM takes one request at a time. */
const NSM_CHECK_MS = 10_000;

/** Check that the NSM answers, which reads the enclave's identity as well. */
export class NsmCheck {
  readonly #nsm: NsmClient | undefined;
  readonly #timeoutMs: number;
  #checkedAt = -Infinity;
  #answers = false;
  #pcrs: Readonly<Record<number, string>> = {};
  #moduleId: string | undefined;

  /**
   * Asks nothing yet.
   *
   * @param nsm The NSM, if there is one
   * @param timeoutMs Milliseconds that it may take
   */
  constructor(nsm: NsmClient | undefined, timeoutMs: number) {
    this.#nsm = nsm;
    this.#timeoutMs = timeoutMs;
  }

  /** The enclave's PCRs in hex, as the NSM's last document has them. */
  get pcrs(): Readonly<Record<number, string>> {
    return this.#pcrs;
  }

  /** Module id of the NSM, as its last document has it; undefined when there was none. */
  get moduleId(): string | undefined {
    return this.#moduleId;
  }

  /**
   * Asks the NSM for a document, unless it gave one just now, and reads the PCRs from it.
   *
   * @returns Whether it answers
   */
  async answers(): Promise<boolean> {
    if (this.#nsm === undefined) return false;
    if (performance.now() - this.#checkedAt < NSM_CHECK_MS) return this.#answers;
    this.#checkedAt = performance.now();
    this.#answers = await this.#read(this.#nsm).then(() => true, () => false);
    return this.#answers;
  }

  /** Forgets the last answer: a register was extended since. */
  forget(): void {
    this.#checkedAt = -Infinity;
  }

  async #read(nsm: NsmClient): Promise<void> {
    using deadline = new Deadline("ask the NSM", this.#timeoutMs, undefined, "nsm");
    const { pcrs, moduleId } = decodeAttestationDocument(
      await deadline.race(nsm.attest({}, { signal: deadline.signal })),
    );
    this.#moduleId = moduleId;
    this.#pcrs = Object.freeze(
      Object.fromEntries(
        [...pcrs].filter(([index]) => index <= LAST_KNOWN_PCR).map((
          [index, value],
        ) => [index, encodeHex(value)]),
      ),
    );
  }
}
