import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { hkdf } from "../core/hmac.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { KEY_BYTES, SUITE_ID, TAG_BYTES, uint } from "./message_header.ts";

const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;

/**
 * Size of the pieces that the plaintext is made in, in bytes. Node's update() writes into a buffer, copies the result
 * out and frees the buffer as it is. glibc keeps a freed buffer of at most 1032 bytes for its thread, and the next call
 * for as many gets it whole: so each piece is overwritten at once. A longer buffer may be reused in part, and the rest
 * stays. This costs much of the speed: 170 MB/s on Node instead of 750.
 */
const PIECE_BYTES = 1000;

/** Bytes by which glibc may round a buffer up, which puts it among buffers of another size. */
const SLACK_BYTES = 16;

const NOTHING_SECRET = new Uint8Array(PIECE_BYTES + SLACK_BYTES);

const HASH = "sha512";
const KEY_INFO = Uint8Array.from([...uint(SUITE_ID, 2), ...new TextEncoder().encode("DERIVEKEY")]);
const COMMITMENT_INFO = new TextEncoder().encode("COMMITKEY");

/**
 * Cipher with the AES key of one message, derived from its data key and its message id. A nonce is a number: 0 for the
 * header, then the numbers of the frames; the additional data tells them apart.
 *
 * It uses node:crypto, whose keys and copies can be wiped; WebCrypto keeps copies of its own. Not guaranteed: both
 * runtimes keep the expanded key of each frame in native memory until the collector frees it.
 */
export class MessageCipher implements Disposable {
  /** Commitment to the key: 32 bytes that tell it from any other, and reveal nothing of it. */
  readonly commitment: Uint8Array<ArrayBuffer>;
  readonly #key: SecretBytes;
  /** Cipher that only overwrites buffers, see {@link PIECE_BYTES}: in a mode without a limit, with a key of zeros. */
  readonly #overwriter = createDecipheriv("aes-256-ctr", new Uint8Array(KEY_BYTES), new Uint8Array(16));

  /**
   * Derives the key.
   *
   * @param dataKey Data key of 32 bytes; the caller wipes it
   * @param messageId Message id, 32 bytes
   */
  constructor(dataKey: SecretBytes, messageId: Uint8Array) {
    const derive = (info: Uint8Array) => hkdf(HASH, dataKey.bytes, messageId, info, KEY_BYTES);
    this.commitment = derive(COMMITMENT_INFO).bytes;
    this.#key = derive(KEY_INFO);
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
  seal(number: number, associated: Uint8Array, plaintext: Uint8Array, target: Uint8Array): void {
    const cipher = createCipheriv(ALGORITHM, this.#key.bytes, nonce(number), { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    target.set(cipher.update(plaintext));
    cipher.final();
    target.set(cipher.getAuthTag(), plaintext.length);
  }

  /**
   * Opens the header or a frame.
   *
   * @param number 0 for the header, or the number of the frame
   * @param associated Additional data that was authenticated
   * @param sealed Ciphertext and tag
   * @returns The plaintext, in memory of its own
   * @throws {EnvelopeError} `AUTHENTICATION`, when any of it was changed
   */
  open(number: number, associated: Uint8Array, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
    const length = sealed.length - TAG_BYTES;
    const cipher = createDecipheriv(ALGORITHM, this.#key.bytes, nonce(number), { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    cipher.setAuthTag(sealed.subarray(length));
    const plaintext = new Uint8Array(new ArrayBuffer(length));
    for (let offset = 0; offset < length; offset += PIECE_BYTES) {
      const piece = cipher.update(sealed.subarray(offset, Math.min(offset + PIECE_BYTES, length)));
      this.#overwriter.update(NOTHING_SECRET.subarray(0, piece.length));
      this.#overwriter.update(NOTHING_SECRET.subarray(0, piece.length + SLACK_BYTES));
      plaintext.set(piece, offset);
      piece.fill(0);
    }
    try {
      cipher.final();
      return plaintext;
    } catch {
      plaintext.fill(0);
      throw new EnvelopeError("AUTHENTICATION", `Cannot decrypt message: ${nameOf(number)} is not genuine`, {
        hint: "Was the message damaged or changed? Discard the plaintext so far",
      });
    }
  }

  /** Wipes the key. */
  [Symbol.dispose](): void {
    this.#key[Symbol.dispose]();
  }
}

/**
 * Makes a nonce.
 *
 * @param number 0 for the header, or the number of the frame
 * @returns 12 bytes
 */
export function nonce(number: number): Uint8Array<ArrayBuffer> {
  return uint(number, NONCE_BYTES);
}

function nameOf(number: number): string {
  return number === 0 ? "its header" : `frame ${number}`;
}
