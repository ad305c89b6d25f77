import type { Deadline } from "../deadline.ts";
import type { NsmLine } from "./nsm_line.ts";
import { MAX_SILENCE_MS } from "./nsm_line.ts";
import type { Recipient } from "./recipient.ts";

/** The next document is asked for when this part of the age limit has passed. */
const REFRESH_AT = 0.75;

/**
 * A recipient's attestation document, asked for once and used again for a while: a real NSM takes one
 * request at a time. Calls that need one at the same time wait for the same request.
 *
 * A document that is soon too old is replaced in the background, so under steady load nobody waits for the NSM.
 * After a pause the first call does.
 */
export class DocumentCache {
  readonly #recipient: Recipient;
  readonly #maxAgeMs: number;
  readonly #line: NsmLine;
  #document: Uint8Array | undefined;
  #askedAt = 0;
  #question: { readonly answer: Promise<Uint8Array>; readonly since: number } | undefined;

  /**
   * @param recipient Whose document
   * @param maxAgeMs How long it is used again, in milliseconds; 0 for never
   * @param line Where questions to the NSM wait for each other
   */
  constructor(recipient: Recipient, maxAgeMs: number, line: NsmLine) {
    this.#recipient = recipient;
    this.#maxAgeMs = maxAgeMs;
    this.#line = line;
  }

  /**
   * @param deadline When this caller gives up; the others go on waiting, and so does who comes next: an NSM that
   *   is silent is not asked again before {@link MAX_SILENCE_MS}
   * @returns COSE_Sign1, at most `maxAgeMs` old
   * @throws {AttestationError} When the NSM is absent or refuses
   * @throws {TimeoutError} When the deadline passes
   */
  async get(deadline: Deadline): Promise<Uint8Array> {
    deadline.throwIfPassed();
    const ageMs = performance.now() - this.#askedAt;
    if (this.#document === undefined || ageMs >= this.#maxAgeMs) return await deadline.race(this.#ask());
    // Whoever needs the answer asks again if there is none.
    if (ageMs >= this.#maxAgeMs * REFRESH_AT) this.#ask().catch(() => {});
    return this.#document;
  }

  #ask(): Promise<Uint8Array> {
    const running = this.#question;
    const now = performance.now();
    if (running !== undefined && now - running.since < MAX_SILENCE_MS) return running.answer;
    const question = { since: now, answer: this.#line.run(() => this.#renew()) };
    this.#question = question;
    const forget = () => {
      if (this.#question === question) this.#question = undefined;
    };
    question.answer.then(forget, forget);
    return question.answer;
  }

  async #renew(): Promise<Uint8Array> {
    const askedAt = performance.now();
    const document = await this.#recipient.attestationDocument();
    if (askedAt >= this.#askedAt) {
      this.#document = document;
      this.#askedAt = askedAt;
    }
    return document;
  }
}
