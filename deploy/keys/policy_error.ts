import { KeyPolicyError } from "../../lib/core/errors.ts";

/**
 * Makes the error of a key policy that cannot be read.
 *
 * @param why Place and reason, such as `statement 2 has no field Efect`
 * @returns The error
 */
export function malformedPolicy(why: string): KeyPolicyError {
  return new KeyPolicyError(`Cannot read the key policy: ${why}`, {
    hint: "`aws kms get-key-policy --output text --query Policy` prints the policy of a key as JSON",
  });
}
