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
 * Other writers may choose other nonces: the tag is what tells whether a frame is genuine.
 *
 * The tag is also over the message id (32), `AWSKMSEncryptionClient Frame` or `… Final Frame`, the sequence
 * number (4) and the plaintext's length (8). So no frame can be dropped, repeated, moved, taken from another
 * message or passed off as the last.
 *
 * A message whose header tells of one piece has no frames. It is read only:
 *
 * | bytes | what |
 * | --- | --- |
 * | 12 | nonce |
 * | 8 | length of the ciphertext |
 * | … | ciphertext |
 * | 16 | tag, with the label `AWSKMSEncryptionClient Single Block` and number 1 |
 *
 * A signed message ends with its signature, see lib/envelope/message_signature.ts.
 *
 * @module
 */
import { allocateOffHeap } from "../core/secret_bytes.ts";

/** Number in front of the last frame. */
export const FINAL_MARK = 0xffffffff;

/** Most frames of one message; the mark of the last frame is no number of another. */
export const MAX_FRAMES = 0xffffffff;

/** Bytes of a nonce. */
export const NONCE_BYTES = 12;

/** Bytes before the ciphertext of a frame that is not the last. */
export const REGULAR_HEAD_BYTES = 4 + NONCE_BYTES;

/** Bytes before the ciphertext of the last frame. */
export const FINAL_HEAD_BYTES = 4 + 4 + NONCE_BYTES + 4;

/** Bytes before the ciphertext of a message in one piece. */
export const SINGLE_HEAD_BYTES = NONCE_BYTES + 8;

const ENCODER = new TextEncoder();

/** Label of every frame but the last. */
export const REGULAR: Uint8Array = ENCODER.encode("AWSKMSEncryptionClient Frame");

/** Label of the last frame. */
export const FINAL: Uint8Array = ENCODER.encode("AWSKMSEncryptionClient Final Frame");

/** Label of a message in one piece. */
export const SINGLE: Uint8Array = ENCODER.encode("AWSKMSEncryptionClient Single Block");

/** Plaintext bytes that a short frame takes as long as. */
const LEAST_COST_BYTES = 4096;

/** Memory for the associated data of one frame after the other, of any message: it is used at once, and no secret. */
const ASSOCIATED = allocateOffHeap(32 + SINGLE.length + 4 + 8);
const ASSOCIATED_VIEW = viewOf(ASSOCIATED);

/**
 * Puts together what is authenticated with a frame.
 *
 * @param messageId Message id, 32 bytes
 * @param number Number of the frame
 * @param length Bytes of its plaintext
 * @param label Label of its kind: {@link REGULAR}, {@link FINAL} or {@link SINGLE}
 * @returns The data, valid until the next call
 */
export function associatedData(
  messageId: Uint8Array,
  number: number,
  length: number,
  label: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const end = messageId.length + label.length;
  ASSOCIATED.set(messageId);
  ASSOCIATED.set(label, messageId.length);
  ASSOCIATED_VIEW.setUint32(end, number);
  ASSOCIATED_VIEW.setUint32(end + 4, 0);
  ASSOCIATED_VIEW.setUint32(end + 8, length);
  return ASSOCIATED.subarray(0, end + 12);
}

/**
 * Tells how many frames to seal or open before others get their turn.
 *
 * @param bytesAtOnce Plaintext bytes that the cipher may take or make at once
 * @param frameBytes Plaintext bytes of a frame
 * @returns The number, at least 1
 */
export function framesAtOnce(bytesAtOnce: number, frameBytes: number): number {
  return Math.max(1, Math.floor(bytesAtOnce / Math.max(frameBytes, LEAST_COST_BYTES)));
}

/** Makes a view of bytes. */
export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
