/**
 * Schemas of the fields that the bodies of several routes have.
 *
 * @module
 */
import * as v from "valibot";
import {
  type EncryptionAlgorithm,
  MAX_GENERATED_BYTES,
  MAX_GRANT_TOKEN_LENGTH,
  MAX_GRANT_TOKENS,
  MAX_KEY_ID_LENGTH,
} from "../lib/kms/operations/request_fields.ts";

/** Schema of a field that may be left out. */
type Optional<T> = v.OptionalSchema<v.GenericSchema<T>, undefined>;

/**
 * Schema of an encryption context. Not v.record(), which leaves names such as "constructor" out: KMS must get what the
 * policy saw.
 */
export const encryptionContext: Optional<Record<string, string>> = v.optional(
  v.custom<Record<string, string>>(isStringRecord, "an object of strings"),
);

/** Schema of a key's name. */
export const keyId: v.GenericSchema<string> = v.pipe(
  v.string(),
  v.maxLength(MAX_KEY_ID_LENGTH),
  v.regex(/^[\w:/-]+$/, "a key id, key ARN, alias name or alias ARN"),
);

/** Schema of an algorithm of encryption. */
export const encryptionAlgorithm: Optional<EncryptionAlgorithm> = v.optional(
  v.picklist(["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]),
);

const NUMBER_OF_BYTES = `a whole number from 1 to ${MAX_GENERATED_BYTES}`;

/** Schema of how many bytes KMS is to make. */
export const numberOfBytes: v.GenericSchema<number> = v.pipe(
  v.number(),
  v.integer(NUMBER_OF_BYTES),
  v.minValue(1, NUMBER_OF_BYTES),
  v.maxValue(MAX_GENERATED_BYTES, NUMBER_OF_BYTES),
);

/**
 * Schema of grant tokens. The array is counted before its tokens are looked at: 30000 wrong ones would make as many
 * issues, and take a tenth of a second.
 */
export const grantTokens: v.OptionalSchema<v.GenericSchema<unknown[], string[]>, undefined> = v.optional(
  v.pipe(
    v.array(v.unknown()),
    v.maxLength(MAX_GRANT_TOKENS),
    v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_GRANT_TOKEN_LENGTH))),
  ),
);

/** Schema of the wish for a dry run. */
export const dryRun: Optional<boolean> = v.optional(
  v.pipe(v.boolean(), v.description("Asks only whether KMS would do it; 204 when it would")),
);

/**
 * Makes the schema of bytes as base64. They are decoded and measured by the operation's own check, once.
 *
 * @param maxBytes Most bytes
 */
export function base64(maxBytes: number): v.GenericSchema<string> {
  return v.pipe(
    v.string(),
    v.maxLength(Math.ceil(maxBytes / 3) * 4),
    v.description(`Base64 of 1 to ${maxBytes} bytes`),
  );
}

function isStringRecord(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === "string");
}
