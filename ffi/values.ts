import type { ParameterKind, ResultKind } from "./symbols.ts";

const ADDRESS_LIMIT = 1n << 64n;

const INTEGER_RANGE: Readonly<Record<string, readonly [min: number, max: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  usize: [0, Number.MAX_SAFE_INTEGER],
};

/** Checks one argument, and converts it to what both runtimes take. */
export type ArgumentReader = (value: unknown) => unknown;

/**
 * Makes what reads one argument of a C function at each call. It refuses what both runtimes would silently turn into
 * something else: an empty array into NULL, -1 into 2^64 - 1, 1.5 into 1, a string into a copied buffer, a number into
 * an address. It gives C addresses and sizes as bigints, and NULL as 0 among addresses.
 *
 * @param name Name of the C function
 * @param kind Kind of the parameter
 * @param c Its C declaration, for messages
 * @returns Reader that throws a TypeError when the type is wrong, and a RangeError when an integer does not fit or an
 *   array is empty
 */
export function argumentReader(name: string, kind: ParameterKind, c: string): ArgumentReader {
  const where = `Cannot call ${name}: argument \`${c}\``;
  if (kind === "bytes") return (value) => readBytes(where, value);
  if (kind === "bytes?") return (value) => value === null ? null : readBytes(where, value);
  if (kind.startsWith("pointer? ")) return (value) => value === null ? 0n : readPointer(where, value);
  if (kind.startsWith("pointer ")) return (value) => readPointer(where, value);
  const range = INTEGER_RANGE[kind] ?? [0, -1];
  if (kind === "usize") return (value) => BigInt(readInteger(where, range, value));
  return (value) => readInteger(where, range, value);
}

function readBytes(where: string, value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || !(value.buffer instanceof ArrayBuffer)) {
    throw new TypeError(`${where} must be a Uint8Array over an ArrayBuffer`);
  }
  if (value.byteLength === 0) throw new RangeError(`${where} must not be empty: C would see NULL`);
  return value;
}

function readPointer(where: string, value: unknown): bigint {
  if (typeof value !== "bigint") throw new TypeError(`${where} must be a pointer`);
  if (value <= 0n || value >= ADDRESS_LIMIT) throw new RangeError(`${where} must be an address`);
  return value;
}

function readInteger(where: string, [min, max]: readonly [number, number], value: unknown): number {
  if (typeof value !== "number") throw new TypeError(`${where} must be a number`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${where} must be an integer from ${min} to ${max}`);
  }
  return value;
}

/**
 * Makes what converts the result of a C function to what TypeScript sees: NULL as `null`, addresses as bigints, other
 * integers as numbers.
 *
 * @param kind The declared kind
 */
export function resultReader(kind: ResultKind): (value: unknown) => unknown {
  if (kind === "void") return () => undefined;
  return kind.startsWith("pointer") ? readAddress : readNumber;
}

function readNumber(value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

function readAddress(value: unknown): bigint | null {
  const address = BigInt(value as number | bigint);
  return address === 0n ? null : address;
}
