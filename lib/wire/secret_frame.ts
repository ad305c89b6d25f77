/**
 * The way of a secret to the enclave, and the answer: raw bytes until the end of the stream, as `socat` sends them, or
 * a frame with a length, which needs no half-close; then one line of JSON from the enclave.
 *
 * @module
 */
import { equalBytes } from "../core/bytes.ts";
import { checkInteger } from "../core/checks.ts";
import { SecretError } from "../core/secret_error.ts";
import { allocateOffHeap } from "../core/secret_bytes.ts";

/**
 * First four bytes of a frame. No raw form begins with them: neither JSON, nor age's files, nor a ciphertext of KMS,
 * whose first byte is its version.
 */
export const SECRET_FRAME_MAGIC: Uint8Array = Uint8Array.of(0x89, 0x45, 0x4b, 0x46);

/** Bytes before the content of a frame: the magic, and the length as 32 bits in network order. */
export const SECRET_FRAME_HEAD_BYTES = 8;

/** Greatest number of bytes that any reader takes: 16 MiB. */
export const MAX_SECRET_FRAME_BYTES: number = 2 ** 24;

/**
 * Writes a frame.
 *
 * @param content 1 byte to 16 MiB; copied, and left for the caller to wipe
 * @returns Magic, length and content, in memory that the caller wipes when the content is a secret
 * @throws {RangeError} When it is empty or longer
 */
export function encodeSecretFrame(content: Uint8Array): Uint8Array<ArrayBuffer> {
  checkInteger("content.length", content.length, { min: 1, max: MAX_SECRET_FRAME_BYTES });
  const frame = allocateOffHeap(SECRET_FRAME_HEAD_BYTES + content.length);
  frame.set(SECRET_FRAME_MAGIC);
  new DataView(frame.buffer).setUint32(SECRET_FRAME_MAGIC.length, content.length);
  frame.set(content, SECRET_FRAME_HEAD_BYTES);
  return frame;
}

/** Bytes that are allocated before any has come. */
const FIRST_ALLOCATION = 1024;

/**
 * Reader of one secret, in either form, from chunks of any size. It holds no more memory than twice what was sent, and
 * never more than the cap. Whatever it gives up (outgrown memory, what was refused) is wiped; the chunks are the caller's.
 */
export class SecretFrameReader implements Disposable {
  readonly #maxBytes: number;
  #memory: Uint8Array<ArrayBuffer>;
  #length = 0;

  /**
   * Starts to read.
   *
   * @param options Greatest length of the content, 1 byte to 16 MiB
   * @throws {RangeError} When it is out of range
   */
  constructor(options: { readonly maxBytes: number }) {
    this.#maxBytes = checkInteger("maxBytes", options.maxBytes, { min: 1, max: MAX_SECRET_FRAME_BYTES });
    this.#memory = allocateOffHeap(Math.min(FIRST_ALLOCATION, SECRET_FRAME_HEAD_BYTES + this.#maxBytes));
  }

  /** Whether a frame was read to its end, so that there is nothing to wait for. Raw bytes end with the stream. */
  get isComplete(): boolean {
    return this.#framed !== undefined && this.#length === SECRET_FRAME_HEAD_BYTES + this.#framed;
  }

  /**
   * Takes the next bytes.
   *
   * @param chunk Any number of bytes; copied
   * @throws {SecretError} When there are more than the cap, more than a frame announced, or a frame of no bytes. The
   *   reader is wiped then
   */
  push(chunk: Uint8Array): void {
    try {
      this.#push(chunk);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Ends the reading.
   *
   * @returns The content, in memory of its own that the caller wipes; the reader is empty afterwards
   * @throws {SecretError} When a frame is cut off, or nothing was sent
   */
  end(): Uint8Array<ArrayBuffer> {
    using _wiped = this;
    const framed = this.#framed;
    if (this.#isFramed && !this.isComplete) {
      throw new SecretError("TRUNCATED", "Cannot read secret: the stream ended within the frame", {
        hint: "Did the sender stop before everything was sent?",
      });
    }
    if (this.#length === 0) {
      throw new SecretError("TRUNCATED", "Cannot read secret: nothing was sent", {
        hint: "Is the sender's file empty?",
      });
    }
    return this.#memory.slice(framed === undefined ? 0 : SECRET_FRAME_HEAD_BYTES, this.#length);
  }

  /** Wipes what was read. */
  [Symbol.dispose](): void {
    this.#memory.fill(0);
    this.#length = 0;
  }

  #push(chunk: Uint8Array): void {
    // No more than that is copied: what is longer is refused below.
    const taken = chunk.subarray(0, SECRET_FRAME_HEAD_BYTES + this.#maxBytes - this.#length);
    const total = this.#length + chunk.length;
    this.#reserve(this.#length + taken.length);
    this.#memory.set(taken, this.#length);
    this.#length += taken.length;
    if (!this.#isFramed && total > this.#maxBytes) throw this.#tooLarge();
    const framed = this.#framed;
    if (framed === undefined) return;
    if (framed > this.#maxBytes) throw this.#tooLarge();
    if (framed > 0 && total <= SECRET_FRAME_HEAD_BYTES + framed) return;
    throw new SecretError("FRAME", "Cannot read secret: the frame's length is not that of what was sent", {
      hint: "A frame is four bytes of magic, four of length and the content, with nothing after it",
    });
  }

  /** Whether what was read so far begins as a frame does. */
  get #isFramed(): boolean {
    const begun = Math.min(this.#length, SECRET_FRAME_MAGIC.length);
    return begun > 0 && equalBytes(this.#memory.subarray(0, begun), SECRET_FRAME_MAGIC.subarray(0, begun));
  }

  /** Length that the frame announces; undefined before it is known, and for raw bytes. */
  get #framed(): number | undefined {
    if (this.#length < SECRET_FRAME_HEAD_BYTES || !this.#isFramed) return undefined;
    return new DataView(this.#memory.buffer).getUint32(SECRET_FRAME_MAGIC.length);
  }

  #reserve(length: number): void {
    if (length <= this.#memory.length) return;
    const most = SECRET_FRAME_HEAD_BYTES + this.#maxBytes;
    const grown = allocateOffHeap(Math.min(most, Math.max(length, 2 * this.#memory.length)));
    grown.set(this.#memory);
    this.#memory.fill(0);
    this.#memory = grown;
  }

  #tooLarge(): SecretError {
    return new SecretError("TOO_LARGE", `Cannot read secret: it has more than ${this.#maxBytes} bytes`, {
      hint: "Is it the right file? Otherwise raise `maxBytes` in the secret's declaration",
    });
  }
}
