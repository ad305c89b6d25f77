/**
 * Header of a message in version 2 of AWS's Encryption SDK format, which also identifies the message:
 *
 * | offset | bytes | what |
 * | --- | --- | --- |
 * | 0 | 1 | version, `02` |
 * | 1 | 2 | algorithm suite: AES-256-GCM, HKDF-SHA-512, key commitment; `0478` without, `0578` with a signature |
 * | 3 | 32 | message id, random: the salt of the key derivation |
 * | 35 | 2 | length of the encryption context, 0 for none |
 * | 37 | … | encryption context: number of pairs (2), then for each its name and its value, each after its length (2) |
 * | | 2 | number of encrypted data keys |
 * | | … | for each: provider id (`aws-kms`), provider info (key ARN), encrypted key, each after its length (2) |
 * | | 1 | content type: `02` for frames, `01` for one piece, which is read only |
 * | | 4 | frame length: the plaintext bytes of every frame but the last; 0 for one piece |
 * | | 32 | key commitment |
 * | | 16 | tag over all of the above |
 *
 * Numbers are big-endian. https://github.com/awslabs/aws-encryption-sdk-specification, data-format/
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { decodeContext, encodeContext, type EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { Fields, FieldWriter, malformed, Shortage, TAG_BYTES, tooLarge } from "./header_fields.ts";

/** Id of the suite AES-256-GCM with HKDF-SHA-512 and key commitment, without a signature. */
export const SUITE_ID = 0x0478;

/** Id of the same suite with a signature behind the frames: ECDSA with P-384 and SHA-384. */
export const SIGNED_SUITE_ID = 0x0578;

/** Suite that is read and written. */
export type SuiteId = typeof SUITE_ID | typeof SIGNED_SUITE_ID;

/** Bytes of the message id, of the commitment and of the keys. */
export const KEY_BYTES = 32;

/** Name of KMS in the format. */
export const KMS_PROVIDER_ID = "aws-kms";

/** Most encrypted data keys of any message. */
export const MAX_DATA_KEYS = 32;

const KMS_PROVIDER = Buffer.from(KMS_PROVIDER_ID);
const VERSION = 2;
const UNFRAMED = 1;
const FRAMED = 2;

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
  /** Algorithm suite, which tells whether the message is signed. */
  readonly suiteId: SuiteId;
  /** Message id, 32 random bytes. */
  readonly messageId: Uint8Array<ArrayBuffer>;
  /** Encryption context of the data key. */
  readonly encryptionContext: EncryptionContext;
  /** Encrypted data keys, at least one. */
  readonly dataKeys: readonly EncryptedDataKey[];
  /** Plaintext bytes of every frame but the last; 0 when the content is in one piece. */
  readonly frameBytes: number;
  /** Commitment, 32 bytes that only the right key derives. */
  readonly commitment: Uint8Array<ArrayBuffer>;
}

/** Header as it was read. Its bytes are those that it was read from. */
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
 * @param more Bytes to leave behind it, for the rest of the message. Default: 0
 * @returns Its bytes, and zeros where the tag and the rest go
 */
export function encodeHeader(header: MessageHeader, more = 0): Uint8Array<ArrayBuffer> {
  const context = encodeContext(header.encryptionContext);
  const fields = header.dataKeys.flatMap(({ providerId, providerInfo, ciphertext }) => [
    providerId === KMS_PROVIDER_ID ? KMS_PROVIDER : Buffer.from(providerId),
    Buffer.from(providerInfo),
    ciphertext,
  ]);
  const fieldsBytes = fields.reduce((sum, { length }) => sum + 2 + length, 0);
  const fixedBytes = 3 + KEY_BYTES + 2 + 2 + 5 + KEY_BYTES + TAG_BYTES;
  const bytes = allocateOffHeap(fixedBytes + context.length + fieldsBytes + more);
  const writer = new FieldWriter(bytes);
  writer.uint8(VERSION);
  writer.uint16(header.suiteId);
  writer.bytes(header.messageId);
  writer.field(context);
  writer.uint16(header.dataKeys.length);
  for (const field of fields) writer.field(field);
  writer.uint8(header.frameBytes === 0 ? UNFRAMED : FRAMED);
  writer.uint32(header.frameBytes);
  writer.bytes(header.commitment);
  return bytes;
}

/** Reader of one header, which may be tried with ever more of its bytes. */
export class HeaderReader {
  /** Context that was decoded: the header may be tried again, and its writer decides how often. */
  #context: EncryptionContext | undefined;

  /**
   * Reads the header.
   *
   * @param bytes First bytes of the message, as many as there are
   * @returns The header, whose tag is not verified yet, or the number of bytes that are needed to go on
   * @throws {EnvelopeError} `FORMAT`, `SUITE` or `LIMIT`
   */
  read(bytes: Uint8Array<ArrayBuffer>): ReadHeader | number {
    const fields = new Fields(bytes);
    try {
      return this.#read(fields);
    } catch (error) {
      if (error instanceof Shortage) return error.needed;
      throw error;
    }
  }

  #read(fields: Fields): ReadHeader {
    const suiteId = readSuite(fields);
    const messageId = fields.bytes(KEY_BYTES);
    const context = fields.bytes(fields.uint16());
    const encryptionContext = this.#context ??= decodeContext(context);
    const dataKeys = readDataKeys(fields);
    const frameBytes = readContentType(fields);
    const commitment = fields.bytes(KEY_BYTES);
    const body = fields.taken;
    const tag = fields.tag();
    return { suiteId, messageId, encryptionContext, dataKeys, frameBytes, commitment, body, tag };
  }
}

function readDataKeys(fields: Fields): EncryptedDataKey[] {
  const count = fields.uint16();
  if (count === 0) throw malformed("it has no encrypted data key");
  if (count > MAX_DATA_KEYS) throw tooLarge(`it has more than ${MAX_DATA_KEYS} encrypted data keys`);
  const dataKeys: EncryptedDataKey[] = [];
  for (let index = 0; index < count; index++) {
    const providerId = asText(fields.bytes(fields.uint16()));
    const providerInfo = asText(fields.bytes(fields.uint16()));
    dataKeys.push({ providerId, providerInfo, ciphertext: fields.bytes(fields.uint16()) });
  }
  return dataKeys;
}

/** Reads the content type and the frame length, which must agree. */
function readContentType(fields: Fields): number {
  const contentType = fields.uint8();
  if (contentType !== FRAMED && contentType !== UNFRAMED) throw malformed("its content type is not known");
  const frameBytes = fields.uint32();
  if ((frameBytes === 0) === (contentType === UNFRAMED)) return frameBytes;
  throw malformed(frameBytes === 0 ? "its frames have no length" : "its one piece has a frame length");
}

/** Reads the suite, and names one that it cannot read. Version 1 has its type, `80`, before the suite. */
function readSuite(fields: Fields): SuiteId {
  const version = fields.uint8();
  if (version !== 1 && version !== VERSION) {
    const looksLikeBase64 = version === "A".charCodeAt(0);
    throw malformed(
      "it does not begin with a version of the format",
      looksLikeBase64 ? "Is it still in base64?" : "Is it a message of the AWS Encryption SDK?",
    );
  }
  if (version === 1) fields.uint8();
  const suite = fields.uint16();
  if (version === VERSION && (suite === SUITE_ID || suite === SIGNED_SUITE_ID)) return suite;
  const name = `0x${suite.toString(16).padStart(4, "0")}`;
  throw new EnvelopeError("SUITE", `Cannot decrypt message: algorithm suite ${name} is not supported`, {
    hint: "It does not commit to its key; encrypt with AES_256_GCM_HKDF_SHA512_COMMIT_KEY (0x0478) instead",
  });
}

const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });

/** Decodes text leniently: it is only compared with ASCII, and the information of another provider need not be text. */
function asText(bytes: Uint8Array): string {
  return LENIENT.decode(bytes);
}
