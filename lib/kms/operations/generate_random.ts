import { CALL_FIELDS, type CallOptions } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";
import type { Operation } from "./operation.ts";
import { checkNumberOfBytes } from "./request_fields.ts";

/** Request of {@link KmsClient.generateRandom}. */
export interface GenerateRandomRequest extends CallOptions {
  /** Length in bytes, 1 to 1024. */
  readonly numberOfBytes: number;
}

/** Checked form of {@link GenerateRandomRequest}. */
export interface CheckedRandomRequest {
  /** Length in bytes, 1 to 1024. */
  readonly numberOfBytes: number;
}

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateRandom.html */
export const GENERATE_RANDOM: Operation<
  GenerateRandomRequest,
  CheckedRandomRequest,
  Promise<SecretBytes>,
  "GenerateRandom"
> = {
  action: "GenerateRandom",
  what: "generate random bytes",
  attested: true,
  hasDryRun: false,
  check(given) {
    const request = checkFields("random request", given, ["numberOfBytes", ...CALL_FIELDS]);
    return { numberOfBytes: checkNumberOfBytes(request.numberOfBytes) };
  },
  members: ({ numberOfBytes }) => ({ NumberOfBytes: numberOfBytes }),
  result: (reply, { numberOfBytes }) => reply.secret("Plaintext", numberOfBytes),
  facts: () => ({}),
};
