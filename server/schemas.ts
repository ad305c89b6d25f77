/**
 * Shapes of request bodies and queries. The limits are those of the operations' own checks, which run after them and
 * have the last word; the OpenAPI document is generated from these schemas.
 *
 * @module
 */
import * as v from "valibot";
import { DATA_KEY_PAIR_SPECS, type DataKeyPairSpec } from "../lib/kms/data_key.ts";
import type { ProvidedCredentials } from "../lib/aws/credentials.ts";
import { readCredentials } from "../lib/aws/credentials_shape.ts";
import { decodeBase64, decodeHex } from "../lib/core/encoding.ts";
import { MAX_CIPHERTEXT_BYTES } from "../lib/kms/operations/decrypt.ts";
import { MAX_PUBLIC_KEY_BYTES } from "../lib/kms/operations/derive_shared_secret.ts";
import { MAX_PLAINTEXT_BYTES } from "../lib/kms/operations/encrypt.ts";
import type { DataKeySpec } from "../lib/kms/operations/generate_data_key.ts";
import {
  type EncryptionAlgorithm,
  MAX_GENERATED_BYTES,
  MAX_GRANT_TOKEN_LENGTH,
  MAX_GRANT_TOKENS,
  MAX_KEY_ID_LENGTH,
} from "../lib/kms/operations/request_fields.ts";
import { MAX_ATTESTED_NONCE_BYTES } from "../lib/nsm/nsm_client.ts";
import { BadRequestError } from "../enclave/service_errors.ts";

/** Body of `POST /v1/decrypt`. */
export interface DecryptBody {
  /** Base64 of 1 to 6144 bytes. */
  ciphertext: string;
  /** Encryption context that the plaintext was encrypted with, to the letter. */
  encryptionContext?: Record<string, string> | undefined;
  /** Key id, key ARN, alias name or alias ARN. */
  keyId?: string | undefined;
  /** Default: `SYMMETRIC_DEFAULT`. */
  encryptionAlgorithm?: EncryptionAlgorithm | undefined;
  /** Up to ten grant tokens of 1 to 8192 characters. */
  grantTokens?: string[] | undefined;
  /** Asks only whether KMS would do it. */
  dryRun?: boolean | undefined;
}

// Not v.record(), which leaves names such as "constructor" out: KMS has to get what the policy saw.
const context = v.optional(v.custom<Record<string, string>>(isStringRecord, "an object of strings"));

const keyId = v.pipe(
  v.string(),
  v.maxLength(MAX_KEY_ID_LENGTH),
  v.regex(/^[\w:/-]+$/, "a key id, key ARN, alias name or alias ARN"),
);

const encryptionAlgorithm = v.optional(
  v.picklist(["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]),
);

// The array is counted before its tokens are looked at: 30000 wrong ones would make as many issues, and take a tenth of
// a second.
const grantTokens = v.optional(
  v.pipe(
    v.array(v.unknown()),
    v.maxLength(MAX_GRANT_TOKENS),
    v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_GRANT_TOKEN_LENGTH))),
  ),
);

// Decoded and measured by the operation's own check, once.
const base64 = (maxBytes: number) =>
  v.pipe(
    v.string(),
    v.maxLength(Math.ceil(maxBytes / 3) * 4),
    v.description(`Base64 of 1 to ${maxBytes} bytes`),
  );

const dryRun = v.optional(
  v.pipe(v.boolean(), v.description("Asks only whether KMS would do it; 204 when it would")),
);

const tokensAndDryRun = { grantTokens, dryRun };

/** See {@link DecryptBody}. */
export const decryptBody: v.GenericSchema<unknown, DecryptBody> = v.strictObject({
  ciphertext: base64(MAX_CIPHERTEXT_BYTES),
  encryptionContext: context,
  keyId: v.optional(keyId),
  encryptionAlgorithm,
  ...tokensAndDryRun,
});

/** Body of `POST /v1/encrypt`. */
export interface EncryptBody extends Omit<DecryptBody, "ciphertext"> {
  /** Base64 of 1 to 4096 bytes. As a JavaScript string it cannot be wiped. */
  plaintext: string;
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
}

/** See {@link EncryptBody}. */
export const encryptBody: v.GenericSchema<unknown, EncryptBody> = v.strictObject({
  plaintext: base64(MAX_PLAINTEXT_BYTES),
  encryptionContext: context,
  keyId,
  encryptionAlgorithm,
  ...tokensAndDryRun,
});

/** Body of `POST /v1/generate-data-key`. */
export interface DataKeyBody extends Omit<DecryptBody, "ciphertext" | "encryptionAlgorithm"> {
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
  /** Default: `AES_256`. */
  keySpec?: DataKeySpec | undefined;
  /** Length of the data key in bytes, 1 to 1024; instead of `keySpec`. */
  numberOfBytes?: number | undefined;
}

const NUMBER_OF_BYTES = `a whole number from 1 to ${MAX_GENERATED_BYTES}`;

const numberOfBytes = v.pipe(
  v.number(),
  v.integer(NUMBER_OF_BYTES),
  v.minValue(1, NUMBER_OF_BYTES),
  v.maxValue(MAX_GENERATED_BYTES, NUMBER_OF_BYTES),
);

/** See {@link DataKeyBody}. */
export const dataKeyBody: v.GenericSchema<unknown, DataKeyBody> = v.strictObject({
  encryptionContext: context,
  keyId,
  keySpec: v.optional(v.picklist(["AES_128", "AES_256"])),
  numberOfBytes: v.optional(numberOfBytes),
  ...tokensAndDryRun,
});

/** Body of `POST /v1/generate-data-key-pair`. */
export interface DataKeyPairBody extends Omit<DecryptBody, "ciphertext" | "encryptionAlgorithm"> {
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
  /** Algorithm and size of the key pair. */
  keyPairSpec: DataKeyPairSpec;
}

/** See {@link DataKeyPairBody}. */
export const dataKeyPairBody: v.GenericSchema<unknown, DataKeyPairBody> = v.strictObject({
  encryptionContext: context,
  keyId,
  keyPairSpec: v.picklist(DATA_KEY_PAIR_SPECS),
  ...tokensAndDryRun,
});

/** Body of `POST /v1/generate-random`. */
export interface RandomBody {
  /** Number of bytes, 1 to 1024. */
  numberOfBytes: number;
}

/** See {@link RandomBody}. */
export const randomBody: v.GenericSchema<unknown, RandomBody> = v.strictObject({ numberOfBytes });

/** Body of `POST /v1/derive-shared-secret`. */
export interface SharedSecretBody extends Pick<DecryptBody, "grantTokens" | "dryRun"> {
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
  /** Base64 of the peer's SubjectPublicKeyInfo, DER. */
  publicKey: string;
  /** Algorithm: there is only this one. */
  keyAgreementAlgorithm?: "ECDH" | undefined;
}

/** See {@link SharedSecretBody}. */
export const sharedSecretBody: v.GenericSchema<unknown, SharedSecretBody> = v.strictObject({
  keyId,
  publicKey: base64(MAX_PUBLIC_KEY_BYTES),
  keyAgreementAlgorithm: v.optional(v.picklist(["ECDH"])),
  ...tokensAndDryRun,
});

/** Body of `POST /v1/credentials`, in any of the forms of AWS or of the library. Its parts are strings. */
export type CredentialsBody = ProvidedCredentials;

/**
 * Checks the body of `POST /v1/credentials`.
 *
 * @param input Body as it was sent
 * @throws {BadRequestError} With every field that is wrong
 */
export function parseCredentials(input: unknown): CredentialsBody {
  const read = readCredentials(input, "json");
  if ("accessKeyId" in read) return input as CredentialsBody;
  throw new BadRequestError(read.slice(0, 10));
}

/** Query of `GET /v1/attestation`. */
export interface AttestationQuery {
  /** Nonce of 1 to 512 bytes. */
  nonce: string;
  /** Encoding of the nonce. Default: `base64`, in either alphabet. */
  encoding?: "base64" | "hex" | undefined;
}

/** See {@link AttestationQuery}. */
export const attestationQuery: v.GenericSchema<unknown, AttestationQuery> = v.strictObject({
  nonce: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_ATTESTED_NONCE_BYTES * 2)),
  encoding: v.optional(v.picklist(["base64", "hex"])),
});

/**
 * Decodes a nonce.
 *
 * @param query Checked query
 * @throws {BadRequestError} When it is not in its encoding, or too long
 */
export function decodeNonce({ nonce, encoding = "base64" }: AttestationQuery): Uint8Array {
  try {
    const bytes = encoding === "hex" ? decodeHex(nonce) : decodeBase64(standardAlphabet(nonce));
    if (bytes.length > 0 && bytes.length <= MAX_ATTESTED_NONCE_BYTES) return bytes;
  } catch {
    // Said below, without what was sent.
  }
  throw new BadRequestError([{
    path: "nonce",
    expected: `1 to ${MAX_ATTESTED_NONCE_BYTES} bytes in ${encoding}`,
  }]);
}

function isStringRecord(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === "string");
}

function standardAlphabet(text: string): string {
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  return standard.padEnd(Math.ceil(standard.length / 4) * 4, "=");
}
