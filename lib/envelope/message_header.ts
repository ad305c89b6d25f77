/**
 * Header of a message in version 2 of AWS's Encryption SDK format, which also identifies the message:
 *
 * | offset | bytes | what |
 * | --- | --- | --- |
 * | 0 | 1 | version, `02` |
 * | 1 | 2 | algorithm suite, `0478`: AES-256-GCM, HKDF-SHA-512, key commitment, no signature |
 * | 3 | 32 | message id, random: the salt of the key derivation |
 * | 35 | 2 | length of the encryption context, 0 for none |
 * | 37 | … | encryption context: number of pairs (2), then for each its name and its value, each after its length (2) |
 * | | 2 | number of encrypted data keys |
 * | | … | for each: provider id (`aws-kms`), provider info (key ARN), encrypted key, each after its length (2) |
 * | | 1 | content type, `02`: frames |
 * | | 4 | frame length: the plaintext bytes of every frame but the last |
 * | | 32 | key commitment |
 * | | 16 | tag over all of the above |
 *
 * Numbers are big-endian. https://github.com/awslabs/aws-encryption-sdk-specification, data-format/
 *
 * @module
 */
import { concatBytes } from "../core/bytes.ts";
import { Buffer } from "node:buffer";
import type { ByteReader } from "./byte_reader.ts";
import { decodeContext, encodeContext, type EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";

/** Id of the suite AES-256-GCM with HKDF-SHA-512 and key commitment, without a signature. */
export const SUITE_ID = 0x0478;

/** Bytes of the message id, of the commitment and of the keys. */
export const KEY_BYTES = 32;

/** Bytes of an authentication tag. */
export const TAG_BYTES = 16;

/** Name of KMS in the format. */
export const KMS_PROVIDER_ID = "aws-kms";

const VERSION = 2;
const FRAMED = 2;
const MAX_DATA_KEYS = 32;
const MAX_HEADER_BYTES = 128 * 1024;
const SIGNED_SUITE_ID = 0x0578;

/** Data key of a message, encrypted by one provider. */
export interface EncryptedDataKey {
  /** Id of the provider, `aws-kms` for KMS. */
  readonly providerId: string;
  /** Information of the provider; for KMS, the ARN of the key. */
  readonly providerInfo: string;
  /** Encrypted data key. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
}

/** Fields of a header; none of them can be relied on before the tag has been verified. */
export interface MessageHeader {
  /** Message id, 32 random bytes. */
  readonly messageId: Uint8Array<ArrayBuffer>;
  /** Encryption context of the data key. */
  readonly encryptionContext: EncryptionContext;
  /** Encrypted data keys, at least one. */
  readonly dataKeys: readonly EncryptedDataKey[];
  /** Plaintext bytes of every frame but the last. */
  readonly frameBytes: number;
  /** Commitment, 32 bytes that only the right key derives. */
  readonly commitment: Uint8Array<ArrayBuffer>;
}

/** Header as it was read. */
export interface ReadHeader extends MessageHeader {
  /** Bytes that the tag authenticates. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Tag, 16 bytes. */
  readonly tag: Uint8Array<ArrayBuffer>;
}

/**
 * Encodes a header.
 *
 * @param header Fields of the header
 * @returns Its bytes without the tag
 */
export function encodeHeader(header: MessageHeader): Uint8Array<ArrayBuffer> {
  const context = encodeContext(header.encryptionContext);
  const dataKeys = header.dataKeys.flatMap(({ providerId, providerInfo, ciphertext }) =>
    [Buffer.from(providerId), Buffer.from(providerInfo), ciphertext].flatMap((field) => [
      uint(field.length, 2),
      field,
    ])
  );
  return concatBytes([
    uint(VERSION, 1),
    uint(SUITE_ID, 2),
    header.messageId,
    uint(context.length, 2),
    context,
    uint(header.dataKeys.length, 2),
    ...dataKeys,
    uint(FRAMED, 1),
    uint(header.frameBytes, 4),
    header.commitment,
  ]);
}

/**
 * Reads a header.
 *
 * @param input Reader at the first byte of a message; afterwards it stands at the first frame
 * @returns The header, whose tag is not verified yet
 * @throws {EnvelopeError} `FORMAT`, `SUITE`, `LIMIT` or `TRUNCATED`
 */
export async function readHeader(input: ByteReader): Promise<ReadHeader> {
  const fields = new HeaderReader(input);
  await expectSuite(fields);
  const messageId = await fields.bytes(KEY_BYTES);
  const encryptionContext = decodeContext(await fields.bytes(await fields.uint(2)));
  const dataKeys = await readDataKeys(fields);
  if (await fields.uint(1) !== FRAMED) {
    throw malformed("its content is not framed", "Was it encrypted with a frame length of 0?");
  }
  const frameBytes = await fields.uint(4);
  if (frameBytes === 0) throw malformed("its frames have no length");
  const commitment = await fields.bytes(KEY_BYTES);
  const tag = await input.take(TAG_BYTES);
  return { messageId, encryptionContext, dataKeys, frameBytes, commitment, body: fields.read, tag };
}

async function readDataKeys(fields: HeaderReader): Promise<EncryptedDataKey[]> {
  const count = await fields.uint(2);
  if (count === 0) throw malformed("it has no encrypted data key");
  if (count > MAX_DATA_KEYS) throw tooLarge(`it has more than ${MAX_DATA_KEYS} encrypted data keys`);
  const dataKeys: EncryptedDataKey[] = [];
  for (let index = 0; index < count; index++) {
    const providerId = asText(await fields.bytes(await fields.uint(2)));
    const providerInfo = asText(await fields.bytes(await fields.uint(2)));
    dataKeys.push({ providerId, providerInfo, ciphertext: await fields.bytes(await fields.uint(2)) });
  }
  return dataKeys;
}

/** Checks the suite, and names one that it cannot read. Version 1 has its type, `80`, before the suite. */
async function expectSuite(fields: HeaderReader): Promise<void> {
  const version = await fields.uint(1);
  if (version !== 1 && version !== VERSION) {
    const looksLikeBase64 = version === "A".charCodeAt(0);
    throw malformed(
      "it does not begin with a version of the format",
      looksLikeBase64 ? "Is it still in base64?" : "Is it a message of the AWS Encryption SDK at all?",
    );
  }
  if (version === 1) await fields.uint(1);
  const suite = await fields.uint(2);
  if (version === VERSION && suite === SUITE_ID) return;
  const name = `0x${suite.toString(16).padStart(4, "0")}`;
  const signed = suite === SIGNED_SUITE_ID;
  throw new EnvelopeError("SUITE", `Cannot decrypt message: algorithm suite ${name} is not supported`, {
    hint: signed
      ? "It is signed; encrypt with AES_256_GCM_HKDF_SHA512_COMMIT_KEY (0x0478) instead"
      : "It does not commit to its key; encrypt with AES_256_GCM_HKDF_SHA512_COMMIT_KEY (0x0478) instead",
  });
}

/** Reader of fields that keeps their bytes for the tag, up to the header's limit. */
class HeaderReader {
  readonly #input: ByteReader;
  readonly #read: Uint8Array[] = [];
  #length = 0;

  constructor(input: ByteReader) {
    this.#input = input;
  }

  get read(): Uint8Array<ArrayBuffer> {
    return concatBytes(this.#read);
  }

  async bytes(length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#length += length;
    if (this.#length > MAX_HEADER_BYTES) throw tooLarge(`its header has more than ${MAX_HEADER_BYTES} bytes`);
    const bytes = await this.#input.take(length);
    this.#read.push(bytes);
    return bytes;
  }

  async uint(length: number): Promise<number> {
    return (await this.bytes(length)).reduce((value, byte) => value * 256 + byte, 0);
  }
}

/** Decodes text leniently: it is only compared with ASCII, and the information of another provider need not be text. */
function asText(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
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

function malformed(what: string, hint = "Was the message damaged on its way?"): EnvelopeError {
  return new EnvelopeError("FORMAT", `Cannot decrypt message: ${what}`, { hint });
}

function tooLarge(what: string): EnvelopeError {
  return new EnvelopeError("LIMIT", `Cannot decrypt message: ${what}`, {
    hint: "No message that KMS can decrypt needs as much: is it one of the AWS Encryption SDK's?",
  });
}
