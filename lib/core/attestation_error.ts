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
