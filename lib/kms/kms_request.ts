import { checkFields, checkInteger, checkOneOf } from "../core/checks.ts";
import { type DataKeyPairSpec, KEY_PAIR_SPECS } from "./data_key.ts";
import type {
  CheckedDataKeyPairRequest,
  CheckedDataKeyRequest,
  CheckedDecryptRequest,
  CheckedEncryptRequest,
  CheckedOptionsOfRequest,
  CheckedRandomRequest,
  CheckedSharedSecretRequest,
  DataKeySpec,
  EncryptionAlgorithm,
} from "./checked_request.ts";
import {
  checkBytes,
  checkEncryptionContext,
  checkGrantTokens,
  checkKeyId,
} from "./operations/request_fields.ts";
import { CALL_FIELDS, type CallOptions } from "../core/call_options.ts";
import { SecretBytes } from "../core/secret_bytes.ts";

/** KMS takes a ciphertext of at most this many bytes. */
export const MAX_CIPHERTEXT_BYTES = 6144;

/** KMS takes a plaintext of at most this many bytes. */
export const MAX_PLAINTEXT_BYTES = 4096;

/** The longest data key, and the most random bytes, that KMS makes at once. */
export const MAX_GENERATED_BYTES = 1024;

/** The longest public key that KMS takes, SubjectPublicKeyInfo in DER. */
export const MAX_PUBLIC_KEY_BYTES = 8192;

/** What the requests that use a key of the caller's share. */
export interface KeyRequest extends CallOptions {
  /**
   * Tokens of grants that are too new for KMS to know everywhere: up to ten, of 1 to 8192 characters.
   * Not on engine `sdk-client`, which has no parameter for them.
   */
  readonly grantTokens?: readonly string[] | undefined;
}

/** What {@link KmsClient.decrypt} takes. */
export interface DecryptRequest extends KeyRequest {
  /** What KMS made: 1 to 6144 bytes, or their base64. */
  readonly ciphertext: Uint8Array | string;
  /**
   * What it was encrypted with, to the letter. Naming it is also what keeps a ciphertext of another tenant,
   * under the same key, from being put in this one's place. A plain object of at most 128 pairs and 8192 bytes, here
   * and in the other requests: their UTF-8, and two bytes a pair.
   */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Key id, key ARN, alias name or alias ARN; KMS then refuses a ciphertext of any other key. */
  readonly keyId?: string | undefined;
  /** Default: `SYMMETRIC_DEFAULT`. An asymmetric key needs its own, and a `keyId`. */
  readonly encryptionAlgorithm?: EncryptionAlgorithm | undefined;
}

/** What {@link KmsClient.encrypt} takes. */
export interface EncryptRequest extends KeyRequest {
  /** 1 to 4096 bytes; fewer for an asymmetric key, see KMS's Encrypt. It stays yours to wipe. */
  readonly plaintext: Uint8Array | SecretBytes;
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Names and values that decrypting will have to repeat; for symmetric keys only. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Default: `SYMMETRIC_DEFAULT`. An asymmetric key needs its own. */
  readonly encryptionAlgorithm?: EncryptionAlgorithm | undefined;
}

/** What {@link KmsClient.generateDataKey} takes. */
export interface GenerateDataKeyRequest extends KeyRequest {
  /** A symmetric key: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** How long: 16 or 32 bytes. Default: `AES_256`, unless `numberOfBytes` says otherwise. */
  readonly keySpec?: DataKeySpec | undefined;
  /** How long, in bytes, 1 to 1024; instead of `keySpec`. Not on engine `sdk-client`. */
  readonly numberOfBytes?: number | undefined;
  /** Names and values that decrypting will have to repeat. Not on engine `sdk-client`. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/** What {@link KmsClient.generateDataKeyPair} takes. */
export interface GenerateDataKeyPairRequest extends KeyRequest {
  /** A symmetric key: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** What kind of key pair. SM2 exists in China's regions only. */
  readonly keyPairSpec: DataKeyPairSpec;
  /** Names and values that decrypting the private key will have to repeat. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/** What {@link KmsClient.generateRandom} takes. */
export interface GenerateRandomRequest extends CallOptions {
  /** 1 to 1024. */
  readonly numberOfBytes: number;
}

/** What {@link KmsClient.deriveSharedSecret} takes. */
export interface DeriveSharedSecretRequest extends KeyRequest {
  /** An elliptic curve key for key agreement: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** The peer's public key on the same curve: SubjectPublicKeyInfo in DER, or its base64. */
  readonly publicKey: Uint8Array | string;
  /** Default, and all there is: `ECDH`. */
  readonly keyAgreementAlgorithm?: "ECDH" | undefined;
}

const ALGORITHMS: readonly EncryptionAlgorithm[] = [
  "SYMMETRIC_DEFAULT",
  "RSAES_OAEP_SHA_1",
  "RSAES_OAEP_SHA_256",
];

const KEY_SPECS: readonly DataKeySpec[] = ["AES_128", "AES_256"];

/** The fields of a decrypt request that say what to decrypt. */
export const REQUEST_FIELDS: readonly string[] = [
  "ciphertext",
  "encryptionContext",
  "keyId",
  "encryptionAlgorithm",
  "grantTokens",
];

/**
 * @param given What the caller gave
 * @returns The request with nothing left that could be wrong in form, sharing no memory with the caller's
 * @throws {TypeError} When a field is missing, unknown or of a wrong type
 * @throws {RangeError} When a field is too short or too long
 */
export function checkDecryptRequest(given: DecryptRequest): CheckedDecryptRequest {
  const request = checkFields("decrypt request", given, [...REQUEST_FIELDS, ...CALL_FIELDS]);
  const keyId = request.keyId === undefined ? undefined : checkKeyId(request.keyId);
  const algorithm = checkOneOf("encryptionAlgorithm", request.encryptionAlgorithm, ALGORITHMS);
  if (algorithm !== undefined && algorithm !== "SYMMETRIC_DEFAULT" && keyId === undefined) {
    throw new TypeError(`encryptionAlgorithm ${algorithm} needs a keyId: KMS cannot tell the key otherwise`);
  }
  return {
    ...commonFields(request),
    ciphertext: checkBytes("ciphertext", request.ciphertext, MAX_CIPHERTEXT_BYTES),
    keyId,
    encryptionAlgorithm: algorithm ?? (keyId === undefined ? undefined : "SYMMETRIC_DEFAULT"),
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}

/** As {@link checkDecryptRequest}. The caller disposes the copy of the plaintext. */
export function checkEncryptRequest(given: EncryptRequest): CheckedEncryptRequest {
  const request = checkFields("encrypt request", given, [
    ...["plaintext", "keyId", "encryptionContext", "encryptionAlgorithm", "grantTokens"],
    ...CALL_FIELDS,
  ]);
  const algorithm = checkOneOf("encryptionAlgorithm", request.encryptionAlgorithm, ALGORITHMS);
  const checked = {
    ...commonFields(request),
    keyId: checkKeyId(request.keyId),
    encryptionAlgorithm: algorithm ?? "SYMMETRIC_DEFAULT",
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
  return { ...checked, plaintext: checkPlaintext(request.plaintext) };
}

/** As {@link checkDecryptRequest}. */
export function checkDataKeyRequest(given: GenerateDataKeyRequest): CheckedDataKeyRequest {
  const request = checkFields("data key request", given, [
    ...["keyId", "keySpec", "numberOfBytes", "encryptionContext", "grantTokens"],
    ...CALL_FIELDS,
  ]);
  return {
    ...commonFields(request),
    keyId: checkKeyId(request.keyId),
    length: checkLength(request),
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}

/** As {@link checkDecryptRequest}. */
export function checkDataKeyPairRequest(given: GenerateDataKeyPairRequest): CheckedDataKeyPairRequest {
  const request = checkFields("data key pair request", given, [
    ...["keyId", "keyPairSpec", "encryptionContext", "grantTokens"],
    ...CALL_FIELDS,
  ]);
  const keyPairSpec = checkOneOf("keyPairSpec", request.keyPairSpec, KEY_PAIR_SPECS);
  if (keyPairSpec === undefined) {
    throw new TypeError(`keyPairSpec must be one of ${KEY_PAIR_SPECS.join(", ")}`);
  }
  return {
    ...commonFields(request),
    keyId: checkKeyId(request.keyId),
    keyPairSpec,
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}

/** As {@link checkDecryptRequest}. */
export function checkRandomRequest(given: GenerateRandomRequest): CheckedRandomRequest {
  const request = checkFields("random request", given, ["numberOfBytes", ...CALL_FIELDS]);
  return { numberOfBytes: checkNumberOfBytes(request.numberOfBytes) };
}

/** As {@link checkDecryptRequest}. */
export function checkSharedSecretRequest(given: DeriveSharedSecretRequest): CheckedSharedSecretRequest {
  const request = checkFields("shared secret request", given, [
    ...["keyId", "publicKey", "keyAgreementAlgorithm", "grantTokens"],
    ...CALL_FIELDS,
  ]);
  return {
    ...commonFields(request),
    keyId: checkKeyId(request.keyId),
    keyAgreementAlgorithm: checkOneOf("keyAgreementAlgorithm", request.keyAgreementAlgorithm, ["ECDH"]) ??
      "ECDH",
    publicKey: checkBytes("publicKey", request.publicKey, MAX_PUBLIC_KEY_BYTES),
  };
}

function commonFields(request: KeyRequest): CheckedOptionsOfRequest {
  return { grantTokens: checkGrantTokens(request.grantTokens), dryRun: false };
}

function checkPlaintext(plaintext: unknown): SecretBytes {
  const bytes = plaintext instanceof SecretBytes ? plaintext.bytes : plaintext;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("plaintext must be a Uint8Array or SecretBytes");
  return new SecretBytes(checkBytes("plaintext", bytes, MAX_PLAINTEXT_BYTES));
}

function checkLength({ keySpec, numberOfBytes }: GenerateDataKeyRequest): DataKeySpec | number {
  const spec = checkOneOf("keySpec", keySpec, KEY_SPECS);
  if (numberOfBytes === undefined) return spec ?? "AES_256";
  if (spec === undefined) return checkNumberOfBytes(numberOfBytes);
  throw new TypeError("keySpec and numberOfBytes both say how long the data key is: give one of them");
}

function checkNumberOfBytes(numberOfBytes: unknown): number {
  return checkInteger("numberOfBytes", numberOfBytes, { min: 1, max: MAX_GENERATED_BYTES });
}
