/**
 * Headers of binary HTTP messages (RFC 9292): their form, their limits, and those that may not stand in such a message.
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { ProtocolError } from "../core/errors.ts";
import { encodeVarint } from "./varint.ts";

/** Name and value of a header: the name in lowercase, the value's characters each standing for a byte. */
export type FieldLine = readonly [name: string, value: string];

/** Limits of a message. */
export interface BinaryHttpLimits {
  /** Most headers. Default: 100. */
  readonly maxFieldLines?: number | undefined;
  /** Most bytes of all names and values of headers together. Default: 16384. */
  readonly maxFieldBytes?: number | undefined;
}

const DEFAULT_MAX_FIELD_LINES = 100;
const DEFAULT_MAX_FIELD_BYTES = 16_384;

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const FIELD_VALUE = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;

/** Fields that are about a connection (RFC 9113, section 8.2.2), or that a sealed message cannot serve. */
const REFUSED_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Tells whether a header may stand in a binary message.
 *
 * @param name Name in lowercase
 */
export function isSealable(name: string): boolean {
  return !REFUSED_FIELDS.has(name);
}

/** Headers as they are read, within their limits. */
export class FieldList {
  /** Headers so far. */
  readonly lines: FieldLine[] = [];
  readonly #maxLines: number;
  #bytesLeft: number;

  /** @param limits Limits of all headers together */
  constructor(limits: BinaryHttpLimits) {
    this.#maxLines = limits.maxFieldLines ?? DEFAULT_MAX_FIELD_LINES;
    this.#bytesLeft = limits.maxFieldBytes ?? DEFAULT_MAX_FIELD_BYTES;
  }

  /** Bytes that the names and values to come may have together. */
  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  /**
   * Adds a header.
   *
   * @param name Name as it was read
   * @param value Value as it was read
   * @throws {ProtocolError} When it is malformed, or over a limit
   */
  add(name: Uint8Array, value: Uint8Array): void {
    this.#bytesLeft -= name.length + value.length;
    if (this.lines.length === this.#maxLines || this.#bytesLeft < 0) {
      throw malformed("it has too many headers");
    }
    const line = [toText(name), toText(value)] as const;
    checkField(line);
    this.lines.push(line);
  }
}

/**
 * Checks a header.
 *
 * @param line Name and value
 * @throws {ProtocolError} When it is malformed, or about a connection
 */
export function checkField([name, value]: FieldLine): void {
  if (!FIELD_NAME.test(name)) throw malformed("the name of a header is malformed, or not in lowercase");
  if (!FIELD_VALUE.test(value)) throw malformed("the value of a header is malformed");
  if (!isSealable(name)) throw malformed(`it has the header ${name}`);
}

/**
 * Writes text with its length before it.
 *
 * @param text Characters that each stand for a byte
 */
export function withLength(text: string): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return concatBytes([encodeVarint(bytes.length), bytes]);
}

/**
 * Reads text: each byte becomes the character of its number, as in fetch's headers.
 *
 * @param bytes The bytes
 */
export function toText(bytes: Uint8Array): string {
  return bytes.reduce((text, byte) => text + String.fromCharCode(byte), "");
}

/**
 * Makes the error of a message that is malformed.
 *
 * @param why Fault
 */
export function malformed(why: string): ProtocolError {
  return new ProtocolError(`Cannot translate binary HTTP message: ${why}`, {
    hint: "Does the sender follow RFC 9292?",
  });
}
