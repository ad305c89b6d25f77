import { allocateOffHeap } from "./secret_bytes.ts";

const DIGITS = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const PADDING = "=".charCodeAt(0);
const NO_DIGIT = 64;
const VALUES = Uint8Array.from(
  { length: 256 },
  (_, byte) => DIGITS.includes(byte) ? DIGITS.indexOf(byte) : NO_DIGIT,
);

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

/**
 * Reads canonical base64 (RFC 4648, section 4) that is a secret, without a JavaScript string in between.
 *
 * @param text Base64 in ASCII; not kept
 * @returns New bytes, for the caller to wipe; undefined when it is not canonical base64
 */
export function readBase64(text: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const padding = text.at(-1) !== PADDING ? 0 : text.at(-2) !== PADDING ? 1 : 2;
  const digits = text.length - padding;
  if (text.length % 4 !== 0) return undefined;
  const bytes = allocateOffHeap(text.length / 4 * 3 - padding);
  let bits = 0;
  for (let place = 0, position = 0; place < digits; place++) {
    const value = VALUES[text[place] ?? 0] ?? NO_DIGIT;
    if (value === NO_DIGIT) return void bytes.fill(0);
    bits = bits << 6 | value;
    // Three digits of four complete a byte.
    if (place % 4 !== 0) bytes[position++] = bits >> (6 - place % 4 * 2) & 255;
    bits &= 0xfff;
  }
  // Bits that carry no data must be zero.
  if (padding > 0 && (bits & (padding === 1 ? 3 : 15)) !== 0) return void bytes.fill(0);
  return bytes;
}

/** JSON in ASCII, or a secret of printable ASCII that stands in a string of it. */
export type SecretJsonPart = string | { readonly secret: Uint8Array };

/**
 * Joins parts of JSON, without a JavaScript string of a secret.
 *
 * @param parts Parts in their order; secrets are escaped, and not kept
 * @returns New bytes, for the caller to wipe
 */
export function joinSecretJson(parts: readonly SecretJsonPart[]): Uint8Array<ArrayBuffer> {
  const bytes = allocateOffHeap(parts.reduce((sum, part) => sum + lengthOf(part), 0));
  let at = 0;
  for (const part of parts) at = write(part, bytes, at);
  return bytes;
}

function lengthOf(part: SecretJsonPart): number {
  if (typeof part === "string") return part.length;
  return part.secret.reduce((length, byte) => length + (isEscaped(byte) ? 2 : 1), 0);
}

function write(part: SecretJsonPart, bytes: Uint8Array, at: number): number {
  if (typeof part === "string") return at + new TextEncoder().encodeInto(part, bytes.subarray(at)).written;
  for (const byte of part.secret) {
    if (isEscaped(byte)) bytes[at++] = BACKSLASH;
    bytes[at++] = byte;
  }
  return at;
}

const BACKSLASH = 0x5c;

function isEscaped(byte: number): boolean {
  return byte === BACKSLASH || byte === 0x22;
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
