import { hash } from "node:crypto";

/** Digest of a ciphertext. A ciphertext is hashed once: the policy, the log and the record share the digest. */
export interface CiphertextDigest {
  /** SHA-256 of the ciphertext, 64 lowercase hex digits. */
  readonly sha256: string;
  /** Length of the ciphertext in bytes. */
  readonly length: number;
}

/** Facts that a request itself gives to a policy. The host adds the caller, the action, the region and the time. */
export interface RequestFacts {
  /** Key id, ARN or alias that goes to KMS; undefined when the request names no key. */
  readonly keyId?: string | undefined;
  /** Encryption context that goes to KMS. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Digest of the ciphertext that goes to KMS; undefined when the operation has none. */
  readonly ciphertext?: CiphertextDigest | undefined;
}

/**
 * Hashes and measures a ciphertext. The bytes are neither copied nor kept.
 *
 * @param ciphertext The very bytes that go to KMS
 * @returns Their digest, frozen
 */
export function digestCiphertext(ciphertext: Uint8Array): CiphertextDigest {
  return Object.freeze({ sha256: hash("sha256", ciphertext), length: ciphertext.length });
}
