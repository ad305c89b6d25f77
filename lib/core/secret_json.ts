import { allocateOffHeap } from "./secret_bytes.ts";

const DIGITS = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const PADDING = "=".charCodeAt(0);

/**
 * Writes a secret as base64 between two texts, without a JavaScript string in between: those cannot be wiped.
 *
 * @param before Text before it
 * @param secret The secret; not kept
 * @param after Text after it
 * @returns New bytes, for the caller to wipe
 */
export function joinBase64(before: string, secret: Uint8Array, after: string): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const [head, tail] = [encoder.encode(before), encoder.encode(after)];
  const length = Math.ceil(secret.length / 3) * 4;
  const bytes = allocateOffHeap(head.length + length + tail.length);
  bytes.set(head);
  writeBase64(secret, bytes.subarray(head.length));
  bytes.set(tail, head.length + length);
  return bytes;
}
function writeBase64(input: Uint8Array, output: Uint8Array): void {
  let position = 0;
  for (let index = 0; index < input.length; index += 3) {
    const [first = 0, second, third] = input.subarray(index, index + 3);
    const group = first << 16 | (second ?? 0) << 8 | (third ?? 0);
    output[position++] = digit(group >> 18);
    output[position++] = digit(group >> 12);
    output[position++] = second === undefined ? PADDING : digit(group >> 6);
    output[position++] = third === undefined ? PADDING : digit(group);
  }
}

function digit(bits: number): number {
  return DIGITS[bits & 63] ?? PADDING;
}
