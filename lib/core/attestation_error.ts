import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";
import type { AttestationCheck } from "./error_code.ts";

export type { AttestationCheck } from "./error_code.ts";

/** Reason of a Nitro Secure Module for refusing a request, in its own words. */
export type NsmErrorCode =
  | "InvalidArgument"
  | "InvalidIndex"
  | "InvalidResponse"
  | "ReadOnlyIndex"
  | "InvalidOperation"
  | "BufferTooSmall"
  | "InputTooLarge"
  | "InternalError";

/** Details of a failed attestation. */
export interface AttestationErrorDetails extends ErrorDetails {
  /** Answer of the module, where it refused. */
  readonly nsmCode?: NsmErrorCode | undefined;
}

/** Failure to obtain an attestation document, or of a check that one must pass. */
export class AttestationError extends EnclaveKmsError {
  /** Stable code: `ERR_ATTESTATION_` and the check that failed. */
  readonly code: `ERR_ATTESTATION_${AttestationCheck}`;
  /** Answer of the module, with `ERR_ATTESTATION_REFUSED` and when it is a known one. */
  readonly nsmCode: NsmErrorCode | undefined;

  /**
   * Makes an error of one failed check.
   *
   * @param check The check that failed
   * @param message Failure, action first
   * @param details The hint, and the module's answer where it refused
   */
  constructor(check: AttestationCheck, message: string, details: AttestationErrorDetails) {
    super(message, details);
    this.code = `ERR_ATTESTATION_${check}`;
    this.nsmCode = details.nsmCode;
  }
}
