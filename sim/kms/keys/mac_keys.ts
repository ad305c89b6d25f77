import type { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import type { KeyFamily } from "./key_family.ts";
import {
  admit,
  endDryRun,
  type KeyInput,
  type KmsOutput,
  type OperationContext,
  readKeyInput,
  type UsableKey,
} from "./key_use.ts";

/** Keys that authenticate messages. */
export const MAC_KEYS: KeyFamily<
  "HMAC_224" | "HMAC_256" | "HMAC_384" | "HMAC_512",
  "GenerateMac" | "VerifyMac"
> = {
  specs: {
    HMAC_224: { type: "secret", length: 28 },
    HMAC_256: { type: "secret", length: 32 },
    HMAC_384: { type: "secret", length: 48 },
    HMAC_512: { type: "secret", length: 64 },
  },
  operations: { GenerateMac: generateMac, VerifyMac: verifyMac },
  conditions: ["MacAlgorithm"],
};

/** Answers GenerateMac: the HMAC of a message (RFC 2104). KMS knows no Recipient here. */
async function generateMac(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const { key, common, algorithm, mac } = await computeMac(context, input, "GenerateMac");
  endDryRun(common);
  return { KeyId: key.arn, Mac: encodeBase64(mac), MacAlgorithm: algorithm };
}

/** Answers VerifyMac: a code that is not the message's is an exception. */
async function verifyMac(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const given = input.bytes("Mac", MAX_MAC_LENGTH);
  const { key, common, algorithm, mac } = await computeMac(context, input, "VerifyMac");
  if (!mac.equals(given)) throw new KmsRefusal("KMSInvalidMacException");
  endDryRun(common);
  return { KeyId: key.arn, MacAlgorithm: algorithm, MacValid: true };
}

/** Reads a request, lets it through to its key, and computes the code of its message. */
async function computeMac(
  context: OperationContext,
  input: KmsInput,
  operation: "GenerateMac" | "VerifyMac",
): Promise<{
  readonly key: UsableKey;
  readonly common: KeyInput;
  readonly algorithm: string;
  readonly mac: Buffer;
}> {
  const message = input.bytes("Message", MAX_MESSAGE_LENGTH);
  const algorithm = input.requiredChoice("MacAlgorithm", MAC_ALGORITHMS);
  const common = await readKeyInput(context, input.without("Recipient").without("EncryptionContext"));
  const key = context.keys.find(input.requiredText("KeyId"));
  admit(context, { operation, key, input: common, conditions: { "kms:MacAlgorithm": algorithm } });
  key.requireUsage("GENERATE_VERIFY_MAC", operation);
  const bits = algorithm.slice("HMAC_SHA_".length);
  if (key.spec !== `HMAC_${bits}`) {
    const refusal = `Algorithm ${algorithm} is incompatible with key spec ${key.spec}.`;
    throw new KmsRefusal("InvalidKeyUsageException", refusal);
  }
  const mac = createHmac(`sha${bits}`, key.secretKey).update(message).digest();
  return { key, common, algorithm, mac };
}

const MAX_MAC_LENGTH = 6144;

const MAX_MESSAGE_LENGTH = 4096;

const MAC_ALGORITHMS = ["HMAC_SHA_224", "HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512"] as const;
