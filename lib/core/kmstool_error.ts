import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";

/** Details of a refusal by an enclave that speaks the kmstool protocol. */
export interface KmstoolErrorDetails extends ErrorDetails {
  /** Reason in the enclave's words. */
  readonly reason: string;
}

/** Refusal by an enclave that speaks the kmstool protocol. */
export class KmstoolError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_KMSTOOL";
  /** Reason in the enclave's words, printable ASCII, at most 200 characters; empty when it gave none. */
  readonly reason: string;

  /**
   * Repeats the reason.
   *
   * @param message Refusal, action first
   * @param details The reason and the hint
   */
  constructor(message: string, details: KmstoolErrorDetails) {
    super(message, details);
    this.reason = details.reason;
  }
}
