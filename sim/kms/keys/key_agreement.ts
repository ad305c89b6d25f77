import type { KmsInput } from "../kms_input.ts";
import { admit, endDryRun, type KmsOutput, type OperationContext, readKeyInput } from "./key_use.ts";

/** Answers DeriveSharedSecret: the raw secret of ECDH, in clear or for the recipient. */
export async function deriveSharedSecret(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const algorithm = input.requiredChoice("KeyAgreementAlgorithm", ["ECDH"]);
  const peer = input.bytes("PublicKey", MAX_ATTESTED_PUBLIC_KEY_BYTES);
  const common = await readKeyInput(context, input.without("EncryptionContext"));
  const key = context.keys.find(input.requiredText("KeyId"));
  const conditions = { "kms:KeyAgreementAlgorithm": algorithm };
  admit(context, { operation: "DeriveSharedSecret", key, input: common, conditions });
  key.requireUsage("KEY_AGREEMENT", "DeriveSharedSecret");
  const secret = key.agree(peer);
  endDryRun(common);
  return {
    KeyAgreementAlgorithm: algorithm,
    KeyId: key.arn,
    KeyOrigin: key.origin,
    ...context.release("SharedSecret", secret, common.recipient),
  };
}

const MAX_ATTESTED_PUBLIC_KEY_BYTES = 8192;
