import { AttestationError } from "../core/errors.ts";

/** ASN.1 tags of certificates. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/**
 * Strict reader of DER: one-byte tags, definite lengths in their shortest form, nothing left over.
 * Every fault is an {@link AttestationError} with the check `CERTIFICATE`.
 */
export class DerReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #offset = 0;

  /**
   * Begins at the first byte.
   *
   * @param bytes The encoding; the reader returns views into it
   */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** Whether everything has been read. */
  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** Whether the next element has this tag. */
  nextIs(tag: number): boolean {
    return this.#bytes[this.#offset] === tag;
  }

  /** Reads the whole next element, tag and length included. */
  element(tag: number): Uint8Array<ArrayBuffer> {
    const start = this.#offset;
    this.contents(tag);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Reads the contents of the next element. */
  contents(tag: number): Uint8Array<ArrayBuffer> {
    if (!this.nextIs(tag)) throw malformed("an unexpected tag");
    this.#offset++;
    const length = this.#length();
    const start = this.#offset;
    if (length > this.#bytes.length - start) throw malformed("an element is cut off");
    this.#offset = start + length;
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Makes a reader over the contents of the next element. */
  enter(tag: number): DerReader {
    return new DerReader(this.contents(tag));
  }

  /** Reads the next BOOLEAN. */
  boolean(): boolean {
    const [value, ...rest] = this.contents(TAG.boolean);
    if (rest.length > 0 || (value !== 0 && value !== 0xff)) throw malformed("a BOOLEAN is neither 0 nor 255");
    return value === 0xff;
  }

  /** Reads the next INTEGER, which must not be negative, as big-endian bytes without the sign byte. */
  unsignedInteger(): Uint8Array<ArrayBuffer> {
    const bytes = this.contents(TAG.integer);
    const [first, second] = bytes;
    if (first === undefined || first >= 0x80) throw malformed("an INTEGER is empty or negative");
    if (first !== 0 || bytes.length === 1) return bytes;
    if (second === undefined || second < 0x80) throw malformed("an INTEGER is not in its shortest form");
    return bytes.subarray(1);
  }

  /** Reads the next BIT STRING of whole bytes. */
  wholeBytes(): Uint8Array<ArrayBuffer> {
    const bytes = this.contents(TAG.bitString);
    if (bytes[0] !== 0) throw malformed("a BIT STRING is not made of whole bytes");
    return bytes.subarray(1);
  }

  /** Throws unless everything has been read. */
  finish(): void {
    if (!this.done) throw malformed("there is something left over");
  }

  #length(): number {
    const first = this.#bytes[this.#offset++];
    if (first === undefined) throw malformed("a length is missing");
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count < 1 || count > 2) throw malformed("a length is indefinite or too long");
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (this.#bytes[this.#offset++] ?? 0);
    if (length < 0x80 || (count === 2 && length < 0x100)) {
      throw malformed("a length is not in its shortest form");
    }
    return length;
  }
}

/**
 * Makes the error of a certificate that cannot be read.
 *
 * @param what The fault
 * @returns The error
 */
export function malformed(what: string): AttestationError {
  return new AttestationError("CERTIFICATE", `Cannot read certificate: ${what}`, {
    hint: "Is this an attestation document of a Nitro Enclave, complete and unchanged?",
  });
}
