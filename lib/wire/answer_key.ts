import { concatBytes } from "../core/bytes.ts";
import { ProtocolError } from "../core/errors.ts";
import type { Suite } from "./hpke_suites.ts";

/** Request and its context, by which both ends find the key of the answer. */
export interface Exchange {
  readonly context: { Export(label: Uint8Array, length: number): Promise<Uint8Array> };
  readonly suite: Suite;
  readonly encapsulatedKey: Uint8Array;
}

/** Labels of the secrets that answers are sealed by. */
export type AnswerLabel = "message/bhttp response" | "message/bhttp chunked response";

/**
 * Derives the key and nonce of an answer (RFC 9458, section 4.4).
 *
 * @param exchange The request
 * @param answerNonce Nonce that the answer begins with, as long as the key
 * @param label Label of the form of the answer
 * @returns The key, for the caller to wipe, and the nonce
 */
export async function answerKey(
  { context, suite, encapsulatedKey }: Exchange,
  answerNonce: Uint8Array,
  label: AnswerLabel,
): Promise<{ key: Uint8Array; nonce: Uint8Array }> {
  const { aead, kdf } = suite;
  const secret = await context.Export(ascii(label), aead.Nk);
  const prk = await kdf.Extract(concatBytes([encapsulatedKey, answerNonce]), secret);
  secret.fill(0);
  const key = await kdf.Expand(prk, ascii("key"), aead.Nk);
  const nonce = await kdf.Expand(prk, ascii("nonce"), aead.Nn);
  prk.fill(0);
  return { key, nonce };
}

/** Encodes ASCII. */
export function ascii(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/**
 * Makes the error of a message that does not open.
 *
 * @param what Kind of message: `request` or `answer`
 */
export function notForUs(what: string): ProtocolError {
  return new ProtocolError(`Cannot open sealed ${what}: it is not for this key`, {
    hint: "Was it sealed to another key, or changed on its way?",
  });
}
