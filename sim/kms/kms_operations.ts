import { encodeBase64 } from "../../lib/core/encoding.ts";
import { generateDataKey, generateDataKeyPair, generateRandom } from "./keys/data_keys.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { KmsInput } from "./kms_input.ts";
import { deriveSharedSecret } from "./keys/key_agreement.ts";
import { maxPlaintextLength } from "./keys/key_specs.ts";
import type { KeyStore } from "./keys/key_store.ts";
import {
  admit,
  associatedData,
  endDryRun,
  type KmsOperation,
  type KmsOutput,
  materialMember,
  type OperationContext,
  readKeyInput,
} from "./keys/key_use.ts";
import type { SimulatedKey } from "./keys/simulated_key.ts";

/** The operations by name. A new one is one more entry here. */
export const OPERATIONS: Readonly<Record<string, KmsOperation>> = {
  Encrypt: encrypt,
  Decrypt: decrypt,
  DeriveSharedSecret: deriveSharedSecret,
  GenerateDataKey: generateDataKey,
  GenerateDataKeyPair: generateDataKeyPair,
  GenerateRandom: generateRandom,
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
  keys: KeyStore,
  ciphertext: Uint8Array,
  algorithm: string,
  name: string | undefined,
): SimulatedKey {
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
