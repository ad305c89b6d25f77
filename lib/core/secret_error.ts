import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";
import type { SecretFault } from "./error_code.ts";

export type { SecretFault } from "./error_code.ts";

/** Refusal of a secret that was sent to the enclave, or lack of one at the end of its window of time. */
export class SecretError extends EnclaveKmsError {
  /** Stable code: `ERR_SECRET_` and the fault. */
  readonly code: `ERR_SECRET_${SecretFault}`;

  /**
   * Makes the error of one fault.
   *
   * @param fault The fault
   * @param message Refusal, action first, without any secret
   * @param details The hint, and the cause where there is one
   */
  constructor(fault: SecretFault, message: string, details: ErrorDetails) {
    super(message, details);
    this.code = `ERR_SECRET_${fault}`;
  }
}

/** Refusal in the words of an enclave, or of whatever answered in its place. */
export interface SecretRefusal {
  /** Stable code of the enclave's error, such as `ERR_SECRET_VERSION`. */
  readonly code: string;
  /** Message of one line, without control characters. */
  readonly message: string;
  /** Likeliest cause. */
  readonly hint?: string;
}

/** Refusal by the enclave, as its receipt tells the sender. Its words are the enclave's, and prove nothing. */
export class SecretRefusedError extends SecretError {
  /** Code of the enclave's error, such as `ERR_SECRET_VERSION`. */
  readonly enclaveCode: string;

  /**
   * Makes an error of a receipt.
   *
   * @param refusal Receipt that was parsed, whose texts are bounded and printable
   */
  constructor({ code, message, hint }: SecretRefusal) {
    super("REFUSED", `Cannot send secret: the enclave refused it with ${code}: ${message}`, {
      hint: hint ?? "See the page on troubleshooting for the enclave's code",
    });
    this.enclaveCode = code;
  }
}
