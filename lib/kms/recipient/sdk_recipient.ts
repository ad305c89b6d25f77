import type { Deadline } from "../../core/deadline.ts";
import { SdkKeyPair } from "../../native/sdk_key_pair.ts";
import type { SdkLibrary } from "../../native/sdk_library.ts";
import { SecretBytes } from "../../core/secret_bytes.ts";
import { envelopeError, readEnvelope } from "./read_envelope.ts";
import type { Recipient } from "./recipient.ts";

/**
 * A recipient whose key pair, attestation and opening live in the C SDK (AWS-LC). Our own reader passes
 * the envelope first; the private key, the content key and the plaintext stay in C memory until the
 * plaintext is copied out, and are wiped there.
 *
 * Not guaranteed: what AWS-LC and the C stack keep for themselves; see SECURITY.md.
 */
export class SdkRecipient implements Recipient {
  readonly #keyPair: SdkKeyPair;

  private constructor(keyPair: SdkKeyPair) {
    this.#keyPair = keyPair;
  }

  /**
   * @param library Shared for the life of the recipient
   * @param deadline When to give up; C goes on, and its key pair is then destroyed
   * @throws {SdkGenericError} When C makes no key pair
   */
  static async create(library: SdkLibrary, deadline: Deadline): Promise<SdkRecipient> {
    deadline.throwIfPassed();
    deadline.stage = "key-pair";
    const making = SdkKeyPair.create(library);
    try {
      return new SdkRecipient(await deadline.race(making));
    } catch (error) {
      making.then((keyPair) => keyPair[Symbol.dispose](), () => {});
      throw error;
    }
  }

  /** See {@link Recipient.attestationDocument}. */
  attestationDocument(): Promise<Uint8Array> {
    return this.#keyPair.attestationDocument();
  }

  /** See {@link Recipient.open}. */
  open(envelope: Uint8Array): SecretBytes {
    const { wrappedKey, iv, ciphertext } = readEnvelope(envelope);
    const plaintext = this.#keyPair.open(wrappedKey, iv, ciphertext);
    if (plaintext === undefined) throw envelopeError();
    return new SecretBytes(plaintext);
  }

  /** Destroys the key pair, once C no longer uses it. */
  [Symbol.dispose](): void {
    this.#keyPair[Symbol.dispose]();
  }
}
