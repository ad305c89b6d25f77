import type { ErrorCode } from "./error_code.ts";

/** Details that an error carries besides its message. */
export interface ErrorDetails {
  /** Likeliest cause, or first thing to check, in one sentence. */
  readonly hint: string;
  /** Error that this one was made from. It must hold no secret. */
  readonly cause?: unknown;
}

/**
 * Base of all errors of this library.
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
  /** Stable, machine-readable name of the kind of failure. */
  abstract readonly code: ErrorCode;
  /** Likeliest cause, or first thing to check, in one sentence. */
  readonly hint: string;

  /**
   * Sets the fields that all errors have.
   *
   * @param message Failure, action first, without a full stop and without any secret
   * @param details The hint, and the cause where there is one
   */
  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.hint = details.hint;
  }
}
