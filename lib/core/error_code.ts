/**
 * Codes of all errors, in one union: a `switch` over `error.code` is checked for codes that do not exist, and for
 * those that are left out.
 *
 * @module
 */

/**
 * Check of an attestation document, or step of obtaining one, that failed. `UNAVAILABLE`, `REFUSED`, `ANSWER` and
 * `BUSY` are about asking a Nitro Secure Module; `BOOT`, `PURPOSE` and `DATA` about an enclave's signature, see
 * {@link verifyEnclaveSignature}; the others are explained at {@link verifyAttestation}.
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
  | "PCR"
  | "BOOT"
  | "PURPOSE"
  | "DATA";

/** Fault of an encrypted message, or of the request to make or open one. */
export type EnvelopeFault =
  | "FORMAT"
  | "SUITE"
  | "LIMIT"
  | "KEY"
  | "CONTEXT"
  | "COMMITMENT"
  | "AUTHENTICATION"
  | "SIGNATURE"
  | "ORDER"
  | "TRUNCATED"
  | "TRAILING";

/**
 * Reason for refusing a secret that was sent to the enclave. `FRAME`, `TRUNCATED`, `TOO_LARGE` and `SLOW` are about what
 * was sent; `BUSY`, `TAKEN` and `LATE` about when; `SIGNATURE`, `NAME`, `VERSION`, `RECIPIENT` and `HASH` name the pin
 * that it does not fit; `ORDER` says that an earlier secret is needed first; `OPEN` that it could not be decrypted;
 * `MISSING` that it did not come in time; `RECORD` that it could not be recorded in PCR16; `CREDENTIALS` that what came
 * is no set of credentials. `REFUSED` is the sender's: the enclave answered with one of the others.
 */
export type SecretFault =
  | "FRAME"
  | "TRUNCATED"
  | "TOO_LARGE"
  | "SLOW"
  | "BUSY"
  | "TAKEN"
  | "LATE"
  | "SIGNATURE"
  | "NAME"
  | "VERSION"
  | "RECIPIENT"
  | "HASH"
  | "ORDER"
  | "OPEN"
  | "MISSING"
  | "RECORD"
  | "CREDENTIALS"
  | "REFUSED";

/**
 * Failure to get something from the metadata service of an instance: it is switched off in the environment (`OFF`) or
 * for the instance (`FORBIDDEN`), not reached (`UNREACHABLE`), answers nothing in time (`SILENT`), breaks off (`CUT`),
 * is overloaded (`BUSY`), knows no tokens (`VERSION_1`) or takes none (`TOKEN`), has no role (`NO_ROLE`) or another one
 * (`ROLE`), may not assume it (`REFUSED`), or answers something else (`ANSWER`).
 */
export type ImdsFailure =
  | "OFF"
  | "UNREACHABLE"
  | "SILENT"
  | "CUT"
  | "BUSY"
  | "FORBIDDEN"
  | "VERSION_1"
  | "TOKEN"
  | "NO_ROLE"
  | "ROLE"
  | "REFUSED"
  | "ANSWER";

/**
 * Reason for refusing a shared key: `STORE`, the store failed or contradicts itself; `RECORD`, what it holds is no record
 * of this key, or KMS cannot open it; `VERSION`, it has none that is new enough; `PIN`, another key than the pinned one;
 * `CHAIN`, a record does not follow the one before; `IMAGE`, an image made it that is not listed.
 */
export type SharedKeyFault = "STORE" | "RECORD" | "VERSION" | "PIN" | "CHAIN" | "IMAGE";

/** Code of an error that a C library or a system call caused. */
type NativeErrorCode =
  | "ERR_SDK_INIT"
  | "ERR_SDK_GENERIC"
  | "ERR_SDK_KMS_CONFIG"
  | "ERR_SDK_KMS_CLIENT"
  | "ERR_SDK_KMS_DECRYPT"
  | "ERR_SDK_KMS_REQUEST"
  | "ERR_SYSTEM_CALL"
  | "ERR_OPENSSL";

/** Code of an error that only an application in the enclave throws, for a request of its callers. */
type ServiceErrorCode =
  | "ERR_BAD_REQUEST"
  | "ERR_CALLER_GONE"
  | "ERR_CLOCK"
  | "ERR_CREDENTIALS_OLDER"
  | "ERR_OVERLOADED"
  | "ERR_TOKEN";

/**
 * Stable code of an {@link EnclaveKmsError}: one for each class, and one for each check of an attestation document, each
 * fault of an encrypted message and each reason for refusing a secret.
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
  | "ERR_NOT_READY"
  | "ERR_KMSTOOL"
  | "ERR_CHANNEL"
  | "ERR_CHANNEL_RENEWED"
  | "ERR_IMAGE"
  | "ERR_KEY_POLICY"
  | "ERR_LAUNCH"
  | "ERR_ARTEFACT"
  | `ERR_ATTESTATION_${AttestationCheck}`
  | `ERR_ENVELOPE_${EnvelopeFault}`
  | `ERR_IMDS_${ImdsFailure}`
  | `ERR_SECRET_${SecretFault}`
  | `ERR_SHARED_KEY_${SharedKeyFault}`
  | ServiceErrorCode;
