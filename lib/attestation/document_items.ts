/**
 * The items of an attestation document: maps by name, byte strings and texts within their limits, each in the
 * one form that it may have, and the errors of what is not.
 *
 * @module
 */
import { type AttestationCheck, AttestationError } from "../core/errors.ts";
import { toHex } from "../core/bytes.ts";
import { cborEntries, type CborItem, cborText, readCbor } from "../core/cbor.ts";

/** How many arrays, maps and tags may be in each other in a field that is not known. */
export const MAX_UNKNOWN_HEIGHT = 16;
/** How many may be in each other in one that is: it is a map or a list of byte strings at most. */
export const MAX_KNOWN_HEIGHT = 2;
/** AWS says 1024 for certificates and the public key, 512 for the others; the device itself allows more. */
const MAX_FIELD_LENGTH = 4096;
const MAX_NAME_SHOWN = 64;
const NULL = 22;
/** False, true and null. */
const KNOWN_SIMPLE_VALUES = [20, 21, NULL];

/** A map's values by name, and the names that are not known, fit to be shown. */
export interface DocumentFields {
  readonly known: ReadonlyMap<string, CborItem>;
  readonly unknown: readonly string[];
}

/**
 * @param bytes CBOR
 * @returns The one item that it is
 * @throws {AttestationError} `CBOR`
 */
export function readItem(bytes: Uint8Array<ArrayBuffer>): CborItem {
  const item = readCbor(bytes);
  if (item === undefined) throw isNotCbor();
  return item;
}

/**
 * Reads a map of any length, whose names are texts and integers. Values are not looked into, but for the depth of
 * those whose names are not known.
 *
 * @param map The map
 * @param names The names that are known, all texts
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
 * @param check What fails when it is not one
 * @param item Any
 * @param name What it is
 * @param min Its least length, in bytes
 * @param max Its greatest
 * @returns A view of it
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

/** The text of a text item, whose form was checked. */
export function text(item: CborItem): string {
  const value = cborText(item);
  if (value === undefined) throw isNotCbor();
  return value;
}

/**
 * Checks the form of an item that is looked into: of it alone, not of what it holds.
 *
 * @param item Any
 * @throws {AttestationError} `TOO_DEEP`, `CBOR` or `NOT_CANONICAL`
 */
export function checkKnown(item: CborItem): void {
  const { type, argument, height, isShortest, isIndefinite } = item;
  if (height > MAX_KNOWN_HEIGHT) throw tooDeep();
  if (type === "float" || (type === "simple" && !KNOWN_SIMPLE_VALUES.includes(argument))) throw isNotCbor();
  if (!isShortest || (isIndefinite && (type === "bytes" || type === "text"))) throw notCanonical();
}

/** Whether it is null. */
export function isNull({ type, argument }: CborItem): boolean {
  return type === "simple" && argument === NULL;
}

/** A number in full, of a head in its shortest form. */
function exactArgument({ argument, encoded }: CborItem): bigint {
  return Number.isSafeInteger(argument) ? BigInt(argument) : BigInt(`0x${toHex(encoded.subarray(1))}`);
}

/** A name for people: short, on one line, and the same everywhere. */
function printable(name: string): string {
  const shown = name.replaceAll(
    /[^\x20-\x7e]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return shown.length > MAX_NAME_SHOWN ? `${shown.slice(0, MAX_NAME_SHOWN)}…` : shown;
}

const isNotCbor = () => malformed("CBOR", "not one item of CBOR");

/** The error for what is nested too deeply. */
export const tooDeep = (): AttestationError => malformed("TOO_DEEP", "it is nested too deeply");
/** The error for a key that is there twice. */
export const duplicateKey = (): AttestationError => malformed("DUPLICATE_KEY", "a key is there twice");
/** The error for what could be written shorter, or in one piece. */
export const notCanonical = (): AttestationError => {
  return malformed("NOT_CANONICAL", "something is not in its shortest form");
};

/**
 * @param check The check that failed
 * @param what What was found
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
