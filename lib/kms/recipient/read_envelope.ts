import { concatBytes } from "../../core/bytes.ts";
import { decodeHex } from "../../core/encoding.ts";
import { ProtocolError } from "../../core/errors.ts";

/** The longest `CiphertextForRecipient` that is read, in bytes. KMS's own stay below 5 KiB. */
export const MAX_ENVELOPE_BYTES = 16_384;

/** Parts of an envelope to open: copies, independent of the bytes they were read from. */
export interface Envelope {
  /** The content key under RSAES-OAEP with SHA-256, 256 bytes. */
  readonly wrappedKey: Uint8Array<ArrayBuffer>;
  /** Initialisation vector of AES-256-CBC, 16 bytes. */
  readonly iv: Uint8Array<ArrayBuffer>;
  /** The content under AES-256-CBC with PKCS #7 padding, a positive multiple of 16 bytes. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a `CiphertextForRecipient`: CMS EnvelopedData as KMS writes it and in no other way.
 *
 * Everything but five fields is the same, byte for byte, in every envelope of KMS, so it is compared and not
 * interpreted. What follows the content differs in two shapes: `[0]` constructed of indefinite length with
 * OCTET STRING segments, or `[0]` primitive of definite length.
 *
 * @param bytes BER, at most {@link MAX_ENVELOPE_BYTES}
 * @returns The fields that matter; the subject key identifier names our only key and is passed over
 * @throws {ProtocolError} The one that {@link envelopeError} makes, whatever is wrong
 */
export function readEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length > MAX_ENVELOPE_BYTES) throw envelopeError();
  const reader = new Reader(bytes);
  reader.expect(HEAD);
  reader.take(SUBJECT_KEY_IDENTIFIER_BYTES);
  reader.expect(KEY_ENCRYPTION);
  const wrappedKey = reader.take(WRAPPED_KEY_BYTES);
  reader.expect(CONTENT_ENCRYPTION);
  const iv = reader.take(BLOCK_BYTES);
  const ciphertext = readContent(reader);
  reader.expect(TAIL);
  reader.expectEnd();
  if (ciphertext.length === 0 || ciphertext.length % BLOCK_BYTES !== 0) throw envelopeError();
  return { wrappedKey, iv, ciphertext };
}

/**
 * The one error for an envelope that cannot be opened. Form, wrapped key, content key and padding share it:
 * CMS has no MAC, and whoever could tell the failures apart could decrypt by asking.
 */
export function envelopeError(): ProtocolError {
  return new ProtocolError("Cannot open CiphertextForRecipient: it is not an envelope for this key pair", {
    hint: "Was it made for an older attestation document, or by something other than KMS?",
  });
}

const SUBJECT_KEY_IDENTIFIER_BYTES = 32;
const WRAPPED_KEY_BYTES = 256;
const BLOCK_BYTES = 16;

// ContentInfo { envelopedData, [0] { EnvelopedData { version 2, SET { KeyTransRecipientInfo { version 2, [0]
const HEAD = decodeHex(
  "3080" + "06092a864886f70d010703" + "a080" + "3080" + "020102" + "3182016b" + "30820167" + "020102" +
    "8020",
);

// { rsaesOaep, { [0] { sha256, NULL }, [1] { mgf1, { sha256, NULL } } } }, OCTET STRING
const KEY_ENCRYPTION = decodeHex(
  "303c" + "06092a864886f70d010107" + "302f" + "a00f" + "300d" + "0609608648016503040201" + "0500" +
    "a11c" + "301a" + "06092a864886f70d010108" + "300d" + "0609608648016503040201" + "0500" + "04820100",
);

// EncryptedContentInfo { data, { aes256-CBC, OCTET STRING
const CONTENT_ENCRYPTION = decodeHex(
  "3080" + "06092a864886f70d010701" + "301d" + "060960864801650304012a" + "0410",
);

const END_OF_CONTENTS = decodeHex("0000");
const TAIL = decodeHex("0000".repeat(4));

const TAG_CONTENT_CONSTRUCTED = 0xa0;
const TAG_CONTENT_PRIMITIVE = 0x80;
const TAG_OCTET_STRING = 0x04;
const LENGTH_INDEFINITE = 0x80;

function readContent(reader: Reader): Uint8Array<ArrayBuffer> {
  const tag = reader.byte();
  if (tag === TAG_CONTENT_PRIMITIVE) return reader.take(reader.length());
  if (tag !== TAG_CONTENT_CONSTRUCTED || reader.byte() !== LENGTH_INDEFINITE) throw envelopeError();
  const segments: Uint8Array<ArrayBuffer>[] = [];
  while (reader.nextIs(TAG_OCTET_STRING)) {
    reader.byte();
    const segment = reader.take(reader.length());
    if (segment.length === 0) throw envelopeError();
    segments.push(segment);
  }
  reader.expect(END_OF_CONTENTS);
  return concatBytes(segments);
}

class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  nextIs(byte: number): boolean {
    return this.#bytes[this.#offset] === byte;
  }

  byte(): number {
    const byte = this.#bytes[this.#offset++];
    if (byte === undefined) throw envelopeError();
    return byte;
  }

  take(length: number): Uint8Array<ArrayBuffer> {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw envelopeError();
    const part = new Uint8Array(this.#bytes.subarray(this.#offset, end));
    this.#offset = end;
    return part;
  }

  expect(constant: Uint8Array): void {
    for (const byte of constant) {
      if (this.byte() !== byte) throw envelopeError();
    }
  }

  expectEnd(): void {
    if (this.#offset !== this.#bytes.length) throw envelopeError();
  }

  // Definite, in the shortest of the three forms that reach MAX_ENVELOPE_BYTES.
  length(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    if (first === 0x81) return atLeast(0x80, this.byte());
    if (first === 0x82) return atLeast(0x100, this.byte() << 8 | this.byte());
    throw envelopeError();
  }
}

function atLeast(minimum: number, length: number): number {
  if (length < minimum) throw envelopeError();
  return length;
}
