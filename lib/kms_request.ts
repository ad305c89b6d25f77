import { checkFields, checkInteger, checkOneOf, checkText, checkWellFormed } from "./checks.ts";
import { MAX_TIMEOUT_MS } from "./deadline.ts";
import { decodeBase64 } from "./encoding.ts";
import type { CheckedDecryptRequest, EncryptionAlgorithm } from "./engine/engine.ts";
import { allocateOffHeap } from "./secret_bytes.ts";

/** KMS takes a ciphertext of at most this many bytes. */
export const MAX_CIPHERTEXT_BYTES = 6144;

/** What {@link KmsClient.decrypt} takes. */
export interface DecryptRequest {
  /** What KMS made: 1 to 6144 bytes, or their base64. */
  readonly ciphertext: Uint8Array | string;
  /**
   * What it was encrypted with, to the letter. Naming it is also what keeps a ciphertext of another tenant,
   * under the same key, from being put in this one's place.
   */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Key id, key ARN, alias name or alias ARN; KMS then refuses a ciphertext of any other key. */
  readonly keyId?: string | undefined;
  /** Default: `SYMMETRIC_DEFAULT`. An asymmetric key needs its own, and a `keyId`. */
  readonly encryptionAlgorithm?: EncryptionAlgorithm | undefined;
  /** Ends the call early; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the call, retries included; 1 to 2147483647. Default: the client's. */
  readonly timeoutMs?: number | undefined;
}

const ALGORITHMS: readonly EncryptionAlgorithm[] = [
  "SYMMETRIC_DEFAULT",
  "RSAES_OAEP_SHA_1",
  "RSAES_OAEP_SHA_256",
];

/** The fields of a decrypt request that say what to decrypt. */
export const REQUEST_FIELDS: readonly string[] = [
  "ciphertext",
  "encryptionContext",
  "keyId",
  "encryptionAlgorithm",
];

/** The fields of a decrypt request that say how long to wait for it. */
export const CALL_FIELDS: readonly string[] = ["signal", "timeoutMs"];

/**
 * @param request What the caller gave
 * @returns The request with nothing left that could be wrong in form, sharing no memory with the caller's
 * @throws {TypeError} When a field is missing, unknown or of a wrong type
 * @throws {RangeError} When a field is too short or too long
 */
export function checkDecryptRequest(request: DecryptRequest): CheckedDecryptRequest {
  checkFields("decrypt request", request, [...REQUEST_FIELDS, ...CALL_FIELDS]);
  const keyId = request.keyId === undefined ? undefined : checkKeyId(request.keyId);
  const algorithm = checkOneOf("encryptionAlgorithm", request.encryptionAlgorithm, ALGORITHMS);
  if (algorithm !== undefined && algorithm !== "SYMMETRIC_DEFAULT" && keyId === undefined) {
    throw new TypeError(`encryptionAlgorithm ${algorithm} needs a keyId: KMS cannot tell the key otherwise`);
  }
  return {
    ciphertext: checkCiphertext(request.ciphertext),
    keyId,
    encryptionAlgorithm: algorithm ?? (keyId === undefined ? undefined : "SYMMETRIC_DEFAULT"),
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}

/**
 * @param call How the caller wants to wait
 * @param defaultTimeoutMs In milliseconds
 * @throws {TypeError} When the signal is no AbortSignal, or the time-out no number
 * @throws {RangeError} When the time-out is out of range
 */
export function checkCall(
  call: Pick<DecryptRequest, "signal" | "timeoutMs">,
  defaultTimeoutMs: number,
): { signal: AbortSignal | undefined; timeoutMs: number } {
  const { signal } = call;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
  return { signal, timeoutMs: checkTimeout(call.timeoutMs, defaultTimeoutMs) };
}

/**
 * @param timeoutMs In milliseconds, or undefined for the default
 * @param defaultTimeoutMs In milliseconds
 */
export function checkTimeout(timeoutMs: unknown, defaultTimeoutMs: number): number {
  return checkInteger("timeoutMs", timeoutMs, { min: 1, max: MAX_TIMEOUT_MS, default: defaultTimeoutMs });
}

function checkCiphertext(ciphertext: unknown): Uint8Array<ArrayBuffer> {
  const bytes = typeof ciphertext === "string"
    ? decodeBase64(ciphertext, { field: "ciphertext" })
    : ciphertext;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("ciphertext must be a Uint8Array or base64");
  if (bytes.length === 0 || bytes.length > MAX_CIPHERTEXT_BYTES) {
    throw new RangeError(`ciphertext must have 1 to ${MAX_CIPHERTEXT_BYTES} bytes, not ${bytes.length}`);
  }
  const copy = allocateOffHeap(bytes.length);
  copy.set(bytes);
  return copy;
}

function checkKeyId(keyId: unknown): string {
  const text = checkText("keyId", keyId, 2048);
  if (/^[\w:/-]+$/.test(text)) return text;
  throw new TypeError("keyId must be a key id, a key ARN, an alias name or an alias ARN");
}

function checkEncryptionContext(context: unknown): Readonly<Record<string, string>> | undefined {
  if (context === undefined) return undefined;
  if (typeof context !== "object" || context === null || Array.isArray(context)) {
    throw new TypeError("encryptionContext must be an object of strings");
  }
  const entries = Object.entries(context).map(([name, value]) => {
    if (typeof value !== "string") throw new TypeError("encryptionContext must have strings only as values");
    return [
      checkWellFormed("encryptionContext's names", name),
      checkWellFormed("encryptionContext's values", value),
    ] as const;
  });
  return entries.length === 0 ? undefined : Object.freeze(Object.fromEntries(entries));
}
