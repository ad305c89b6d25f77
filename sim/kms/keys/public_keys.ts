import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import { publicKeyDer } from "./key_pairs.ts";
import { admit, type KmsOutput, type OperationContext, readKeyInput, type UsableKey } from "./key_use.ts";
import { signingAlgorithms } from "./signing_keys.ts";

/** Answers GetPublicKey, which asymmetric keys of every use have. KMS knows no Recipient and no dry run here. */
export async function getPublicKey(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const others = ["Recipient", "EncryptionContext", "DryRun"];
  const common = await readKeyInput(context, others.reduce((rest, name) => rest.without(name), input));
  const key = context.keys.find(input.requiredText("KeyId"));
  admit(context, { operation: "GetPublicKey", key, input: common, conditions: {} });
  if (key.materialId !== undefined) throw new KmsRefusal("UnsupportedOperationException", null);
  return {
    KeyId: key.arn,
    PublicKey: encodeBase64(publicKeyDer(key.keyPair)),
    CustomerMasterKeySpec: key.spec,
    KeySpec: key.spec,
    KeyUsage: key.usage,
    ...algorithmsOf(key),
  };
}

/**
 * Lists the algorithms of a key pair under the one name that goes with its use.
 *
 * @param key The key
 */
export function algorithmsOf({ spec, usage }: UsableKey): KmsOutput {
  if (usage === "SIGN_VERIFY") return { SigningAlgorithms: signingAlgorithms(spec) };
  if (usage === "KEY_AGREEMENT") return { KeyAgreementAlgorithms: ["ECDH"] };
  return { EncryptionAlgorithms: ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] };
}
