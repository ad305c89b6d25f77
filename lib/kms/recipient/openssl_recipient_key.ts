import { allocateOffHeap, SecretBytes } from "../../core/secret_bytes.ts";
import type { Libcrypto } from "../../native/libcrypto.ts";
import { openCbc } from "../../native/openssl_cipher.ts";
import { OpensslRsaKey } from "../../native/openssl_rsa_key.ts";
import { type Envelope, envelopeError } from "./read_envelope.ts";
import type { RecipientKey } from "./recipient_key.ts";

const CONTENT_KEY_BYTES = 32;

/**
 * Key pair of OpenSSL, in C memory only. The content key and the plaintext are decrypted into memory of ours, and
 * wiped; RSA takes a time that does not depend on the key, on this thread or on another.
 */
export class OpensslRecipientKey implements RecipientKey {
  readonly #libcrypto: Libcrypto;
  readonly #key: OpensslRsaKey;

  private constructor(libcrypto: Libcrypto, key: OpensslRsaKey) {
    this.#libcrypto = libcrypto;
    this.#key = key;
  }

  /**
   * Makes the key pair, on another thread: 20 to 350 ms.
   *
   * @param libcrypto The library
   * @throws {OpensslError} When OpenSSL makes none
   */
  static async create(libcrypto: Libcrypto): Promise<OpensslRecipientKey> {
    return new OpensslRecipientKey(libcrypto, await OpensslRsaKey.create(libcrypto));
  }

  /** See {@link RecipientKey.publicKey}. */
  get publicKey(): Uint8Array<ArrayBuffer> {
    return this.#key.publicKey;
  }

  /** See {@link RecipientKey.open}. */
  open(parts: Envelope): SecretBytes {
    const contentKey = allocateOffHeap(CONTENT_KEY_BYTES);
    try {
      return this.#openContent(this.#key.unwrap(parts.wrappedKey, contentKey), contentKey, parts);
    } finally {
      contentKey.fill(0);
    }
  }

  /** See {@link RecipientKey.openElsewhere}. The content, which takes some microseconds, is decrypted on this thread. */
  async openElsewhere(parts: Envelope): Promise<SecretBytes> {
    const contentKey = allocateOffHeap(CONTENT_KEY_BYTES);
    try {
      const isRight = await this.#key.unwrapElsewhere(parts.wrappedKey, contentKey);
      return this.#openContent(isRight, contentKey, parts);
    } finally {
      contentKey.fill(0);
    }
  }

  /** Destroys the key pair, once no call uses it. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#key[Symbol.dispose]();
  }

  /** Decrypts even with a wrong content key, so that an answer takes no less time because the key was wrong. */
  #openContent(
    isRight: boolean,
    contentKey: Uint8Array<ArrayBuffer>,
    { iv, ciphertext }: Envelope,
  ): SecretBytes {
    const padded = allocateOffHeap(ciphertext.length);
    try {
      const length = openCbc(this.#libcrypto, contentKey, iv, ciphertext, padded);
      if (!isRight || length === undefined) throw envelopeError();
      return SecretBytes.copyOf(padded.subarray(0, length));
    } finally {
      padded.fill(0);
    }
  }
}
