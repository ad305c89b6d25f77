/**
 * Items of an attestation document: maps by name, byte strings and texts within their limits, each in its only
 * allowed form, and the errors for every other form.
 *
 * @module
 */
import { type AttestationCheck, AttestationError } from "../core/errors.ts";
import { toHex } from "../core/bytes.ts";
import { cborEntries, type CborItem, cborText, readCbor } from "../core/cbor.ts";

/** Most levels of arrays, maps and tags in an unknown field. */
export const MAX_UNKNOWN_HEIGHT = 16;
/** Most levels in a known field, which is a map or a list of byte strings at most. */
export const MAX_KNOWN_HEIGHT = 2;
/**
 * Most bytes of a field. AWS documents 1024 for certificates and the public key, 512 for the others; the device
 * allows more.
 */
const MAX_FIELD_LENGTH = 4096;
const MAX_NAME_SHOWN = 64;
const NULL = 22;
/** Simple values false, true and null. */
const KNOWN_SIMPLE_VALUES = [20, 21, NULL];

/** Values of a map by name, and the unknown names, fit to be shown. */
export interface DocumentFields {
  readonly known: ReadonlyMap<string, CborItem>;
  readonly unknown: readonly string[];
}

/**
 * Reads one item, and nothing after it.
 *
 * @param bytes CBOR
 * @returns The item
 * @throws {AttestationError} `CBOR`
 */
export function readItem(bytes: Uint8Array<ArrayBuffer>): CborItem {
  const item = readCbor(bytes);
  if (item === undefined) throw isNotCbor();
  return item;
}

/**
 * Reads a map of any length, with texts and integers as names. Of the values, only the depth of those with unknown
 * names is checked.
 *
 * @param map The map
 * @param names Known names, all texts
 * @throws {AttestationError} `DUPLICATE_KEY`, `NOT_CANONICAL`, `TOO_DEEP`, `CBOR` or `FIELD`
 */
export function readFields(map: CborItem, names: ReadonlySet<string>): DocumentFields {
  if (!map.isShortest) throw notCanonical();
  const known = new Map<string, CborItem>();
  const unknown = new Map<string, string>();
  for (const [key, value] of cborEntries(map)) {
    const name = readName(key);
    const isKnown = key.type === "text" && names.has(name);
    // A number and a text that look the same are two names.
    const identity = `${key.type} ${name}`;
    if (isKnown ? known.has(name) : unknown.has(identity)) throw duplicateKey();
    if (isKnown) known.set(name, value);
    else unknown.set(identity, printable(name));
    if (!isKnown && value.height > MAX_UNKNOWN_HEIGHT) throw tooDeep();
  }
  return { known, unknown: [...unknown.values()] };
}

function readName(key: CborItem): string {
  checkKnown(key);
  if (key.type === "text") return text(key);
  if (key.type === "unsigned") return `${exactArgument(key)}`;
  if (key.type === "negative") return `${-1n - exactArgument(key)}`;
  throw malformed("FIELD", "a field's name is neither a text nor an integer");
}

/**
 * Reads a byte string within its limits.
 *
 * @param check Check that fails when it is none
 * @param item Any item
 * @param name Name of the field, for the message
 * @param min Least length, in bytes
 * @param max Greatest length, in bytes
 * @returns A view of the bytes
 */
export function byteString(
  check: AttestationCheck,
  item: CborItem,
  name: string,
  min: number,
  max = MAX_FIELD_LENGTH,
): Uint8Array<ArrayBuffer> {
  checkKnown(item);
  const { type, content } = item;
  if (type === "bytes" && content.length >= min && content.length <= max) {
    return content as Uint8Array<ArrayBuffer>; // a view of the document's own copy
  }
  throw malformed(check, `${name} is not a byte string of ${min} to ${max} bytes`);
}

/** Decodes a text item after its form was checked. */
export function text(item: CborItem): string {
  const value = cborText(item);
  if (value === undefined) throw isNotCbor();
  return value;
}

/**
 * Checks the form of one item, and not of the items inside it.
 *
 * @param item Any item
 * @throws {AttestationError} `TOO_DEEP`, `CBOR` or `NOT_CANONICAL`
 */
export function checkKnown(item: CborItem): void {
  const { type, argument, height, isShortest, isIndefinite } = item;
  if (height > MAX_KNOWN_HEIGHT) throw tooDeep();
  if (type === "float" || (type === "simple" && !KNOWN_SIMPLE_VALUES.includes(argument))) throw isNotCbor();
  if (!isShortest || (isIndefinite && (type === "bytes" || type === "text"))) throw notCanonical();
}

/** Tells whether an item is null. */
export function isNull({ type, argument }: CborItem): boolean {
  return type === "simple" && argument === NULL;
}

/** Reads the number of a head, which has its shortest form, without rounding. */
function exactArgument({ argument, encoded }: CborItem): bigint {
  return Number.isSafeInteger(argument) ? BigInt(argument) : BigInt(`0x${toHex(encoded.subarray(1))}`);
}

/** Shortens and escapes a name to one line that looks the same everywhere. */
function printable(name: string): string {
  const shown = name.replaceAll(
    /[^\x20-\x7e]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return shown.length > MAX_NAME_SHOWN ? `${shown.slice(0, MAX_NAME_SHOWN)}…` : shown;
}

const isNotCbor = () => malformed("CBOR", "not one item of CBOR");

/** Makes the error of an item that is nested too deeply. */
export const tooDeep = (): AttestationError => malformed("TOO_DEEP", "it is nested too deeply");
/** Makes the error of a key that is there twice. */
export const duplicateKey = (): AttestationError => malformed("DUPLICATE_KEY", "a key is there twice");
/** Makes the error of an item that could be written shorter, or in one piece. */
export const notCanonical = (): AttestationError => {
  return malformed("NOT_CANONICAL", "something is not in its shortest form");
};

/**
 * Makes the error of a failed check.
 *
 * @param check The check
 * @param what The finding
 * @param hint Default: that of the check
 */
export function malformed(
  check: AttestationCheck,
  what: string,
  hint = HINTS[check] ?? IS_IT,
): AttestationError {
  return new AttestationError(check, `Cannot read attestation document: ${what}`, { hint });
}

const IS_IT = "Is this an attestation document of a Nitro Enclave, complete and unchanged?";

const HINTS: Readonly<Partial<Record<AttestationCheck, string>>> = {
  CBOR: "Is it the document's bytes, neither its base64 nor its hex, complete and unchanged?",
  COSE: "Is it the whole document, not its payload, and without a COSE tag?",
  ALGORITHM: "Nitro Enclaves sign by ES384: is this document from something else?",
};
