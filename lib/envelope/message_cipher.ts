import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { hkdf } from "../hmac.ts";
import type { SecretBytes } from "../secret_bytes.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { KEY_BYTES, SUITE_ID, TAG_BYTES, uint } from "./message_header.ts";

const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;
const HASH = "sha512";
const KEY_INFO = Uint8Array.from([...uint(SUITE_ID, 2), ...new TextEncoder().encode("DERIVEKEY")]);
const COMMITMENT_INFO = new TextEncoder().encode("COMMITKEY");

/**
 * The one AES key of one message, derived from its data key and its message id. A nonce is the number of what
 * it seals: 0 for the header, then the frames' numbers; the additional data says what that is.
 *
 * node:crypto, because it works in place and its keys can be wiped; WebCrypto is a quarter as fast on Node,
 * more than twice as fast on Deno, and copies. Not guaranteed: both runtimes keep the expanded key of each frame
 * in native memory until the collector frees it.
 */
export class MessageCipher implements Disposable {
  /** 32 bytes that tell this key from any other, and nothing of it. */
  readonly commitment: Uint8Array<ArrayBuffer>;
  readonly #key: SecretBytes;
  /** How long what was opened was: frames have one length, and the last one another. */
  readonly #lengths = new Set<number>();

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
    this.#lengths.add(length);
    const cipher = createDecipheriv(ALGORITHM, this.#key.bytes, nonce(number), { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    cipher.setAuthTag(sealed.subarray(length));
    const { buffer, byteOffset, byteLength } = cipher.update(sealed.subarray(0, length));
    const plaintext = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
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

  /** Wipes the key, and overwrites what the runtime left of plaintexts. */
  [Symbol.dispose](): void {
    this.#key[Symbol.dispose]();
    for (const length of this.#lengths) overwriteFreed(length);
    this.#lengths.clear();
  }
}

/**
 * Node's update() writes into a buffer, copies the result out and frees the buffer as it is; the next one of the
 * same length takes its place. So the last frame of each length is left, until another is opened.
 */
function overwriteFreed(length: number): void {
  const cipher = createDecipheriv(ALGORITHM, new Uint8Array(KEY_BYTES), nonce(0), {
    authTagLength: TAG_BYTES,
  });
  cipher.update(new Uint8Array(length));
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
