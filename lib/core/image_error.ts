import { EnclaveKmsError } from "./error_base.ts";

/** Failure to read, write or verify an enclave's image. */
export class ImageError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_IMAGE";
}
