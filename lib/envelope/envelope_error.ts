import { EnclaveKmsError, type ErrorDetails } from "../core/errors.ts";
import type { EnvelopeFault } from "../core/error_code.ts";

export type { EnvelopeFault } from "../core/error_code.ts";

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
