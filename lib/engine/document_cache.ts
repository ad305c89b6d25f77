import type { Deadline } from "../deadline.ts";
import type { Recipient } from "./recipient.ts";

/**
 * A recipient's attestation document, asked for once and used again for a while: a real NSM takes one
 * request at a time. Calls that need one at the same time wait for the same request.
 */
export class DocumentCache {
  readonly #recipient: Recipient;
  readonly #maxAgeMs: number;
  #document: Uint8Array | undefined;
  #askedAt = 0;
  #pending: Promise<Uint8Array> | undefined;

  /**
   * @param recipient Whose document
   * @param maxAgeMs How long it is used again, in milliseconds; 0 for never
   */
  constructor(recipient: Recipient, maxAgeMs: number) {
    this.#recipient = recipient;
    this.#maxAgeMs = maxAgeMs;
  }

  /**
   * @param deadline When this caller gives up; the others go on waiting
   * @returns COSE_Sign1, at most `maxAgeMs` old
   * @throws {AttestationError} When the NSM is absent or refuses
   * @throws {TimeoutError} When the deadline passes
   */
  async get(deadline: Deadline): Promise<Uint8Array> {
    deadline.throwIfPassed();
    if (this.#document !== undefined && performance.now() - this.#askedAt < this.#maxAgeMs) {
      return this.#document;
    }
    const pending = this.#pending ??= this.#ask();
    try {
      return await deadline.race(pending);
    } catch (error) {
      // Whoever comes next must not wait for an NSM that fell silent.
      if (this.#pending === pending) this.#pending = undefined;
      throw error;
    }
  }

  async #ask(): Promise<Uint8Array> {
    const askedAt = performance.now();
    const document = await this.#recipient.attestationDocument();
    this.#document = document;
    this.#askedAt = askedAt;
    this.#pending = undefined;
    return document;
  }
}
