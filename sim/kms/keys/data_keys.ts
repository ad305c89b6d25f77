import { randomBytes } from "node:crypto";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import {
  KEY_PAIR_RECIPES,
  KEY_PAIR_SPECS,
  type KeyPairSpec,
  makeKeyPair,
  privateKeyDer,
  publicKeyDer,
} from "./key_pairs.ts";
import {
  admit,
  associatedData,
  endDryRun,
  type KeyInput,
  type KmsOutput,
  materialMember,
  type OperationContext,
  readKeyInput,
  type UsableKey,
} from "./key_use.ts";
import { authorize, requestAttributes } from "../policy/key_policy.ts";

/**
 * Answers GenerateDataKey: random bytes in clear or for the recipient, and the same under a symmetric key.
 */
export async function generateDataKey(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const length = dataKeyLength(input);
  const common = await readKeyInput(context, input);
  const key = wrappingKey(context, input, common, "GenerateDataKey", {});
  endDryRun(common);
  const dataKey = randomBytes(length);
  return {
    CiphertextBlob: wrapped(key, dataKey, common),
    KeyId: key.arn,
    ...materialMember(key, common),
    ...context.release("Plaintext", dataKey, common.recipient),
  };
}

/**
 * Answers GenerateDataKeyPair: like GenerateDataKey, with a private key and, always in clear, its public key.
 */
export async function generateDataKeyPair(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const spec = input.requiredChoice("KeyPairSpec", ALL_KEY_PAIR_SPECS);
  const common = await readKeyInput(context, input);
  const conditions = { "kms:DataKeyPairSpec": spec };
  const key = wrappingKey(context, input, common, "GenerateDataKeyPair", conditions);
  if (spec === "SM2") throw new KmsRefusal("UnsupportedOperationException", SM2_REFUSAL);
  endDryRun(common);
  const pair = await makeKeyPair(spec, KEY_PAIR_RECIPES[spec]);
  const privateKey = privateKeyDer(pair);
  return {
    KeyId: key.arn,
    KeyPairSpec: spec,
    PrivateKeyCiphertextBlob: wrapped(key, privateKey, common),
    PublicKey: encodeBase64(publicKeyDer(pair)),
    ...materialMember(key, common),
    ...context.release("PrivateKeyPlaintext", privateKey, common.recipient),
  };
}

/** Answers GenerateRandom: no key, no grants, no dry run; the caller's own policy decides. */
export async function generateRandom(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const length = input.integer("NumberOfBytes", 1, MAX_RANDOM_LENGTH);
  if (length === undefined) throw new KmsRefusal("ValidationException", "NumberOfBytes is required.");
  const recipient = await context.recipients.read(input.structure("Recipient"));
  authorize({
    policy: context.identityPolicy,
    kind: "identity-based",
    action: "kms:GenerateRandom",
    resource: "*",
    attributes: requestAttributes(recipient?.document, {}, {}),
  });
  const store = input.text("CustomKeyStoreId");
  if (store !== undefined) throw new KmsRefusal("CustomKeyStoreNotFoundException");
  return context.release("Plaintext", randomBytes(length), recipient);
}

const MAX_RANDOM_LENGTH = 1024;

const DATA_KEY_LENGTHS = { AES_256: 32, AES_128: 16 } as const;

/** Specs that KMS lists. SM2 exists in the regions of China only, and not every node:crypto has it. */
const ALL_KEY_PAIR_SPECS: readonly (KeyPairSpec | "SM2")[] = [...KEY_PAIR_SPECS, "SM2"];

const SM2_REFUSAL = "KeyPairSpec SM2 is supported in China Regions only, and not by the simulator.";

function dataKeyLength(input: KmsInput): number {
  const spec = input.choice("KeySpec", ["AES_256", "AES_128"]);
  const length = input.integer("NumberOfBytes", 1, MAX_RANDOM_LENGTH);
  if (spec !== undefined && length === undefined) return DATA_KEY_LENGTHS[spec];
  if (spec === undefined && length !== undefined) return length;
  throw new KmsRefusal("ValidationException", "Please specify either number of bytes or key spec.");
}

/** Finds the symmetric key that data keys are encrypted under. */
function wrappingKey(
  context: OperationContext,
  input: KmsInput,
  common: KeyInput,
  operation: string,
  conditions: Readonly<Record<string, string>>,
): UsableKey {
  const key = context.keys.find(input.requiredText("KeyId"));
  const all = { ...conditions, "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT" };
  admit(context, { operation, key, input: common, conditions: all });
  key.requireUsage("ENCRYPT_DECRYPT", operation);
  if (key.spec !== "SYMMETRIC_DEFAULT") {
    const message = `${key.arn} key KeySpec is ${key.spec} which is not valid for ${operation}.`;
    throw new KmsRefusal("InvalidKeyUsageException", message);
  }
  return key;
}

function wrapped(key: UsableKey, secret: Uint8Array, { encryptionContext }: KeyInput): string {
  return encodeBase64(key.encrypt(secret, "SYMMETRIC_DEFAULT", associatedData(key, encryptionContext)));
}
