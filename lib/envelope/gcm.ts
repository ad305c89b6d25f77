import type { SecretBytes } from "../core/secret_bytes.ts";

/** AES-256-GCM with nonces of 12 bytes and tags of 16, for any number of keys. */
export interface Gcm {
  /**
   * Encrypts and authenticates.
   *
   * @param key Key of 32 bytes
   * @param nonce Nonce, never twice with one key
   * @param associated Data to authenticate beside it, at least 1 byte
   * @param plaintext Plaintext of any length
   * @param target Memory for the ciphertext and, right after it, the tag
   */
  seal(
    key: SecretBytes,
    nonce: Uint8Array<ArrayBuffer>,
    associated: Uint8Array<ArrayBuffer>,
    plaintext: Uint8Array<ArrayBuffer>,
    target: Uint8Array<ArrayBuffer>,
  ): void;

  /**
   * Decrypts and verifies.
   *
   * @param key Key of 32 bytes
   * @param nonce Nonce
   * @param associated Data that was authenticated beside it, at least 1 byte
   * @param sealed Ciphertext and tag
   * @param target Memory for the plaintext, as long as the ciphertext
   * @returns Whether it is genuine; if it is not, the target is wiped
   */
  open(
    key: SecretBytes,
    nonce: Uint8Array<ArrayBuffer>,
    associated: Uint8Array<ArrayBuffer>,
    sealed: Uint8Array<ArrayBuffer>,
    target: Uint8Array<ArrayBuffer>,
  ): boolean;

  /** Ends a piece of work, of any number of frames: the processor's registers hold nothing of them afterwards. */
  rest(): void;

  /**
   * Wipes what is kept of a key.
   *
   * @param key The key
   */
  forget(key: SecretBytes): void;
}

/** Cipher, and how much it may do before others get their turn. */
export interface GcmChoice {
  /** The cipher. */
  readonly gcm: Gcm;
  /** Plaintext bytes that it makes or takes in well under a millisecond. */
  readonly bytesAtOnce: number;
}
