import { concatBytes } from "../../lib/core/bytes.ts";
import { TAG } from "../../lib/attestation/der.ts";

/** Encoded bytes with a buffer of their own. */
export type Der = Uint8Array<ArrayBuffer>;

/** BOOLEAN true. */
export const TRUE: Der = Uint8Array.of(TAG.boolean, 1, 0xff);

/**
 * Encodes an element.
 *
 * @param tag Tag of one byte
 * @param contents Contents, at most 65535 bytes together
 */
export function element(tag: number, ...contents: readonly Uint8Array[]): Der {
  const length = contents.reduce((sum, { length }) => sum + length, 0);
  return concatBytes([[tag], lengthBytes(length), ...contents]);
}

/**
 * Encodes a SEQUENCE.
 *
 * @param elements Elements in their order
 */
export function sequence(...elements: readonly Uint8Array[]): Der {
  return element(TAG.sequence, ...elements);
}

/**
 * Encodes a BIT STRING.
 *
 * @param bytes Bits, the first one highest
 * @param unusedBits Number of bits of the last byte that do not count, 0 to 7
 */
export function bitString(bytes: Uint8Array, unusedBits = 0): Der {
  return element(TAG.bitString, Uint8Array.of(unusedBits), bytes);
}

/**
 * Encodes a positive INTEGER.
 *
 * @param bytes Big-endian bytes without a leading zero
 */
export function positiveInteger(bytes: Uint8Array): Der {
  return element(TAG.integer, (bytes[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(), bytes);
}

/**
 * Encodes an OBJECT IDENTIFIER.
 *
 * @param dotted Dotted form, such as `2.5.29.17`
 */
export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...arcs] = dotted.split(".").map(Number);
  return element(TAG.oid, Uint8Array.from([first * 40 + second, ...arcs].flatMap(base128)));
}

/**
 * Encodes text.
 *
 * @param tag Tag of a string type, or of a time
 * @param value The text
 */
export function text(tag: number, value: string): Der {
  return element(tag, new TextEncoder().encode(value));
}

function lengthBytes(length: number): readonly number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}

function base128(arc: number): number[] {
  const digits = [arc & 0x7f];
  for (let rest = arc >> 7; rest > 0; rest >>= 7) digits.unshift(rest & 0x7f | 0x80);
  return digits;
}
