import * as v from "valibot";
import { KEY_PAIR_SPECS } from "../lib/kms/data_key.ts";
import type { DataKeyPairSpec } from "../lib/kms/data_key.ts";
import type { ProvidedCredentials } from "../lib/aws/credentials.ts";
import { readCredentials } from "../lib/aws/credentials_shape.ts";
import { decodeBase64, decodeHex } from "../lib/core/encoding.ts";
import { MAX_CIPHERTEXT_BYTES } from "../lib/kms/operations/decrypt.ts";
import { MAX_PUBLIC_KEY_BYTES } from "../lib/kms/operations/derive_shared_secret.ts";
import { MAX_PLAINTEXT_BYTES } from "../lib/kms/operations/encrypt.ts";
import type { DataKeySpec } from "../lib/kms/operations/generate_data_key.ts";
import { type EncryptionAlgorithm, MAX_GENERATED_BYTES } from "../lib/kms/operations/request_fields.ts";
import { BadRequestError } from "../enclave/service_errors.ts";

/** The longest nonce that an NSM takes, in bytes. */
export const MAX_NONCE_BYTES = 512;

/** The body of `POST /v1/decrypt`. */
export interface DecryptBody {
  /** Base64 of 1 to 6144 bytes. */
  ciphertext: string;
  /** What it was encrypted with, to the letter. */
  encryptionContext?: Record<string, string> | undefined;
  /** Key id, key ARN, alias name or alias ARN. */
  keyId?: string | undefined;
  /** Default: `SYMMETRIC_DEFAULT`. */
  encryptionAlgorithm?: EncryptionAlgorithm | undefined;
  /** Up to ten, of 1 to 8192 characters. */
  grantTokens?: string[] | undefined;
  /** Only asks whether KMS would. */
  dryRun?: boolean | undefined;
}

// Not v.record(), which leaves names such as "constructor" out: KMS has to get what the policy saw.
const context = v.optional(v.custom<Record<string, string>>(isStringRecord, "an object of strings"));

const keyId = v.pipe(
  v.string(),
  v.maxLength(2048),
  v.regex(/^[\w:/-]+$/, "a key id, key ARN, alias name or alias ARN"),
);

const encryptionAlgorithm = v.optional(
  v.picklist(["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]),
);

// Counted before any is looked at: 30000 wrong ones make as many issues, and take a tenth of a second.
const grantTokens = v.optional(
  v.pipe(
    v.array(v.unknown()),
    v.maxLength(10),
    v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(8192))),
  ),
);

// Decoded and measured by the operation's own check, once.
const base64 = (maxBytes: number) => v.pipe(v.string(), v.maxLength(Math.ceil(maxBytes / 3) * 4));

const tokensAndDryRun = { grantTokens, dryRun: v.optional(v.boolean()) };

/** See {@link DecryptBody}. */
export const decryptBody: v.GenericSchema<unknown, DecryptBody> = v.strictObject({
  ciphertext: base64(MAX_CIPHERTEXT_BYTES),
  encryptionContext: context,
  keyId: v.optional(keyId),
  encryptionAlgorithm,
  ...tokensAndDryRun,
});

/** The body of `POST /v1/encrypt`. */
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

/** The body of `POST /v1/generate-data-key`. */
export interface DataKeyBody extends Omit<DecryptBody, "ciphertext" | "encryptionAlgorithm"> {
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
  /** Default: `AES_256`. */
  keySpec?: DataKeySpec | undefined;
  /** 1 to 1024; instead of `keySpec`. */
  numberOfBytes?: number | undefined;
}

const numberOfBytes = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_GENERATED_BYTES));

/** See {@link DataKeyBody}. */
export const dataKeyBody: v.GenericSchema<unknown, DataKeyBody> = v.strictObject({
  encryptionContext: context,
  keyId,
  keySpec: v.optional(v.picklist(["AES_128", "AES_256"])),
  numberOfBytes: v.optional(numberOfBytes),
  ...tokensAndDryRun,
});

/** The body of `POST /v1/generate-data-key-pair`. */
export interface DataKeyPairBody extends Omit<DecryptBody, "ciphertext" | "encryptionAlgorithm"> {
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
  /** What kind of key pair. */
  keyPairSpec: DataKeyPairSpec;
}

/** See {@link DataKeyPairBody}. */
export const dataKeyPairBody: v.GenericSchema<unknown, DataKeyPairBody> = v.strictObject({
  encryptionContext: context,
  keyId,
  keyPairSpec: v.picklist(KEY_PAIR_SPECS),
  ...tokensAndDryRun,
});

/** The body of `POST /v1/generate-random`. */
export interface RandomBody {
  /** 1 to 1024. */
  numberOfBytes: number;
}

/** See {@link RandomBody}. */
export const randomBody: v.GenericSchema<unknown, RandomBody> = v.strictObject({ numberOfBytes });

/** The body of `POST /v1/derive-shared-secret`. */
export interface SharedSecretBody extends Pick<DecryptBody, "grantTokens" | "dryRun"> {
  /** Key id, key ARN, alias name or alias ARN. */
  keyId: string;
  /** Base64 of the peer's SubjectPublicKeyInfo, DER. */
  publicKey: string;
  /** All there is. */
  keyAgreementAlgorithm?: "ECDH" | undefined;
}

/** See {@link SharedSecretBody}. */
export const sharedSecretBody: v.GenericSchema<unknown, SharedSecretBody> = v.strictObject({
  keyId,
  publicKey: base64(MAX_PUBLIC_KEY_BYTES),
  keyAgreementAlgorithm: v.optional(v.picklist(["ECDH"])),
  ...tokensAndDryRun,
});

/** The body of `POST /v1/credentials`, in any of the ways that AWS writes them, or the library. Parts are strings. */
export type CredentialsBody = ProvidedCredentials;

/**
 * @param input What was sent
 * @returns It, in its type
 * @throws {BadRequestError} With every field that is wrong
 */
export function parseCredentials(input: unknown): CredentialsBody {
  const read = readCredentials(input, "json");
  if ("accessKeyId" in read) return input as CredentialsBody;
  throw new BadRequestError(read.slice(0, 10));
}

/** The query of `GET /v1/attestation`. */
export interface AttestationQuery {
  /** 1 to 512 bytes. */
  nonce: string;
  /** How the nonce is written. Default: `base64`, in either alphabet. */
  encoding?: "base64" | "hex" | undefined;
}

/** See {@link AttestationQuery}. */
export const attestationQuery: v.GenericSchema<unknown, AttestationQuery> = v.strictObject({
  nonce: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_NONCE_BYTES * 2)),
  encoding: v.optional(v.picklist(["base64", "hex"])),
});

/**
 * @param schema What is expected
 * @param input What was sent
 * @returns It, in its type
 * @throws {BadRequestError} With places and expectations; valibot's own messages quote what was sent
 */
export function parse<T>(schema: v.GenericSchema<unknown, T>, input: unknown): T {
  // For valibot an array is an object as well.
  if (Array.isArray(input)) throw new BadRequestError([{ path: "", expected: "an object" }]);
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  throw new BadRequestError(result.issues.slice(0, 10).map(describeIssue));
}

/**
 * @param query The checked query
 * @returns The nonce's bytes
 * @throws {BadRequestError} When it is not in its encoding, or too long
 */
export function decodeNonce({ nonce, encoding = "base64" }: AttestationQuery): Uint8Array {
  try {
    const bytes = encoding === "hex" ? decodeHex(nonce) : decodeBase64(standardAlphabet(nonce));
    if (bytes.length > 0 && bytes.length <= MAX_NONCE_BYTES) return bytes;
  } catch {
    // Said below, without what was sent.
  }
  throw new BadRequestError([{ path: "nonce", expected: `1 to ${MAX_NONCE_BYTES} bytes in ${encoding}` }]);
}

/**
 * @param issue One of valibot's
 * @returns Its place and what was expected: never its message, which quotes what was sent. A field that is not known
 *   is named if its name is of up to 32 letters, digits and underscores
 */
export function describeIssue(issue: v.BaseIssue<unknown>): { path: string; expected: string } {
  const path = (issue.path ?? []).map(({ key }) => String(key)).join(".");
  // The name of a field that is not known is the caller's own.
  const pattern = issue.expected === "never" ? /^[A-Za-z]\w{0,31}$/ : /^[A-Za-z][\w.]{0,80}$/;
  return { path: pattern.test(path) ? path : "", expected: expectation(issue) };
}

function expectation(issue: v.BaseIssue<unknown>): string {
  const { kind, type, expected, input, requirement, message } = issue;
  if (type === "strict_object" && issue.path === undefined) return "an object";
  if (type === "strict_object") return expected === "never" ? "no other fields" : "to be there";
  if (type === "max_length") {
    return `at most ${requirement} ${Array.isArray(input) ? "of them" : "characters"}`;
  }
  if (type === "min_value" || type === "max_value" || type === "integer") {
    return `a whole number from 1 to ${MAX_GENERATED_BYTES}`;
  }
  if (type === "min_length") return `at least ${requirement} characters`;
  // Ours, given to check(), regex() and custom() above.
  if (kind === "validation" || type === "custom") return message;
  return inWords(expected ?? type);
}

/** Valibot writes `("a" | "b")` for a choice, and the names of JavaScript's types. */
function inWords(expected: string): string {
  const choices = expected.match(/"[^"]*"/g);
  return choices?.join(" or ") ?? TYPES_IN_WORDS[expected] ?? expected;
}

const TYPES_IN_WORDS: Readonly<Record<string, string>> = {
  Array: "an array",
  Object: "an object",
  boolean: "true or false",
  number: "a number",
  string: "a string",
};

function isStringRecord(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === "string");
}

function standardAlphabet(text: string): string {
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  return standard.padEnd(Math.ceil(standard.length / 4) * 4, "=");
}
