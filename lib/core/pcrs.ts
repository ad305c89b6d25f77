import { toHex } from "./bytes.ts";
import { checkRecord } from "./checks.ts";

/** Value of a platform configuration register: 32, 48 or 64 bytes, or their hex in either case. */
export type PcrValue = Uint8Array | string;

/** Registers by index: a plain object, or a `Map` as the `pcrs` of a document is. */
export type PcrsByIndex<Value> = Readonly<Record<number, Value>> | ReadonlyMap<number, Value>;

/** Last register that policies know: 16 records the secrets that an enclave took when it started. */
export const LAST_KNOWN_PCR = 16;

/**
 * Reads registers by their index, from either form, and each value once.
 *
 * @param field Name of the field
 * @param pcrs A plain object, or a `Map` whose keys are numbers
 * @returns Index, 0 to 31, and the value given for it
 * @throws {TypeError} When it is anything else, or has an index that is not 0 to 31
 */
export function readPcrs(
  field: string,
  pcrs: unknown,
): readonly (readonly [index: number, value: unknown])[] {
  const entries = entriesOfMap(pcrs) ?? checkRecord(field, pcrs, "a plain object or a Map");
  return entries.map(([index, value]) => {
    if ((typeof index === "number" || typeof index === "string") && PCR_INDEX.test(String(index))) {
      return [Number(index), value];
    }
    throw new TypeError(`${field} must have no index that is not 0 to 31`);
  });
}

/**
 * Checks the value of a register.
 *
 * @param field Name of the field
 * @param value 32, 48 or 64 bytes, or their hex in either case
 * @returns Lowercase hex
 * @throws {TypeError} When it is anything else
 */
export function pcrHex(field: string, value: unknown): string {
  const hex = value instanceof Uint8Array ? toHex(value) : value;
  if (typeof hex === "string" && PCR_HEX.test(hex)) return hex.toLowerCase();
  throw new TypeError(`${field} must be 32, 48 or 64 bytes, or their hex`);
}

const PCR_INDEX = /^(?:[12]?[0-9]|3[01])$/;
const PCR_HEX = /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/i;

/** Reads the entries of a Map of any realm, past the methods of a subclass; undefined when it is no Map. */
function entriesOfMap(value: unknown): readonly (readonly [unknown, unknown])[] | undefined {
  try {
    return [...Map.prototype.entries.call(value)];
  } catch {
    return undefined;
  }
}
