import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { hkdf } from "../core/hmac.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { KEY_BYTES, SUITE_ID, TAG_BYTES, uint } from "./message_header.ts";

const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;

/**
 * Node's update() writes into a buffer, copies the result out and frees the buffer as it is. What glibc keeps for the
 * thread that freed it, at most 1032 bytes, is taken whole by the next call for as many: so the plaintext is made in
 * pieces, and each is written over at once. What is longer may be taken in part by anything, and the rest stays. It
 * costs much of the speed: 170 MB/s on Node instead of 750.
 */
const PIECE_BYTES = 1000;

/** By how much glibc's piece may be longer than was asked for, which makes it another kind of piece. */
const SLACK_BYTES = 16;

const NOTHING_SECRET = new Uint8Array(PIECE_BYTES + SLACK_BYTES);

const HASH = "sha512";
const KEY_INFO = Uint8Array.from([...uint(SUITE_ID, 2), ...new TextEncoder().encode("DERIVEKEY")]);
const COMMITMENT_INFO = new TextEncoder().encode("COMMITKEY");

/**
 * The one AES key of one message, derived from its data key and its message id. A nonce is the number of what
 * it seals: 0 for the header, then the frames' numbers; the additional data says what that is.
 *
 * node:crypto, because its keys can be wiped, and so can its copies; WebCrypto has copies of its own. Not
 * guaranteed: both runtimes keep the expanded key of each frame in native memory until the collector frees it.
 */
export class MessageCipher implements Disposable {
  /** 32 bytes that tell this key from any other, and nothing of it. */
  readonly commitment: Uint8Array<ArrayBuffer>;
  readonly #key: SecretBytes;
  /** Decrypts to no end: see {@link PIECE_BYTES}. In a mode that has no limit, with a key of zeros. */
  readonly #overwriter = createDecipheriv("aes-256-ctr", new Uint8Array(KEY_BYTES), new Uint8Array(16));

  /**
   * @param dataKey 32 bytes; the caller wipes them
   * @param messageId 32 bytes
   */
  constructor(dataKey: SecretBytes, messageId: Uint8Array) {
    const derive = (info: Uint8Array) => hkdf(HASH, dataKey.bytes, messageId, info, KEY_BYTES);
    this.commitment = derive(COMMITMENT_INFO).bytes;
    this.#key = derive(KEY_INFO);
  }

  /**
   * @param commitment The message's
   * @throws {EnvelopeError} `COMMITMENT`, when the message was made with another data key
   */
  expectCommitment(commitment: Uint8Array): void {
    if (timingSafeEqual(this.commitment, commitment)) return;
    throw new EnvelopeError("COMMITMENT", "Cannot decrypt message: it commits to another data key", {
      hint: "Was its header damaged, or put together from the headers of two messages?",
    });
  }

  /**
   * @param number 0 for the header, or the frame's
   * @param associated What is authenticated besides
   * @param plaintext Of any length
   * @param target Where to put the ciphertext and, right after it, the tag
   */
  seal(number: number, associated: Uint8Array, plaintext: Uint8Array, target: Uint8Array): void {
    const cipher = createCipheriv(ALGORITHM, this.#key.bytes, nonce(number), { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    target.set(cipher.update(plaintext));
    cipher.final();
    target.set(cipher.getAuthTag(), plaintext.length);
  }

  /**
   * @param number 0 for the header, or the frame's
   * @param associated What was authenticated besides
   * @param sealed The ciphertext and the tag
   * @returns The plaintext, in memory of its own
   * @throws {EnvelopeError} `AUTHENTICATION`, when not all of it is as it was sealed
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
 * @param number 0 for the header, or the frame's
 * @returns 12 bytes
 */
export function nonce(number: number): Uint8Array<ArrayBuffer> {
  return uint(number, NONCE_BYTES);
}

function nameOf(number: number): string {
  return number === 0 ? "its header" : `frame ${number}`;
}
