import { Buffer } from "node:buffer";
import { createPublicKey, diffieHellman } from "node:crypto";
import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import type { KeyFamily } from "./key_family.ts";
import { type KeyPair, NIST_RECIPES } from "./key_pairs.ts";
import { admit, endDryRun, type KmsOutput, type OperationContext, readKeyInput } from "./key_use.ts";

/** Keys that agree on a secret with a peer's. */
export const AGREEMENT_KEYS: KeyFamily<
  "ECC_NIST_P256" | "ECC_NIST_P384" | "ECC_NIST_P521",
  "DeriveSharedSecret"
> = {
  specs: NIST_RECIPES,
  operations: { DeriveSharedSecret: deriveSharedSecret },
  conditions: ["KeyAgreementAlgorithm"],
};

/** Answers DeriveSharedSecret: the raw secret of ECDH, in clear or for the recipient. */
async function deriveSharedSecret(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const algorithm = input.requiredChoice("KeyAgreementAlgorithm", ["ECDH"]);
  const peer = input.bytes("PublicKey", MAX_ATTESTED_PUBLIC_KEY_BYTES);
  const common = await readKeyInput(context, input.without("EncryptionContext"));
  const key = context.keys.find(input.requiredText("KeyId"));
  const conditions = { "kms:KeyAgreementAlgorithm": algorithm };
  admit(context, { operation: "DeriveSharedSecret", key, input: common, conditions });
  key.requireUsage("KEY_AGREEMENT", "DeriveSharedSecret");
  const secret = agree(key.keyPair, peer);
  endDryRun(common);
  return {
    KeyAgreementAlgorithm: algorithm,
    KeyId: key.arn,
    KeyOrigin: key.origin,
    ...context.release("SharedSecret", secret, common.recipient),
  };
}

const MAX_ATTESTED_PUBLIC_KEY_BYTES = 8192;

/**
 * Derives the raw shared secret with another key on the same curve, by ECDH.
 *
 * @param own Key pair in KMS
 * @param peer The other public key, SPKI DER
 * @throws {KmsRefusal} `ValidationException` without a message, as KMS has it, when that is no such key
 */
function agree({ privateKey, publicKey: own }: KeyPair, peer: Uint8Array): Uint8Array {
  try {
    const publicKey = createPublicKey({ key: Buffer.from(peer), format: "der", type: "spki" });
    if (curveOf(publicKey) === curveOf(own)) return diffieHellman({ privateKey, publicKey });
  } catch {
    // refused below
  }
  throw new KmsRefusal("ValidationException", null);
}

function curveOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyPair["publicKey"]): string | undefined {
  return asymmetricKeyType === "ec" ? asymmetricKeyDetails?.namedCurve : undefined;
}
