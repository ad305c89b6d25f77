import type { KeyPair } from "../key_pairs.ts";

/** Form of a message: the message itself, or its digest. */
export type MessageForm = "RAW" | "DIGEST";

/**
 * Scheme of signatures, without node:crypto's own signing: that hashes the message itself, and a KMS key also signs
 * digests. So node:crypto can judge what is made here.
 */
export interface SignatureScheme {
  /** Forms of a message that it signs. */
  readonly forms: readonly MessageForm[];
  /** Length of a digest in bytes. */
  readonly digestLength: number;
  /**
   * Signs a message.
   *
   * @param pair Key pair that fits the scheme
   * @param message Message or digest
   * @param form Form of the message
   */
  sign(pair: KeyPair, message: Uint8Array, form: MessageForm): Uint8Array;
  /**
   * Tells whether a signature is valid.
   *
   * @param pair Key pair that fits the scheme
   * @param message Message or digest
   * @param form Form of the message
   * @param signature Signature of any form
   */
  verify(pair: KeyPair, message: Uint8Array, form: MessageForm, signature: Uint8Array): boolean;
}
