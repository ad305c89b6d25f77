import { timingSafeEqual } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import { hkdfInto } from "../core/hmac.ts";
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import { hmacInto } from "../native/hmac.ts";
import { chooseGcm } from "./choose_gcm.ts";
import { EnvelopeError } from "./envelope_error.ts";
import type { Gcm, GcmChoice } from "./gcm.ts";
import { uint } from "./header_fields.ts";
import { KEY_BYTES, SIGNED_SUITE_ID, SUITE_ID, type SuiteId } from "./message_header.ts";

const NONCE_BYTES = 12;
const HASH = "sha512";
const COMMITMENT_INFO = new TextEncoder().encode("COMMITKEY");
/** Labels of key and commitment, for each suite. */
const INFOS: Readonly<Record<SuiteId, readonly Uint8Array[]>> = {
  [SUITE_ID]: infosOf(SUITE_ID),
  [SIGNED_SUITE_ID]: infosOf(SIGNED_SUITE_ID),
};

/** Memory for one nonce after the other, of any message: it is used at once, and no secret. */
const NONCE = allocateOffHeap(NONCE_BYTES);
const NONCE_NUMBER = new DataView(NONCE.buffer, NONCE_BYTES - 4);

/**
 * Cipher with the AES key of one message, derived from its data key and its message id. A nonce is a number: 0 for the
 * header, then the numbers of the frames; the additional data tells them apart.
 */
export class MessageCipher implements Disposable {
  /** Commitment to the key: 32 bytes that tell it from any other, and reveal nothing of it. */
  readonly commitment: Uint8Array<ArrayBuffer>;
  /** Plaintext bytes to take or make before others get their turn. */
  readonly bytesAtOnce: number;
  readonly #key: SecretBytes;
  readonly #gcm: Gcm;

  /**
   * Derives the key.
   *
   * @param dataKey Data key of 32 bytes; the caller wipes it
   * @param messageId Message id, 32 bytes
   * @param choice Implementation of the cipher
   * @param suiteId Suite of the message, for which alone the key is. Default: the one without a signature
   */
  constructor(
    dataKey: SecretBytes,
    messageId: Uint8Array<ArrayBuffer>,
    choice: GcmChoice = chooseGcm(),
    suiteId: SuiteId = SUITE_ID,
  ) {
    const key = allocateOffHeap(KEY_BYTES);
    this.#key = new SecretBytes(key);
    this.commitment = new Uint8Array(KEY_BYTES);
    hkdfInto(HASH, dataKey.bytes, messageId, INFOS[suiteId], [key, this.commitment], hmacInto);
    this.#gcm = choice.gcm;
    this.bytesAtOnce = choice.bytesAtOnce;
  }

  /**
   * Checks the commitment of a message.
   *
   * @param commitment The commitment
   * @throws {EnvelopeError} `COMMITMENT`, when the message was made with another data key
   */
  expectCommitment(commitment: Uint8Array): void {
    if (timingSafeEqual(this.commitment, commitment)) return;
    throw new EnvelopeError("COMMITMENT", "Cannot decrypt message: it commits to another data key", {
      hint: "Was its header damaged, or put together from the headers of two messages?",
    });
  }

  /**
   * Seals the header or a frame.
   *
   * @param number 0 for the header, or the number of the frame
   * @param associated Additional data to authenticate
   * @param plaintext Plaintext of any length
   * @param target Memory for the ciphertext and, right after it, the tag
   */
  seal(
    number: number,
    associated: Uint8Array<ArrayBuffer>,
    plaintext: Uint8Array<ArrayBuffer>,
    target: Uint8Array<ArrayBuffer>,
  ): void {
    NONCE_NUMBER.setUint32(0, number);
    this.#gcm.seal(this.#key, NONCE, associated, plaintext, target);
  }

  /**
   * Opens the header or a frame.
   *
   * @param number 0 for the header, or the number of the frame
   * @param associated Additional data that was authenticated
   * @param sealed Ciphertext and tag
   * @param target Memory for the plaintext, which is wiped when this throws
   * @param nonce Nonce of another writer, 12 bytes. Default: the number
   * @throws {EnvelopeError} `AUTHENTICATION`, when any of it was changed
   */
  open(
    number: number,
    associated: Uint8Array<ArrayBuffer>,
    sealed: Uint8Array<ArrayBuffer>,
    target: Uint8Array<ArrayBuffer>,
    nonce: Uint8Array<ArrayBuffer> = NONCE,
  ): void {
    NONCE_NUMBER.setUint32(0, number);
    if (this.#gcm.open(this.#key, nonce, associated, sealed, target)) return;
    throw new EnvelopeError("AUTHENTICATION", `Cannot decrypt message: ${nameOf(number)} is not genuine`, {
      hint: "Was the message damaged or changed? Discard the plaintext so far",
    });
  }

  /** Ends a piece of work: what was sealed or opened is in no register of the processor afterwards. */
  rest(): void {
    this.#gcm.rest();
  }

  /** Wipes the key. */
  [Symbol.dispose](): void {
    using key = this.#key;
    this.#gcm.forget(key);
  }
}

function infosOf(suiteId: SuiteId): readonly Uint8Array[] {
  return [concatBytes([uint(suiteId, 2), new TextEncoder().encode("DERIVEKEY")]), COMMITMENT_INFO];
}

function nameOf(number: number): string {
  return number === 0 ? "its header" : `frame ${number}`;
}
