import * as v from "valibot";
import type { EncryptionAlgorithm } from "../mod.ts";
import { decodeBase64, decodeHex } from "../lib/encoding.ts";
import { MAX_CIPHERTEXT_BYTES } from "../lib/kms_request.ts";
import { BadRequestError } from "./service_errors.ts";

/** The largest body that is read, in bytes. */
export const MAX_BODY_BYTES = 65_536;

/** The longest nonce that an NSM takes, in bytes. */
export const MAX_NONCE_BYTES = 512;

const MAX_CIPHERTEXT_LENGTH = Math.ceil(MAX_CIPHERTEXT_BYTES / 3) * 4;

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
}

/** See {@link DecryptBody}. */
export const decryptBody: v.GenericSchema<unknown, DecryptBody> = v.strictObject({
  ciphertext: v.pipe(v.string(), v.maxLength(MAX_CIPHERTEXT_LENGTH), v.check(isBase64, "canonical base64")),
  // Not v.record(), which leaves names such as "constructor" out: KMS has to get what the policy saw.
  encryptionContext: v.optional(v.custom<Record<string, string>>(isStringRecord, "an object of strings")),
  keyId: v.optional(
    v.pipe(
      v.string(),
      v.maxLength(2048),
      v.regex(/^[\w:/-]+$/, "a key id, key ARN, alias name or alias ARN"),
    ),
  ),
  encryptionAlgorithm: v.optional(
    v.picklist(["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]),
  ),
});

/** The body of `POST /v1/credentials`. */
export interface CredentialsBody {
  /** 1 to 128 characters. */
  accessKeyId: string;
  /** 1 to 1024 characters. */
  secretAccessKey: string;
  /** 1 to 16384 characters. */
  sessionToken?: string | undefined;
}

const PRINTABLE = v.regex(/^[\x21-\x7e]+$/, "printable ASCII without spaces");

/** A slash or a comma would end it in the header that it goes into. */
const SCOPEABLE = v.regex(/^[^/,]+$/, "neither a slash nor a comma");

/** See {@link CredentialsBody}. */
export const credentialsBody: v.GenericSchema<unknown, CredentialsBody> = v.strictObject({
  accessKeyId: v.pipe(v.string(), v.maxLength(128), PRINTABLE, SCOPEABLE),
  secretAccessKey: v.pipe(v.string(), v.maxLength(1024), PRINTABLE),
  sessionToken: v.optional(v.pipe(v.string(), v.maxLength(16_384), PRINTABLE)),
});

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
 * @returns Its place and what was expected: never its message, which quotes what was sent
 */
export function describeIssue(issue: v.BaseIssue<unknown>): { path: string; expected: string } {
  const path = (issue.path ?? []).map(({ key }) => String(key)).join(".");
  const known = /^[A-Za-z][\w.]{0,80}$/.test(path) && issue.expected !== "never";
  return { path: known ? path : "", expected: expectation(issue) };
}

function expectation({ kind, type, expected, requirement, message }: v.BaseIssue<unknown>): string {
  if (type === "strict_object") return expected === "never" ? "no other fields" : "to be there";
  if (type === "max_length") return `at most ${requirement} characters`;
  if (type === "min_length") return `at least ${requirement} characters`;
  // Ours, given to check(), regex() and custom() above.
  if (kind === "validation" || type === "custom") return message;
  return expected ?? type;
}

function isBase64(text: string): boolean {
  try {
    const { length } = decodeBase64(text);
    return length > 0 && length <= MAX_CIPHERTEXT_BYTES;
  } catch {
    return false;
  }
}

function isStringRecord(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === "string");
}

function standardAlphabet(text: string): string {
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  return standard.padEnd(Math.ceil(standard.length / 4) * 4, "=");
}
