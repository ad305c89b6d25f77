import { EnclaveKmsError, type ErrorDetails } from "../core/errors.ts";
import type { EnvelopeFault } from "../core/error_code.ts";

export type { EnvelopeFault } from "../core/error_code.ts";

/** Failure to encrypt a message under a data key, or to open one. */
export class EnvelopeError extends EnclaveKmsError {
  /** Stable code: `ERR_ENVELOPE_` and the fault. */
  readonly code: `ERR_ENVELOPE_${EnvelopeFault}`;

  /**
   * Names one fault.
   *
   * @param fault The fault
   * @param message Failure, action first
   * @param details The hint
   */
  constructor(fault: EnvelopeFault, message: string, details: ErrorDetails) {
    super(message, details);
    this.code = `ERR_ENVELOPE_${fault}`;
  }
}
