import { checkBytes } from "./request_fields.ts";

/** Longest message that KMS signs or authenticates, in bytes. A longer one is hashed first. */
export const MAX_MESSAGE_BYTES = 4096;

/** Longest signature or message authentication code that KMS takes, in bytes. */
export const MAX_SIGNATURE_BYTES = 6144;

/** Reads a message: one of the two functions below. */
export type MessageReader = (message: unknown) => Uint8Array<ArrayBuffer>;

/**
 * Checks and copies a message. It takes no text: a caller who gives one may mean the text itself as well as its base64.
 *
 * @param message 1 to 4096 bytes
 * @throws {TypeError} When it is no Uint8Array
 * @throws {RangeError} When it is empty or too long
 */
export function readMessage(message: unknown): Uint8Array<ArrayBuffer> {
  if (message instanceof Uint8Array) return checkBytes("message", message, MAX_MESSAGE_BYTES);
  throw new TypeError("message must be a Uint8Array");
}

/**
 * Checks and decodes a message from a JSON body.
 *
 * @param message Base64 of 1 to 4096 bytes
 * @throws {TypeError} When it is no base64
 * @throws {RangeError} When it is empty or too long
 */
export function readJsonMessage(message: unknown): Uint8Array<ArrayBuffer> {
  return checkBytes("message", message, MAX_MESSAGE_BYTES);
}
