/**
 * Codes of all errors, in one union: a `switch` over `error.code` is checked for codes that do not exist, and for
 * those that are left out.
 *
 * @module
 */

/**
 * Check of an attestation document, or step of obtaining one, that failed. `UNAVAILABLE`, `REFUSED`, `ANSWER` and
 * `BUSY` are about asking a Nitro Secure Module; the others are explained at {@link verifyAttestation}.
 */
export type AttestationCheck =
  | "UNAVAILABLE"
  | "REFUSED"
  | "ANSWER"
  | "BUSY"
  | "TOO_LARGE"
  | "CBOR"
  | "DUPLICATE_KEY"
  | "NOT_CANONICAL"
  | "TOO_DEEP"
  | "COSE"
  | "ALGORITHM"
  | "FIELD_MISSING"
  | "FIELD"
  | "CERTIFICATE"
  | "ROOT"
  | "CRITICAL_EXTENSION"
  | "CHAIN"
  | "BASIC_CONSTRAINTS"
  | "PATH_LENGTH"
  | "KEY_USAGE"
  | "NOT_YET_VALID"
  | "EXPIRED"
  | "SIGNATURE"
  | "CERTIFICATE_SIGNATURE"
  | "FUTURE"
  | "STALE"
  | "DEBUG"
  | "NONCE"
  | "USER_DATA"
  | "PUBLIC_KEY"
  | "PCR";

/** Fault of an encrypted message, or of the request to make or open one. */
export type EnvelopeFault =
  | "FORMAT"
  | "SUITE"
  | "LIMIT"
  | "KEY"
  | "CONTEXT"
  | "COMMITMENT"
  | "AUTHENTICATION"
  | "ORDER"
  | "TRUNCATED"
  | "TRAILING";

/** Code of an error that a C library or a system call caused. */
type NativeErrorCode =
  | "ERR_SDK_INIT"
  | "ERR_SDK_GENERIC"
  | "ERR_SDK_KMS_CONFIG"
  | "ERR_SDK_KMS_CLIENT"
  | "ERR_SDK_KMS_DECRYPT"
  | "ERR_SDK_KMS_REQUEST"
  | "ERR_SYSTEM_CALL";

/** Code of an error that only an application in the enclave throws, for a request of its callers. */
type ServiceErrorCode = "ERR_BAD_REQUEST" | "ERR_CALLER_GONE" | "ERR_OVERLOADED";

/**
 * Stable code of an {@link EnclaveKmsError}: one for each class, and one for each check of an attestation document and
 * each fault of an encrypted message.
 *
 * @example
 * ```ts
 * import type { EnclaveKmsError, ErrorCode } from "enclave-kms";
 *
 * function canRetry({ code }: EnclaveKmsError): boolean {
 *   switch (code) {
 *     case "ERR_CONNECTION":
 *     case "ERR_TIMEOUT":
 *       return true;
 *     default:
 *       return false;
 *   }
 * }
 * const titles: Partial<Record<ErrorCode, string>> = { ERR_TIMEOUT: "It took too long" };
 * ```
 */
export type ErrorCode =
  | "ERR_LIBRARY_LOAD"
  | NativeErrorCode
  | "ERR_KMS"
  | "ERR_CONNECTION"
  | "ERR_CERTIFICATE"
  | "ERR_TIMEOUT"
  | "ERR_UNSUPPORTED_OPERATION"
  | "ERR_PROTOCOL"
  | "ERR_CREDENTIALS"
  | "ERR_POLICY_DENIED"
  | "ERR_POLICY_LOAD"
  | "ERR_DISPOSED"
  | `ERR_ATTESTATION_${AttestationCheck}`
  | `ERR_ENVELOPE_${EnvelopeFault}`
  | ServiceErrorCode;
