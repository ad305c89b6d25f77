/**
 * Private X25519 keys as age writes them, `AGE-SECRET-KEY-1…` (Bech32, BIP 173), without a JavaScript string of one:
 * those cannot be wiped.
 *
 * @see https://c2sp.org/age#the-x25519-recipient-type
 *
 * @module
 */
import { allocateOffHeap } from "../core/secret_bytes.ts";

/** Length of the key itself, in bytes. */
const SCALAR_BYTES = 32;

/** PKCS #8 of a private key on X25519 (RFC 8410), up to the 32 bytes of the key. */
const PKCS8_HEAD = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);

const DIGITS = ascii("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L");
const PREFIX = ascii("AGE-SECRET-KEY-1");

/** Groups of five bits: 256 bits of key, and four that are zero. */
const KEY_DIGITS = 52;
const CHECKSUM_DIGITS = 6;

/** Length of an identity's text, in bytes. */
export const AGE_IDENTITY_BYTES: number = PREFIX.length + KEY_DIGITS + CHECKSUM_DIGITS;

/**
 * Writes an identity.
 *
 * @param scalar Private key, 32 bytes; not kept
 * @returns The 74 bytes of `AGE-SECRET-KEY-1…`, without a line feed, for the caller to wipe
 * @throws {TypeError} When it is not 32 bytes
 */
export function encodeAgeIdentity(scalar: Uint8Array): Uint8Array<ArrayBuffer> {
  if (!(scalar instanceof Uint8Array) || scalar.length !== SCALAR_BYTES) {
    throw new TypeError("scalar must be 32 bytes");
  }
  const text = allocateOffHeap(AGE_IDENTITY_BYTES);
  text.set(PREFIX);
  let checksum = PREFIX_CHECKSUM;
  for (let index = 0; index < KEY_DIGITS; index++) {
    const value = groupAt(scalar, index);
    checksum = polymod(checksum, value);
    text[PREFIX.length + index] = DIGITS[value]!;
  }
  for (let index = 0; index < CHECKSUM_DIGITS; index++) checksum = polymod(checksum, 0);
  for (let index = 0; index < CHECKSUM_DIGITS; index++) {
    const value = ((checksum ^ 1) >>> 5 * (CHECKSUM_DIGITS - 1 - index)) & 31;
    text[PREFIX.length + KEY_DIGITS + index] = DIGITS[value]!;
  }
  return text;
}

/**
 * Reads an identity, alone or in a file as `age-keygen` writes it: one identity, among empty lines and lines that begin
 * with `#`.
 *
 * @param text ASCII text; not kept
 * @returns Private key of 32 bytes, for the caller to wipe; undefined when the text is anything else
 */
export function parseAgeIdentity(text: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  let found: Uint8Array | undefined;
  for (const line of linesOf(text)) {
    if (line.length === 0 || line[0] === HASH) continue;
    if (found !== undefined) return undefined;
    found = line;
  }
  return found === undefined ? undefined : readIdentity(found);
}

/**
 * Writes a private key as the runtimes import it.
 *
 * @param scalar Private key, 32 bytes; not kept
 * @returns PKCS #8 of 48 bytes, for the caller to wipe
 */
export function encodeX25519Pkcs8(scalar: Uint8Array): Uint8Array<ArrayBuffer> {
  const pkcs8 = allocateOffHeap(PKCS8_HEAD.length + SCALAR_BYTES);
  pkcs8.set(PKCS8_HEAD);
  pkcs8.set(scalar, PKCS8_HEAD.length);
  return pkcs8;
}

function readIdentity(line: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (line.length !== AGE_IDENTITY_BYTES || !PREFIX.every((byte, index) => line[index] === byte)) return;
  const scalar = allocateOffHeap(SCALAR_BYTES);
  let checksum = PREFIX_CHECKSUM;
  let isValid = true;
  for (let index = 0; index < KEY_DIGITS + CHECKSUM_DIGITS; index++) {
    const value = DIGITS.indexOf(line[PREFIX.length + index]!);
    isValid &&= value >= 0;
    checksum = polymod(checksum, value & 31);
    if (index < KEY_DIGITS) putGroup(scalar, index, value & 31);
    if (index === KEY_DIGITS - 1) isValid &&= (value & 15) === 0;
  }
  if (isValid && checksum === 1) return scalar;
  scalar.fill(0);
  return undefined;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const HASH = "#".charCodeAt(0);

function* linesOf(text: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < text.length;) {
    const feed = text.indexOf(LINE_FEED, start);
    const end = feed < 0 ? text.length : feed;
    const isWide = feed > start && text[end - 1] === CARRIAGE_RETURN;
    yield text.subarray(start, isWide ? end - 1 : end);
    start = end + 1;
  }
}

/** Reads the five bits at a place; bits past the end are zero. */
function groupAt(bytes: Uint8Array, index: number): number {
  const [at, shift] = [index * 5 >> 3, index * 5 & 7];
  return ((bytes[at]! << 8 | (bytes[at + 1] ?? 0)) >> 11 - shift) & 31;
}

/** Writes the five bits at a place of bytes that are zero there; bits past the end are dropped. */
function putGroup(bytes: Uint8Array, index: number, value: number): void {
  const [at, shift] = [index * 5 >> 3, index * 5 & 7];
  const placed = value << 11 - shift;
  bytes[at]! |= placed >> 8;
  if (at + 1 < bytes.length) bytes[at + 1]! |= placed & 0xff;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Takes one more group of five bits into the checksum of BIP 173. */
function polymod(checksum: number, value: number): number {
  const top = checksum >>> 25;
  let next = (checksum & 0x1ffffff) << 5 ^ value;
  GENERATORS.forEach((generator, bit) => next ^= (top >>> bit & 1) === 1 ? generator : 0);
  return next >>> 0;
}

const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

/** Checksum of the part before the last `1`, which counts in lower case. */
const PREFIX_CHECKSUM = (() => {
  const name = [...ascii("age-secret-key-")];
  const groups = [...name.map((byte) => byte >> 5), 0, ...name.map((byte) => byte & 31)];
  return groups.reduce(polymod, 1);
})();
