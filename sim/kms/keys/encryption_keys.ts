import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import { generateDataKey, generateDataKeyPair } from "./data_keys.ts";
import { maxPlaintextLength } from "./encryption_algorithms.ts";
import type { KeyFamily } from "./key_family.ts";
import { RSA_RECIPES } from "./key_pairs.ts";
import {
  admit,
  associatedData,
  endDryRun,
  type KeyDirectory,
  type KmsOutput,
  materialMember,
  type OperationContext,
  readKeyInput,
  type UsableKey,
} from "./key_use.ts";

/** Keys that encrypt: data up to 4096 bytes, and data keys. */
export const ENCRYPTION_KEYS: KeyFamily<
  "SYMMETRIC_DEFAULT" | "RSA_2048" | "RSA_3072" | "RSA_4096",
  "Encrypt" | "Decrypt" | "GenerateDataKey" | "GenerateDataKeyPair"
> = {
  specs: { SYMMETRIC_DEFAULT: { type: "secret", length: 32 }, ...RSA_RECIPES },
  operations: {
    Encrypt: encrypt,
    Decrypt: decrypt,
    GenerateDataKey: generateDataKey,
    GenerateDataKeyPair: generateDataKeyPair,
  },
  conditions: ["EncryptionAlgorithm", "DataKeyPairSpec"],
};

/** KMS's limits, in bytes. */
const MAX_PLAINTEXT_LENGTH = 4096;
const MAX_CIPHERTEXT_LENGTH = 6144;

async function encrypt(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const plaintext = input.bytes("Plaintext", MAX_PLAINTEXT_LENGTH);
  const algorithm = input.algorithm();
  const common = await readKeyInput(context, input.without("Recipient"));
  const key = context.keys.find(input.requiredText("KeyId"));
  const conditions = { "kms:EncryptionAlgorithm": algorithm };
  admit(context, { operation: "Encrypt", key, input: common, conditions });
  key.requireUsage("ENCRYPT_DECRYPT", "Encrypt");
  key.requireAlgorithm(algorithm);
  const most = maxPlaintextLength(key.spec, algorithm);
  if (plaintext.length > most) {
    const message =
      `Algorithm ${algorithm} and key spec ${key.spec} cannot encrypt data larger than ${most} bytes.`;
    throw new KmsRefusal("ValidationException", message);
  }
  const bound = associatedData(key, common.encryptionContext);
  endDryRun(common);
  const blob = key.encrypt(plaintext, algorithm, bound);
  return { CiphertextBlob: encodeBase64(blob), EncryptionAlgorithm: algorithm, KeyId: key.arn };
}

async function decrypt(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const ciphertext = input.bytes("CiphertextBlob", MAX_CIPHERTEXT_LENGTH);
  const algorithm = input.algorithm();
  const common = await readKeyInput(context, input);
  const key = decryptionKey(context.keys, ciphertext, algorithm, input.text("KeyId"));
  const conditions = { "kms:EncryptionAlgorithm": algorithm };
  admit(context, { operation: "Decrypt", key, input: common, conditions });
  key.requireUsage("ENCRYPT_DECRYPT", "Decrypt");
  key.requireAlgorithm(algorithm);
  const plaintext = key.decrypt(ciphertext, algorithm, associatedData(key, common.encryptionContext));
  endDryRun(common);
  return {
    EncryptionAlgorithm: algorithm,
    KeyId: key.arn,
    ...materialMember(key, common),
    ...context.release("Plaintext", plaintext, common.recipient),
  };
}

/** Finds the key of a ciphertext. A symmetric ciphertext names it; for others the request must. */
function decryptionKey(
  keys: KeyDirectory,
  ciphertext: Uint8Array,
  algorithm: string,
  name: string | undefined,
): UsableKey {
  const named = name === undefined ? undefined : keys.find(name);
  if (algorithm !== "SYMMETRIC_DEFAULT") {
    if (named === undefined) {
      throw new KmsRefusal("ValidationException", `KeyId is required with ${algorithm}.`);
    }
    return named;
  }
  const made = keys.findByCiphertext(ciphertext);
  if (named !== undefined && named !== made) throw new KmsRefusal("IncorrectKeyException");
  return made;
}
