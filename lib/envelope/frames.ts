/**
 * Frames that follow the header. Every frame but the last, with as much plaintext as the header says:
 *
 * | bytes | what |
 * | --- | --- |
 * | 4 | sequence number, from 1 |
 * | 12 | nonce: the sequence number again |
 * | … | ciphertext |
 * | 16 | tag |
 *
 * The last one, with at most that much:
 *
 * | bytes | what |
 * | --- | --- |
 * | 4 | `ffffffff` |
 * | 4 | sequence number |
 * | 12 | nonce: the sequence number again |
 * | 4 | length of the ciphertext |
 * | … | ciphertext |
 * | 16 | tag |
 *
 * The tag is also over the message id (32), `AWSKMSEncryptionClient Frame` or `… Final Frame`, the sequence
 * number (4) and the plaintext's length (8). So no frame can be dropped, repeated, moved, taken from another
 * message or passed off as the last.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { Buffer } from "node:buffer";
import type { ByteReader } from "./byte_reader.ts";
import { EnvelopeError } from "./envelope_error.ts";
import type { MessageCipher } from "./message_cipher.ts";
import { nonce } from "./message_cipher.ts";
import { type MessageHeader, TAG_BYTES, uint } from "./message_header.ts";

const FINAL_MARK = 0xffffffff;
const NONCE_BYTES = 12;
const REGULAR = new TextEncoder().encode("AWSKMSEncryptionClient Frame");
const FINAL = new TextEncoder().encode("AWSKMSEncryptionClient Final Frame");

/** Most frames of one message; the mark of the last frame is no number of another. */
export const MAX_FRAMES = 0xffffffff;

type Message = Pick<MessageHeader, "messageId" | "frameBytes">;

/** Opened frame. */
export interface Frame {
  /** Verified plaintext. */
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /** Whether it is the last. */
  readonly isFinal: boolean;
}

/**
 * Seals one frame.
 *
 * @param cipher Cipher of the message
 * @param message Fields of the header
 * @param number Number of the frame, from 1
 * @param plaintext As many bytes as the header says, or at most that for the last frame
 * @param isFinal Whether it is the last
 * @returns The frame
 * @throws {EnvelopeError} `LIMIT`, when the message would have too many
 */
export function sealFrame(
  cipher: MessageCipher,
  message: Message,
  number: number,
  plaintext: Uint8Array,
  isFinal: boolean,
): Uint8Array<ArrayBuffer> {
  if (number > MAX_FRAMES - (isFinal ? 0 : 1)) throw tooMany(message.frameBytes);
  const head = isFinal
    ? concatBytes([uint(FINAL_MARK, 4), uint(number, 4), nonce(number), uint(plaintext.length, 4)])
    : concatBytes([uint(number, 4), nonce(number)]);
  const frame = new Uint8Array(head.length + plaintext.length + TAG_BYTES);
  frame.set(head);
  const associated = associatedData(message, number, plaintext.length, isFinal);
  cipher.seal(number, associated, plaintext, frame.subarray(head.length));
  return frame;
}

/**
 * Opens one frame.
 *
 * @param cipher Cipher of the message
 * @param message Fields of the verified header
 * @param number Number of the frame that is due, from 1
 * @param input Reader that stands at the frame
 * @throws {EnvelopeError} `ORDER`, `FORMAT`, `AUTHENTICATION` or `TRUNCATED`
 */
export async function openFrame(
  cipher: MessageCipher,
  message: Message,
  number: number,
  input: ByteReader,
): Promise<Frame> {
  const mark = await readUint32(input);
  const isFinal = mark === FINAL_MARK;
  const found = isFinal ? await readUint32(input) : mark;
  if (found !== number) throw outOfOrder(found, number);
  if (Buffer.compare(await input.take(NONCE_BYTES), nonce(number)) !== 0) {
    throw malformed(`frame ${number} has another nonce than its number`);
  }
  const length = isFinal ? await readUint32(input) : message.frameBytes;
  if (length > message.frameBytes) throw malformed("its final frame is longer than the others");
  const sealed = await input.take(length + TAG_BYTES);
  return {
    plaintext: cipher.open(number, associatedData(message, number, length, isFinal), sealed),
    isFinal,
  };
}

function associatedData(message: Message, number: number, length: number, isFinal: boolean): Uint8Array {
  return concatBytes([message.messageId, isFinal ? FINAL : REGULAR, uint(number, 4), uint(length, 8)]);
}

async function readUint32(input: ByteReader): Promise<number> {
  const bytes = await input.take(4);
  return new DataView(bytes.buffer).getUint32(0);
}

function outOfOrder(found: number, number: number): EnvelopeError {
  return new EnvelopeError("ORDER", `Cannot decrypt message: frame ${found} stands where ${number} is due`, {
    hint: "Was a part of it lost, repeated or moved? Discard the plaintext so far",
  });
}

function malformed(what: string): EnvelopeError {
  return new EnvelopeError("FORMAT", `Cannot decrypt message: ${what}`, {
    hint: "Was the message damaged or changed? Discard the plaintext so far",
  });
}

function tooMany(frameBytes: number): EnvelopeError {
  return new EnvelopeError("LIMIT", `Cannot encrypt message: it needs more than ${MAX_FRAMES} frames`, {
    hint: `Frames have ${frameBytes} bytes: set a larger frameBytes, or encrypt in several messages`,
  });
}
