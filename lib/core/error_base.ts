import type { ErrorCode } from "./error_code.ts";

/** Details that an error carries besides its message. */
export interface ErrorDetails {
  /** The likeliest cause, or what to check first, in one sentence. */
  readonly hint: string;
  /** The error this one was made from. It must hold no secret. */
  readonly cause?: unknown;
}

/**
 * The base of all errors below.
 *
 * @example
 * ```ts
 * import { EnclaveKmsError, KmsError } from "enclave-kms";
 *
 * const error: unknown = new KmsError("Cannot decrypt: KMS refused", {
 *   hint: "Does the key policy name this enclave's PCR0?",
 *   kmsCode: "AccessDeniedException",
 *   requestId: undefined,
 *   httpStatus: 400,
 *   retryable: false,
 * });
 * if (error instanceof EnclaveKmsError) {
 *   error.code; // "ERR_KMS"
 * }
 * ```
 */
export abstract class EnclaveKmsError extends Error {
  /** A stable, machine-readable name for the kind of failure. */
  abstract readonly code: ErrorCode;
  /** The likeliest cause, or what to check first, in one sentence. */
  readonly hint: string;

  /**
   * Sets what all errors have; the subclasses below call it.
   *
   * @param message What failed, action first, without a full stop and without any secret
   * @param details The hint, and the cause where there is one
   */
  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.hint = details.hint;
  }
}
