import { EnvelopeError } from "./envelope_error.ts";
import {
  associatedData,
  FINAL,
  FINAL_HEAD_BYTES,
  FINAL_MARK,
  framesAtOnce,
  NONCE_BYTES,
  REGULAR,
  REGULAR_HEAD_BYTES,
  SINGLE,
  SINGLE_HEAD_BYTES,
  viewOf,
} from "./frames.ts";
import type { MessageCipher } from "./message_cipher.ts";
import { TAG_BYTES } from "./header_fields.ts";
import type { MessageHeader } from "./message_header.ts";

/** Head of a frame: all that is before its ciphertext. */
export interface FrameHead {
  /** Whether it is the last. */
  readonly isFinal: boolean;
  /** Label that is authenticated with it. */
  readonly label: Uint8Array;
  /** Offset of the nonce. */
  readonly nonceAt: number;
  /** Bytes of the head. */
  readonly headBytes: number;
  /** Bytes of the plaintext, as many as the ciphertext has. */
  readonly length: number;
  /** Bytes of the whole frame. */
  readonly frameBytes: number;
}

/** Opener of the frames of one message, in their order, or of its one piece. */
export class FrameOpener {
  /** Number of frames to open before others get their turn. */
  readonly atOnce: number;
  readonly #cipher: MessageCipher;
  readonly #messageId: Uint8Array;
  readonly #plainBytes: number;
  /** Longest piece of a message without frames. */
  readonly #maxPieceBytes: number;
  readonly #regular: FrameHead;
  /** Number of the frame that is due. */
  #number = 1;

  /**
   * Starts before the first frame.
   *
   * @param cipher Cipher of the message
   * @param message Fields of its verified header
   * @param maxPieceBytes Plaintext bytes that a message without frames may have. Default: 0
   */
  constructor(
    cipher: MessageCipher,
    { messageId, frameBytes }: Pick<MessageHeader, "messageId" | "frameBytes">,
    maxPieceBytes = 0,
  ) {
    this.#cipher = cipher;
    this.#messageId = messageId;
    this.#plainBytes = frameBytes;
    this.#maxPieceBytes = maxPieceBytes;
    this.#regular = headOf(REGULAR, 4, REGULAR_HEAD_BYTES, frameBytes);
    this.atOnce = framesAtOnce(cipher.bytesAtOnce, frameBytes);
  }

  /**
   * Counts the frames at the beginning of some bytes that are whole, have the numbers that are due and are not the last.
   *
   * @param bytes Any bytes
   * @param most Number to stop at
   */
  countRegular(bytes: Uint8Array<ArrayBuffer>, most: number): number {
    if (this.#plainBytes === 0) return 0;
    const { frameBytes } = this.#regular;
    const whole = Math.min(most, Math.floor(bytes.length / frameBytes), FINAL_MARK - this.#number);
    const view = viewOf(bytes);
    let count = 0;
    while (count < whole && view.getUint32(count * frameBytes) === this.#number + count) count++;
    return count;
  }

  /**
   * Tells how many bytes frames that are not the last have.
   *
   * @param count Number of such frames
   * @returns Their plaintext's bytes, and their own
   */
  measure(count: number): { readonly plainBytes: number; readonly frameBytes: number } {
    return { plainBytes: count * this.#plainBytes, frameBytes: count * this.#regular.frameBytes };
  }

  /**
   * Opens frames that {@link countRegular} has counted. When one but the first is not genuine, those before it are
   * opened, and it comes first the next time.
   *
   * @param bytes Bytes that begin with them
   * @param count Number of frames, at least 1
   * @param target Memory for their plaintext
   * @returns Number of frames that were opened, at least 1
   * @throws {EnvelopeError} `AUTHENTICATION`, when the first is not genuine
   */
  openRegular(bytes: Uint8Array<ArrayBuffer>, count: number, target: Uint8Array<ArrayBuffer>): number {
    const [step, { frameBytes }] = [this.#plainBytes, this.#regular];
    let opened = 0;
    try {
      for (; opened < count; opened++) {
        const frame = bytes.subarray(opened * frameBytes, (opened + 1) * frameBytes);
        this.#open(this.#regular, frame, target.subarray(opened * step, (opened + 1) * step));
      }
    } catch (error) {
      if (opened === 0) throw error;
    } finally {
      this.#cipher.rest();
    }
    return opened;
  }

  /**
   * Reads the head of the next frame.
   *
   * @param bytes Bytes that begin with it
   * @param ahead Number of frames between the one that is due and this one. Default: 0
   * @returns The head, or the number of bytes that are needed to go on
   * @throws {EnvelopeError} `ORDER`, `FORMAT`, or `LIMIT` for a message in one piece
   */
  readHead(bytes: Uint8Array<ArrayBuffer>, ahead = 0): FrameHead | number {
    if (this.#plainBytes === 0) return readSingleHead(bytes, this.#maxPieceBytes);
    if (bytes.length < 4) return 4;
    const view = viewOf(bytes);
    const due = this.#number + ahead;
    const mark = view.getUint32(0);
    if (mark !== FINAL_MARK) {
      if (mark !== due) throw outOfOrder(mark, due);
      return this.#regular;
    }
    if (bytes.length < FINAL_HEAD_BYTES) return FINAL_HEAD_BYTES;
    const number = view.getUint32(4);
    if (number !== due) throw outOfOrder(number, due);
    const length = view.getUint32(8 + NONCE_BYTES);
    if (length > this.#plainBytes) throw malformed("its final frame is longer than the others");
    return headOf(FINAL, 8, FINAL_HEAD_BYTES, length);
  }

  /**
   * Opens the frame that is due.
   *
   * @param head Its head
   * @param bytes Bytes that begin with the whole frame
   * @param target Memory for its plaintext, which is wiped when this throws
   * @throws {EnvelopeError} `AUTHENTICATION`
   */
  open(head: FrameHead, bytes: Uint8Array<ArrayBuffer>, target: Uint8Array<ArrayBuffer>): void {
    try {
      this.#open(head, bytes, target);
    } finally {
      this.#cipher.rest();
    }
  }

  #open(head: FrameHead, bytes: Uint8Array<ArrayBuffer>, target: Uint8Array<ArrayBuffer>): void {
    const number = this.#number;
    const { label, nonceAt, headBytes, frameBytes, length } = head;
    const nonce = hasNonce(viewOf(bytes), nonceAt, number)
      ? undefined
      : bytes.subarray(nonceAt, nonceAt + NONCE_BYTES);
    const associated = associatedData(this.#messageId, number, length, label);
    this.#cipher.open(number, associated, bytes.subarray(headBytes, frameBytes), target, nonce);
    this.#number++;
  }
}

function headOf(label: Uint8Array, nonceAt: number, headBytes: number, length: number): FrameHead {
  const frameBytes = headBytes + length + TAG_BYTES;
  return { isFinal: label !== REGULAR, label, nonceAt, headBytes, length, frameBytes };
}

/** Reads what a message in one piece has before its ciphertext. */
function readSingleHead(bytes: Uint8Array<ArrayBuffer>, maxBytes: number): FrameHead | number {
  if (bytes.length < SINGLE_HEAD_BYTES) return SINGLE_HEAD_BYTES;
  const length = viewOf(bytes).getBigUint64(NONCE_BYTES);
  if (length <= maxBytes) return headOf(SINGLE, 0, SINGLE_HEAD_BYTES, Number(length));
  throw new EnvelopeError(
    "LIMIT",
    `Cannot decrypt message: its one piece of ${length} bytes exceeds maxFrameBytes`,
    { hint: `Raise maxFrameBytes, now ${maxBytes}, if the writer is trusted` },
  );
}

function hasNonce(view: DataView, at: number, number: number): boolean {
  return view.getUint32(at) === 0 && view.getUint32(at + 4) === 0 && view.getUint32(at + 8) === number;
}

function outOfOrder(found: number, number: number): EnvelopeError {
  return new EnvelopeError(
    "ORDER",
    `Cannot decrypt message: frame ${found} comes in place of frame ${number}`,
    {
      hint: "Was a frame lost, repeated or moved? Discard the plaintext so far",
    },
  );
}

function malformed(what: string): EnvelopeError {
  return new EnvelopeError("FORMAT", `Cannot decrypt message: ${what}`, {
    hint: "Was the message damaged or changed? Discard the plaintext so far",
  });
}
