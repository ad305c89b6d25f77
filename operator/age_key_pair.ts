import { identityToRecipient } from "age-encryption";
import { allocateOffHeap, SecretBytes } from "../lib/core/secret_bytes.ts";
import { encodeAgeIdentity, encodeX25519Pkcs8 } from "../lib/wire/age_identity.ts";

const SCALAR_BYTES = 32;

/**
 * Fresh key pair of age: what is encrypted to its recipient, only its identity opens. An enclave pins the recipient, and
 * receives the identity encrypted with KMS, see {@link sealWithKms}.
 *
 * The identity is never a JavaScript string, and is wiped on dispose. Not guaranteed: that the runtime's cryptography
 * wipes its copy of the key, which it frees with the key object.
 *
 * @example
 * ```ts
 * import { AgeKeyPair } from "enclave-kms/operator";
 *
 * using keys = await AgeKeyPair.generate();
 * keys.recipient.startsWith("age1"); // true
 * keys.identity.length; // 74
 * ```
 */
export class AgeKeyPair implements Disposable {
  /** Private key, the 74 bytes of `AGE-SECRET-KEY-1…`. */
  readonly identity: SecretBytes;
  /** Public key, `age1…`. */
  readonly recipient: string;

  private constructor(identity: SecretBytes, recipient: string) {
    this.identity = identity;
    this.recipient = recipient;
  }

  /**
   * Generates an X25519 key pair.
   *
   * @returns The key pair. Dispose it with `using`
   */
  static async generate(): Promise<AgeKeyPair> {
    using scalar = new SecretBytes(crypto.getRandomValues(allocateOffHeap(SCALAR_BYTES)));
    using pkcs8 = new SecretBytes(encodeX25519Pkcs8(scalar.bytes));
    const key = await crypto.subtle.importKey("pkcs8", pkcs8.bytes, { name: "X25519" }, false, [
      "deriveBits",
    ]);
    const recipient = await identityToRecipient(key);
    return new AgeKeyPair(new SecretBytes(encodeAgeIdentity(scalar.bytes)), recipient);
  }

  /** Wipes the identity. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.identity[Symbol.dispose]();
  }
}
