import type { ParameterKind, ResultKind, SymbolDeclaration } from "./symbols.ts";

const INTEGER_RANGE: Readonly<Record<string, readonly [min: number, max: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  usize: [0, Number.MAX_SAFE_INTEGER],
};

/**
 * Refuses arguments that both runtimes would silently turn into something else: an empty array into NULL, -1 into
 * 2^64 - 1, 1.5 into 1, a string into a copied buffer, a number into an address.
 *
 * @param name Name of the C function
 * @param declaration Its declaration
 * @param args The arguments of one call
 * @throws {TypeError} When a type or the number of arguments is wrong
 * @throws {RangeError} When an integer does not fit or an array is empty
 */
export function checkArguments(name: string, declaration: SymbolDeclaration, args: readonly unknown[]): void {
  const { parameters } = declaration;
  if (args.length !== parameters.length) {
    throw new TypeError(`Cannot call ${name}: expected ${parameters.length} arguments, got ${args.length}`);
  }
  for (const [index, [kind, c]] of parameters.entries()) {
    checkArgument(`Cannot call ${name}: argument \`${c}\``, kind, args[index]);
  }
}

function checkArgument(where: string, kind: ParameterKind, value: unknown): void {
  if (kind.endsWith("?") || kind.startsWith("pointer? ")) {
    if (value === null) return;
    kind = kind.replace("?", "") as ParameterKind;
  }
  if (kind === "bytes") return checkBytes(where, value);
  if (kind.startsWith("pointer ")) return checkPointer(where, value);
  checkInteger(where, kind, value);
}

function checkBytes(where: string, value: unknown): void {
  if (!(value instanceof Uint8Array) || !(value.buffer instanceof ArrayBuffer)) {
    throw new TypeError(`${where} must be a Uint8Array over an ArrayBuffer`);
  }
  if (value.byteLength === 0) throw new RangeError(`${where} must not be empty: C would see NULL`);
}

function checkPointer(where: string, value: unknown): void {
  if (typeof value !== "bigint") throw new TypeError(`${where} must be a pointer`);
  if (value <= 0n || value >= 1n << 64n) throw new RangeError(`${where} must be an address`);
}

function checkInteger(where: string, kind: ParameterKind, value: unknown): void {
  if (typeof value !== "number") throw new TypeError(`${where} must be a number`);
  const [min, max] = INTEGER_RANGE[kind] ?? [0, -1];
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${where} must be an integer from ${min} to ${max}`);
  }
}

/**
 * Converts checked arguments to what both runtimes take: addresses and sizes as bigints, NULL as 0.
 *
 * @param declaration The function's declaration
 * @param args Arguments that {@link checkArguments} has passed
 */
export function toC(declaration: SymbolDeclaration, args: readonly unknown[]): unknown[] {
  return declaration.parameters.map(([kind], index) => {
    const value = args[index];
    if (kind.startsWith("pointer")) return value ?? 0n;
    return kind === "usize" ? BigInt(value as number) : value;
  });
}

/**
 * Converts a result to what TypeScript sees: NULL as `null`, addresses as bigints, other integers as numbers.
 *
 * @param kind The declared kind
 * @param value Value that the runtime gave
 */
export function fromC(kind: ResultKind, value: unknown): unknown {
  if (kind === "void") return undefined;
  if (!kind.startsWith("pointer")) return typeof value === "bigint" ? Number(value) : value;
  const address = BigInt(value as number | bigint);
  return address === 0n ? null : address;
}
