import { EnclaveKmsError } from "./error_base.ts";

/** Failure to read, make or judge a key policy. */
export class KeyPolicyError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_KEY_POLICY";
}
