import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";
import type { SharedKeyFault } from "./error_code.ts";

export type { SharedKeyFault } from "./error_code.ts";

/** Refusal of a shared key, or failure of the store that holds it. */
export class SharedKeyError extends EnclaveKmsError {
  /** Stable code: `ERR_SHARED_KEY_` and the fault. */
  readonly code: `ERR_SHARED_KEY_${SharedKeyFault}`;

  /**
   * Makes the error of one fault.
   *
   * @param fault The fault
   * @param message Refusal, action first, without any secret
   * @param details The hint, and the cause where there is one
   */
  constructor(fault: SharedKeyFault, message: string, details: ErrorDetails) {
    super(message, details);
    this.code = `ERR_SHARED_KEY_${fault}`;
  }
}
