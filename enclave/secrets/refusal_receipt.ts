import { EnclaveKmsError } from "../../lib/core/errors.ts";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";

/**
 * Makes the receipt of a refused secret. The messages of our errors hold nothing of the secret; others are not told.
 *
 * @param error Reason of the refusal
 */
export function refusalReceipt(error: unknown): SecretReceipt & { readonly ok: false } {
  if (error instanceof EnclaveKmsError) {
    return { ok: false, code: error.code, message: error.message, hint: error.hint };
  }
  return { ok: false, code: "ERR_INTERNAL", message: "Cannot take the secret: something failed inside" };
}
