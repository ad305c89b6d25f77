/**
 * Checks of the fields that KMS requests share. Their results share no memory with the caller's.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { checkInteger, checkOneOf, checkRecord, checkText, checkWellFormed } from "../../core/checks.ts";
import { decodeBase64 } from "../../core/encoding.ts";
import { allocateOffHeap } from "../../core/secret_bytes.ts";

/** Most grant tokens of a request. */
export const MAX_GRANT_TOKENS = 10;

/** Longest grant token, in characters. */
export const MAX_GRANT_TOKEN_LENGTH = 8192;

/** Longest key id, key ARN, alias name or alias ARN, in characters. */
export const MAX_KEY_ID_LENGTH = 2048;

/**
 * Most bytes of an encryption context: its names and values in UTF-8, and two bytes a pair for what stands between
 * them. KMS's API reference states no limit. AWS states what KMS hands on as additional authenticated data: keys in
 * an external key store must manage "AAD values up to 8192 bytes".
 *
 * @see https://github.com/aws/aws-kms-xksproxy-api-spec/blob/main/xks_proxy_api_spec.md#encrypt
 */
export const MAX_ENCRYPTION_CONTEXT_BYTES = 8192;

/**
 * Most pairs of an encryption context. KMS states no limit, and this one is ours: Cedar's work grows with the pairs,
 * and 2700 of one character each, which fit into 8192 bytes, would use up all the fuel of a decision.
 */
export const MAX_ENCRYPTION_CONTEXT_PAIRS = 128;

const PAIR_OVERHEAD_BYTES = 2;

/** Most bytes that KMS makes at once, as a data key or as random bytes. */
export const MAX_GENERATED_BYTES = 1024;

/** Algorithm that KMS encrypts with. */
export type EncryptionAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

const ALGORITHMS: readonly EncryptionAlgorithm[] = [
  "SYMMETRIC_DEFAULT",
  "RSAES_OAEP_SHA_1",
  "RSAES_OAEP_SHA_256",
];

/**
 * Checks bytes, and puts them into memory of their own that the collector does not move: a copy of bytes, or base64
 * decoded into it.
 *
 * @param field Name of the field
 * @param value Bytes or their base64
 * @param maxBytes Most bytes that are allowed; the least is 1
 * @returns The memory
 * @throws {TypeError} When the value is neither
 * @throws {RangeError} When it is empty or too long
 */
export function checkBytes(field: string, value: unknown, maxBytes: number): Uint8Array<ArrayBuffer> {
  if (typeof value === "string") return checkLength(field, decodeBase64(value, { field }), maxBytes);
  if (!(value instanceof Uint8Array)) throw new TypeError(`${field} must be a Uint8Array or base64`);
  const copy = allocateOffHeap(checkLength(field, value, maxBytes).length);
  copy.set(value);
  return copy;
}

/**
 * Checks how many bytes KMS is to make.
 *
 * @param numberOfBytes 1 to 1024
 * @throws {TypeError} When it is not a number
 * @throws {RangeError} When it is out of range, or not an integer
 */
export function checkNumberOfBytes(numberOfBytes: unknown): number {
  return checkInteger("numberOfBytes", numberOfBytes, { min: 1, max: MAX_GENERATED_BYTES });
}

/**
 * Checks the name of an encryption algorithm.
 *
 * @param algorithm Name, or undefined
 * @throws {TypeError} When there is no such algorithm
 */
export function checkEncryptionAlgorithm(algorithm: unknown): EncryptionAlgorithm | undefined {
  return checkOneOf("encryptionAlgorithm", algorithm, ALGORITHMS);
}

/**
 * Checks the name of a key.
 *
 * @param keyId Key id, key ARN, alias name or alias ARN
 * @throws {TypeError} When it has a character that none of them has
 * @throws {RangeError} When it is empty or longer than KMS takes
 */
export function checkKeyId(keyId: unknown): string {
  const text = checkText("keyId", keyId, MAX_KEY_ID_LENGTH);
  if (/^[\w:/-]+$/.test(text)) return text;
  throw new TypeError("keyId must be a key id, a key ARN, an alias name or an alias ARN");
}

/**
 * Checks an encryption context, and reads it once. Every way to KMS passes here, before any policy is asked.
 *
 * @param context Names and values, all strings
 * @returns A frozen copy; undefined for none and for an empty one
 * @throws {TypeError} When it is anything else, or KMS could not tell its text from another
 * @throws {RangeError} When it has more than {@link MAX_ENCRYPTION_CONTEXT_PAIRS} pairs or {@link MAX_ENCRYPTION_CONTEXT_BYTES} bytes
 */
export function checkEncryptionContext(context: unknown): Readonly<Record<string, string>> | undefined {
  if (context === undefined) return undefined;
  const entries = checkRecord("encryptionContext", context).map(([name, value]) => {
    if (typeof value !== "string") throw new TypeError("encryptionContext must have only strings as values");
    return [
      checkWellFormed("encryptionContext's names", name),
      checkWellFormed("encryptionContext's values", value),
    ] as const;
  });
  const excess = contextExcess(entries);
  if (excess !== undefined) throw new RangeError(`encryptionContext must have ${excess}`);
  return entries.length === 0 ? undefined : Object.freeze(Object.fromEntries(entries));
}

/**
 * Measures an encryption context.
 *
 * @param entries Names and values
 * @returns The limit that it exceeds, as "at most …, not …"; undefined when it exceeds none
 */
export function contextExcess(
  entries: readonly (readonly [name: string, value: string])[],
): string | undefined {
  if (entries.length > MAX_ENCRYPTION_CONTEXT_PAIRS) {
    return `at most ${MAX_ENCRYPTION_CONTEXT_PAIRS} pairs, not ${entries.length}`;
  }
  const bytes = entries.reduce(
    (sum, pair) => sum + Buffer.byteLength(pair[0]) + Buffer.byteLength(pair[1]) + PAIR_OVERHEAD_BYTES,
    0,
  );
  return bytes > MAX_ENCRYPTION_CONTEXT_BYTES
    ? `at most ${MAX_ENCRYPTION_CONTEXT_BYTES} bytes, not ${bytes}`
    : undefined;
}

/**
 * Checks grant tokens.
 *
 * @param tokens Up to ten, of 1 to 8192 characters each
 * @returns A copy; undefined for none and for an empty list
 * @throws {TypeError} When it is no array of strings
 * @throws {RangeError} When there are too many, or one is empty or too long
 */
export function checkGrantTokens(tokens: unknown): readonly string[] | undefined {
  if (tokens === undefined) return undefined;
  if (!Array.isArray(tokens)) throw new TypeError("grantTokens must be an array of strings");
  if (tokens.length > MAX_GRANT_TOKENS) {
    throw new RangeError(`grantTokens must have at most ${MAX_GRANT_TOKENS} tokens, not ${tokens.length}`);
  }
  const checked = tokens.map((token) => checkText("grantTokens' tokens", token, MAX_GRANT_TOKEN_LENGTH));
  return checked.length === 0 ? undefined : checked;
}

function checkLength<Bytes extends Uint8Array>(field: string, bytes: Bytes, maxBytes: number): Bytes {
  if (bytes.length > 0 && bytes.length <= maxBytes) return bytes;
  throw new RangeError(`${field} must have 1 to ${maxBytes} bytes, not ${bytes.length}`);
}
