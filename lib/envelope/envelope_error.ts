import { EnclaveKmsError, type ErrorDetails } from "../core/errors.ts";

/** What is wrong with an encrypted message, or with the request to make or open one. */
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

/** A message could not be encrypted under a data key, or is not what such an encryption made. */
export class EnvelopeError extends EnclaveKmsError {
  /** `ERR_ENVELOPE_` and the fault. */
  readonly code: `ERR_ENVELOPE_${EnvelopeFault}`;

  /**
   * Names one fault.
   *
   * @param fault The fault
   * @param message What failed
   * @param details The hint
   */
  constructor(fault: EnvelopeFault, message: string, details: ErrorDetails) {
    super(message, details);
    this.code = `ERR_ENVELOPE_${fault}`;
  }
}
