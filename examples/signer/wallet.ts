import { secp256k1 } from "@noble/curves/secp256k1.js";
import type { SecretBytes } from "enclave-kms";

/** A wallet's key on secp256k1, once it is there. */
export class Wallet implements Disposable {
  #key: SecretBytes | undefined;

  /** Whether the key is there. */
  get isOpen(): boolean {
    return this.#key !== undefined;
  }

  /** Public key, 33 bytes. */
  get publicKey(): Uint8Array {
    return secp256k1.getPublicKey(this.#secret());
  }

  /**
   * Takes the key.
   *
   * @param key Private key of 32 bytes; owned from now on
   * @throws {RangeError} When it is none
   */
  open(key: SecretBytes): void {
    if (!secp256k1.utils.isValidSecretKey(key.bytes)) {
      key[Symbol.dispose]();
      throw new RangeError("The key must be one on secp256k1");
    }
    this.#key = key;
  }

  /**
   * Signs the SHA-256 of a transaction.
   *
   * @param transaction Its bytes
   * @returns r and s, 64 bytes, with s in the lower half
   */
  sign(transaction: Uint8Array): Uint8Array {
    return secp256k1.sign(transaction, this.#secret());
  }

  /** Wipes the key. */
  [Symbol.dispose](): void {
    this.#key?.[Symbol.dispose]();
    this.#key = undefined;
  }

  #secret(): Uint8Array {
    if (this.#key === undefined) throw new Error("The key is not there yet");
    return this.#key.bytes;
  }
}
