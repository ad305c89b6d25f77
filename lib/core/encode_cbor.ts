import { concatBytes } from "./bytes.ts";

/** Value that {@link encodeCbor} writes: an integer up to 2^53 - 1, text, bytes, null, a list, or a map by texts and integers. */
export type CborValue =
  | null
  | number
  | string
  | Uint8Array
  | readonly CborValue[]
  | ReadonlyMap<string | number, CborValue>;

/**
 * Writes deterministic CBOR (RFC 8949, section 4.2.1): heads are as short as they can be, lengths are never left open,
 * and the keys of a map stand in the order of their encoded bytes. A value has one encoding.
 *
 * @param value Value to write; text must be well-formed
 * @param order Order of the keys of maps: `given` writes them as they stand, for a reader that knows no other order.
 *   Default: `sorted`
 * @returns Its encoding
 * @throws {TypeError} When a number is no safe integer
 */
export function encodeCbor(value: CborValue, order: "sorted" | "given" = "sorted"): Uint8Array<ArrayBuffer> {
  if (value === null) return Uint8Array.of(NULL);
  if (typeof value === "number") return integer(value);
  if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    return concatBytes([head(TEXT, bytes.length), bytes]);
  }
  if (value instanceof Uint8Array) return concatBytes([head(BYTES, value.length), value]);
  if (value instanceof Map) return map(value, order);
  const items = (value as readonly CborValue[]).map((item) => encodeCbor(item, order));
  return concatBytes([head(ARRAY, items.length), ...items]);
}

/** Major types. */
const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;

/** Byte of the simple value null. */
const NULL = 0xf6;

function integer(value: number): Uint8Array<ArrayBuffer> {
  if (!Number.isSafeInteger(value)) throw new TypeError("Cannot encode: expected a safe integer");
  return value < 0 ? head(NEGATIVE, -1 - value) : head(UNSIGNED, value);
}

function map(
  entries: ReadonlyMap<string | number, CborValue>,
  order: "sorted" | "given",
): Uint8Array<ArrayBuffer> {
  const pairs = [...entries].map(([key, value]) => [encodeCbor(key), encodeCbor(value, order)] as const);
  if (order === "sorted") pairs.sort(([a], [b]) => compare(a, b));
  return concatBytes([head(MAP, pairs.length), ...pairs.flat()]);
}

/** Orders encoded keys, no two the same. None is the beginning of another one, since their heads hold their lengths. */
function compare(a: Uint8Array, b: Uint8Array): number {
  const differing = a.findIndex((byte, i) => byte !== b[i]);
  return a[differing]! - b[differing]!;
}

function head(major: number, argument: number): Uint8Array<ArrayBuffer> {
  const type = major << 5;
  if (argument < 24) return Uint8Array.of(type | argument);
  if (argument < 0x100) return Uint8Array.of(type | 24, argument);
  const size = argument < 0x10000 ? 2 : argument < 0x100000000 ? 4 : 8;
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, BigInt(argument));
  const info = 24 + Math.log2(size);
  return concatBytes([[type | info], new Uint8Array(bytes.buffer, 8 - size)]);
}
