import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";

/**
 * The one check of an attestation document, or step of obtaining it, that failed. `UNAVAILABLE`, `REFUSED`,
 * `ANSWER` and `BUSY` are about asking a Nitro Secure Module; the others are explained at {@link verifyAttestation}.
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

/** Why a Nitro Secure Module refuses a request, in its own words. */
export type NsmErrorCode =
  | "InvalidArgument"
  | "InvalidIndex"
  | "InvalidResponse"
  | "ReadOnlyIndex"
  | "InvalidOperation"
  | "BufferTooSmall"
  | "InputTooLarge"
  | "InternalError";

/** What is known of a failed attestation. */
export interface AttestationErrorDetails extends ErrorDetails {
  /** What the module answered, where it refused. */
  readonly nsmCode?: NsmErrorCode | undefined;
}

/** An attestation document could not be obtained, or did not pass a check. */
export class AttestationError extends EnclaveKmsError {
  /** `ERR_ATTESTATION_` and the check that failed. */
  readonly code: `ERR_ATTESTATION_${AttestationCheck}`;
  /** With `ERR_ATTESTATION_REFUSED`: what the module answered, if it is an answer that is known. */
  readonly nsmCode: NsmErrorCode | undefined;

  /**
   * Makes an error of one failed check.
   *
   * @param check The check that failed
   * @param message What failed
   * @param details The hint, and the module's answer where it refused
   */
  constructor(check: AttestationCheck, message: string, details: AttestationErrorDetails) {
    super(message, details);
    this.code = `ERR_ATTESTATION_${check}`;
    this.nsmCode = details.nsmCode;
  }
}
