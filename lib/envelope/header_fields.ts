import { EnvelopeError } from "./envelope_error.ts";

/** Bytes of an authentication tag. */
export const TAG_BYTES = 16;

const MAX_HEADER_BYTES = 128 * 1024;

/** Sign that bytes are missing. It is thrown for each part of a header, and is no Error: a stack trace takes 50 µs. */
export class Shortage {
  /** Number of bytes that the message must have to go on. */
  readonly needed: number;

  /**
   * Counts the bytes.
   *
   * @param needed Number of bytes from the beginning of the message
   */
  constructor(needed: number) {
    this.needed = needed;
  }
}

/** Fields of a header in their order, up to its limit. */
export class Fields {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #offset = 0;

  /**
   * Starts at the first field.
   *
   * @param bytes First bytes of a message, as many as there are
   */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** All bytes so far. */
  get taken(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#offset);
  }

  /**
   * Takes a number of bytes. Like every other field it throws when they are missing or beyond the limit.
   *
   * @param length The number
   * @throws {Shortage} When the bytes end before
   * @throws {EnvelopeError} `LIMIT`, when a header must not be so long
   */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#take(length), this.#offset);
  }

  /** Takes a number of 8 bits. */
  uint8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  /** Takes a number of 16 bits. */
  uint16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  /** Takes a number of 32 bits. */
  uint32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** Takes the tag, which does not count: the limit is of what it authenticates. */
  tag(): Uint8Array<ArrayBuffer> {
    const end = this.#offset + TAG_BYTES;
    if (end > this.#bytes.length) throw new Shortage(end);
    return this.#bytes.subarray(this.#offset, end);
  }

  #take(length: number): number {
    const start = this.#offset;
    this.#offset += length;
    if (this.#offset > MAX_HEADER_BYTES) throw tooLarge(`its header has more than ${MAX_HEADER_BYTES} bytes`);
    if (this.#offset > this.#bytes.length) throw new Shortage(this.#offset);
    return start;
  }
}

/** Writer of fields in their order. Numbers are big-endian, and must fit. */
export class FieldWriter {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #offset = 0;

  /**
   * Starts at the first field.
   *
   * @param bytes Memory that is long enough for all
   */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Writes a number of 8 bits. */
  uint8(value: number): void {
    this.#view.setUint8(this.#offset, value);
    this.#offset += 1;
  }

  /** Writes a number of 16 bits. */
  uint16(value: number): void {
    this.#view.setUint16(this.#offset, value);
    this.#offset += 2;
  }

  /** Writes a number of 32 bits. */
  uint32(value: number): void {
    this.#view.setUint32(this.#offset, value);
    this.#offset += 4;
  }

  /** Writes bytes. */
  bytes(value: Uint8Array): void {
    this.#bytes.set(value, this.#offset);
    this.#offset += value.length;
  }

  /** Writes bytes after their length of 16 bits. */
  field(value: Uint8Array): void {
    this.uint16(value.length);
    this.bytes(value);
  }
}

/**
 * Encodes a number.
 *
 * @param value A whole number
 * @param length Length in bytes
 * @returns The number, big-endian
 */
export function uint(value: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let index = length - 1, rest = value; index >= 0; index--, rest = Math.floor(rest / 256)) {
    bytes[index] = rest % 256;
  }
  return bytes;
}

/**
 * Makes the error of a malformed header.
 *
 * @param what Fault, as "it …"
 * @param hint Likeliest cause
 */
export function malformed(what: string, hint = "Was the message damaged on its way?"): EnvelopeError {
  return new EnvelopeError("FORMAT", `Cannot decrypt message: ${what}`, { hint });
}

/**
 * Makes the error of a header that is larger than any that is needed.
 *
 * @param what Fault, as "it …"
 */
export function tooLarge(what: string): EnvelopeError {
  return new EnvelopeError("LIMIT", `Cannot decrypt message: ${what}`, {
    hint: "No message that KMS can decrypt needs so much: is it a message of the AWS Encryption SDK?",
  });
}
