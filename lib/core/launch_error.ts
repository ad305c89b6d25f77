import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";

/** Details of a failure to launch, describe or end an enclave. */
export interface LaunchErrorDetails extends ErrorDetails {
  /** Code of nitro-cli, `E00` to `E60`, where it gave one. */
  readonly nitroCode?: string | undefined;
  /** Name of that code in nitro-cli, such as `InsufficientMemoryAvailable`. */
  readonly nitroName?: string | undefined;
}

/** Failure to launch, describe or end an enclave on the parent instance. */
export class LaunchError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_LAUNCH";
  /** Code of nitro-cli, `E00` to `E60`, where it gave one. */
  readonly nitroCode: string | undefined;
  /** Name of that code in nitro-cli, such as `InsufficientMemoryAvailable`. */
  readonly nitroName: string | undefined;

  /**
   * Makes the error.
   *
   * @param message Failure, action first
   * @param details The hint, and nitro-cli's code
   */
  constructor(message: string, details: LaunchErrorDetails) {
    super(message, details);
    this.nitroCode = details.nitroCode;
    this.nitroName = details.nitroName;
  }
}
