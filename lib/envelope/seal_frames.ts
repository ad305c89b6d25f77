import { EnvelopeError } from "./envelope_error.ts";
import {
  associatedData,
  FINAL,
  FINAL_HEAD_BYTES,
  FINAL_MARK,
  framesAtOnce,
  MAX_FRAMES,
  NONCE_BYTES,
  REGULAR,
  REGULAR_HEAD_BYTES,
  viewOf,
} from "./frames.ts";
import type { MessageCipher } from "./message_cipher.ts";
import { TAG_BYTES } from "./header_fields.ts";
import type { MessageHeader } from "./message_header.ts";

/**
 * Tells how many bytes all frames of a message have.
 *
 * @param plaintextBytes Bytes of its plaintext
 * @param frameBytes Plaintext bytes of a frame
 */
export function sealedBytes(plaintextBytes: number, frameBytes: number): number {
  const regular = Math.max(0, Math.ceil(plaintextBytes / frameBytes) - 1);
  return regular * (REGULAR_HEAD_BYTES + TAG_BYTES) + FINAL_HEAD_BYTES + TAG_BYTES + plaintextBytes;
}

/** Sealer of the frames of one message, in their order. */
export class FrameSealer {
  /** Number of frames to seal before others get their turn. */
  readonly atOnce: number;
  readonly #cipher: MessageCipher;
  readonly #messageId: Uint8Array;
  readonly #plainBytes: number;
  readonly #frameBytes: number;
  #number: number;

  /**
   * Starts before the first frame.
   *
   * @param cipher Cipher of the message
   * @param message Fields of its header
   * @param number Number of the first frame. Default: 1
   */
  constructor(
    cipher: MessageCipher,
    { messageId, frameBytes }: Pick<MessageHeader, "messageId" | "frameBytes">,
    number = 1,
  ) {
    this.#cipher = cipher;
    this.#messageId = messageId;
    this.#plainBytes = frameBytes;
    this.#frameBytes = REGULAR_HEAD_BYTES + frameBytes + TAG_BYTES;
    this.#number = number;
    this.atOnce = framesAtOnce(cipher.bytesAtOnce, frameBytes);
  }

  /** Tells how many bytes some frames have that are not the last. */
  regularBytes(count: number): number {
    return count * this.#frameBytes;
  }

  /** Tells how many bytes the last frame has. */
  finalBytes(plaintextLength: number): number {
    return FINAL_HEAD_BYTES + plaintextLength + TAG_BYTES;
  }

  /**
   * Seals frames that are not the last.
   *
   * @param plaintext Plaintext of whole frames
   * @param target Memory for them, as many bytes as {@link regularBytes} tells
   * @throws {EnvelopeError} `LIMIT`, when the message would have too many
   */
  sealRegular(plaintext: Uint8Array<ArrayBuffer>, target: Uint8Array<ArrayBuffer>): void {
    if (target.length === 0) return;
    try {
      this.#sealRegular(plaintext, target);
    } finally {
      this.#cipher.rest();
    }
  }

  #sealRegular(plaintext: Uint8Array<ArrayBuffer>, target: Uint8Array<ArrayBuffer>): void {
    const view = viewOf(target);
    const length = this.#plainBytes;
    for (let from = 0, at = 0; at < target.length; from += length, at += this.#frameBytes) {
      const number = this.#number;
      if (number > MAX_FRAMES - 1) throw tooMany(length);
      view.setUint32(at, number);
      this.#cipher.seal(
        number,
        associatedData(this.#messageId, number, length, REGULAR),
        plaintext.subarray(from, from + length),
        target.subarray(at + REGULAR_HEAD_BYTES, at + this.#frameBytes),
      );
      writeNonce(view, at + 4, number);
      this.#number++;
    }
  }

  /**
   * Seals the last frame.
   *
   * @param plaintext As many bytes as the header says, or fewer
   * @param target Memory for it, as many bytes as {@link finalBytes} tells
   * @throws {EnvelopeError} `LIMIT`, when the message would have too many
   */
  sealFinal(plaintext: Uint8Array<ArrayBuffer>, target: Uint8Array<ArrayBuffer>): void {
    const [number, { length }] = [this.#number, plaintext];
    if (number > MAX_FRAMES) throw tooMany(this.#plainBytes);
    const view = viewOf(target);
    view.setUint32(0, FINAL_MARK);
    view.setUint32(4, number);
    writeNonce(view, 8, number);
    view.setUint32(8 + NONCE_BYTES, length);
    const associated = associatedData(this.#messageId, number, length, FINAL);
    try {
      this.#cipher.seal(number, associated, plaintext, target.subarray(FINAL_HEAD_BYTES));
    } finally {
      this.#cipher.rest();
    }
    this.#number++;
  }
}

function writeNonce(view: DataView, at: number, number: number): void {
  view.setUint32(at, 0);
  view.setUint32(at + 4, 0);
  view.setUint32(at + 8, number);
}

function tooMany(frameBytes: number): EnvelopeError {
  return new EnvelopeError("LIMIT", `Cannot encrypt message: it needs more than ${MAX_FRAMES} frames`, {
    hint: `Raise frameBytes, now ${frameBytes}, or encrypt in several messages`,
  });
}
