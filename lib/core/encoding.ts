/**
 * Base64 and hex under the names of `@std/encoding`, over the runtimes' own codecs. Unlike those, the decoders are
 * strict, and can decode into a buffer of the caller's, so that a decoded secret exists once.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { checkFields } from "./checks.ts";
import { allocateOffHeap } from "./secret_bytes.ts";

/** Options of decoders. */
export interface DecodeOptions {
  /** Name of the text, for messages: `ciphertext`. */
  readonly field?: string;
  /** Memory to fill. Default: fresh memory that the collector does not move. */
  readonly into?: Uint8Array<ArrayBuffer>;
}

/**
 * Encodes as base64 with padding (RFC 4648, section 4).
 *
 * @param data Any number of bytes
 * @returns Text of `4 * ceil(n / 3)` characters
 * @example
 * ```ts
 * import { encodeBase64 } from "enclave-kms";
 *
 * encodeBase64(new Uint8Array([1, 2])); // "AQI="
 * ```
 */
export function encodeBase64(data: Uint8Array): string {
  return asBuffer(data).toString("base64");
}

/**
 * Decodes base64, strictly: the padding is required, unused bits are zero, and white space and the URL-safe
 * alphabet are refused. There is exactly one text for any bytes: the one {@link encodeBase64} makes.
 *
 * @param text Base64 of any length
 * @param options Name of the field for errors, and memory to fill
 * @returns The bytes; with `into`, the part of it that was filled
 * @throws {TypeError} If the text is not canonical base64; the message holds nothing of it
 * @throws {RangeError} If `into` is too short
 * @example
 * ```ts
 * import { decodeBase64 } from "enclave-kms";
 *
 * decodeBase64("AQI="); // Uint8Array [1, 2]
 * decodeBase64("AQI", { field: "ciphertext" }); // TypeError: Cannot decode ciphertext: not canonical base64
 * ```
 */
export function decodeBase64(text: string, options: DecodeOptions = NO_OPTIONS): Uint8Array<ArrayBuffer> {
  const checked = options === NO_OPTIONS ? options : checkFields("decode options", options, DECODE_FIELDS);
  const length = canonicalBase64Length(text);
  if (length === undefined) throw malformed("canonical base64", checked.field);
  const target = targetFor(length, checked);
  if (typeof target.setFromBase64 === "function") target.setFromBase64(text);
  else asBuffer(target).write(text, "base64");
  return target;
}

/**
 * Encodes as lowercase hex.
 *
 * @param data Any number of bytes
 * @returns Text of `2 * n` characters
 * @example
 * ```ts
 * import { encodeHex } from "enclave-kms";
 *
 * encodeHex(new Uint8Array([1, 171])); // "01ab"
 * ```
 */
export function encodeHex(data: Uint8Array): string {
  return asBuffer(data).toString("hex");
}

/**
 * Decodes hex, strictly: an even number of digits and nothing else. Both cases are accepted, because RFC 4648
 * writes uppercase and most tools write lowercase.
 *
 * @param text Hex of any length
 * @param options Name of the field for errors, and memory to fill
 * @returns The bytes; with `into`, the part of it that was filled
 * @throws {TypeError} If the text is not hex; the message holds nothing of it
 * @throws {RangeError} If `into` is too short
 * @example
 * ```ts
 * import { decodeHex } from "enclave-kms";
 *
 * decodeHex("01aB"); // Uint8Array [1, 171]
 * ```
 */
export function decodeHex(text: string, options: DecodeOptions = {}): Uint8Array<ArrayBuffer> {
  const checked = checkFields("decode options", options, DECODE_FIELDS);
  if (typeof text !== "string" || text.length % 2 !== 0 || /[^0-9A-Fa-f]/.test(text)) {
    throw malformed("hex", checked.field);
  }
  const target = targetFor(text.length / 2, checked);
  if (typeof target.setFromHex === "function") target.setFromHex(text);
  else asBuffer(target).write(text, "hex");
  return target;
}

const DECODE_FIELDS = ["field", "into"];
const NO_OPTIONS: DecodeOptions = Object.freeze(Object.create(null));

// The last digit before the padding, where the bits that carry no data are zero.
const LAST_DIGIT = [undefined, "AEIMQUYcgkosw048", "AQgw"] as const;

function canonicalBase64Length(text: string): number | undefined {
  if (typeof text !== "string" || text.length % 4 !== 0) return undefined;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const digits = text.length - padding;
  if (/[^A-Za-z0-9+/]/.test(text.slice(0, digits))) return undefined;
  const last = LAST_DIGIT[padding];
  if (last !== undefined && !last.includes(text.charAt(digits - 1))) return undefined;
  return text.length / 4 * 3 - padding;
}

function targetFor(length: number, { field, into }: DecodeOptions): Uint8Array<ArrayBuffer> {
  if (into === undefined) return allocateOffHeap(length);
  if (!(into instanceof Uint8Array)) throw new TypeError("into must be a Uint8Array");
  if (into.length < length) {
    throw new RangeError(`Cannot decode ${field ?? "text"}: ${length} bytes do not fit into ${into.length}`);
  }
  return into.subarray(0, length);
}

// A view, not a copy: Buffer.from(data) would copy into the pool that all Buffers share.
function asBuffer(data: Uint8Array): Buffer {
  if (!(data instanceof Uint8Array)) throw new TypeError("Cannot encode: expected a Uint8Array");
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function malformed(encoding: string, field = "text"): TypeError {
  return new TypeError(`Cannot decode ${field}: not ${encoding}`);
}
