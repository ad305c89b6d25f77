import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import type { KeyFamily } from "./key_family.ts";
import { KEY_PAIR_RECIPES, type KeyPairSpec } from "./key_pairs.ts";
import {
  admit,
  endDryRun,
  type KeyInput,
  type KmsOutput,
  type OperationContext,
  readKeyInput,
  type UsableKey,
} from "./key_use.ts";
import { ecdsa } from "./signatures/ecdsa.ts";
import { ED25519, ED25519_PH } from "./signatures/ed25519.ts";
import { rsaPkcs1, rsaPss } from "./signatures/rsa.ts";
import type { MessageForm, SignatureScheme } from "./signatures/scheme.ts";

/** Keys for signatures. */
export const SIGNING_KEYS: KeyFamily<KeyPairSpec, "Sign" | "Verify"> = {
  specs: KEY_PAIR_RECIPES,
  operations: { Sign: sign, Verify: verify },
  conditions: ["SigningAlgorithm", "MessageType"],
};

const RSA_SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  RSASSA_PKCS1_V1_5_SHA_256: rsaPkcs1(256),
  RSASSA_PKCS1_V1_5_SHA_384: rsaPkcs1(384),
  RSASSA_PKCS1_V1_5_SHA_512: rsaPkcs1(512),
  RSASSA_PSS_SHA_256: rsaPss(256),
  RSASSA_PSS_SHA_384: rsaPss(384),
  RSASSA_PSS_SHA_512: rsaPss(512),
};

/** Schemes by the kind of the key and the algorithm. */
const SCHEMES: Readonly<Record<KeyPairSpec, Readonly<Record<string, SignatureScheme>>>> = {
  RSA_2048: RSA_SCHEMES,
  RSA_3072: RSA_SCHEMES,
  RSA_4096: RSA_SCHEMES,
  ECC_NIST_P256: { ECDSA_SHA_256: ecdsa("P-256", 256) },
  ECC_NIST_P384: { ECDSA_SHA_384: ecdsa("P-384", 384) },
  ECC_NIST_P521: { ECDSA_SHA_512: ecdsa("P-521", 512) },
  ECC_SECG_P256K1: { ECDSA_SHA_256: ecdsa("secp256k1", 256) },
  ECC_NIST_EDWARDS25519: { ED25519_SHA_512: ED25519, ED25519_PH_SHA_512: ED25519_PH },
};

/**
 * Lists the algorithms of a kind of key, as GetPublicKey names them.
 *
 * @param spec Kind of the key
 * @returns Their names; none for a key that signs nothing
 */
export function signingAlgorithms(spec: string): readonly string[] {
  return Object.hasOwn(SCHEMES, spec) ? Object.keys(SCHEMES[spec as KeyPairSpec]) : [];
}

/** KMS has keys for the last two as well, and the simulator has none: their algorithms fit no key here. */
const ALGORITHMS: readonly string[] = [
  ...new Set(Object.values(SCHEMES).flatMap((schemes) => Object.keys(schemes))),
  "ML_DSA_SHAKE_256",
  "SM2DSA",
];

const MESSAGE_TYPES = ["RAW", "DIGEST", "EXTERNAL_MU"] as const;

/** KMS's limits, in bytes. */
const MAX_MESSAGE_LENGTH = 4096;
const MAX_SIGNATURE_LENGTH = 6144;

/** Parts of a request that has been let through to its key. */
interface Admitted {
  readonly key: UsableKey;
  readonly common: KeyInput;
  readonly scheme: SignatureScheme;
  readonly message: Uint8Array;
  readonly form: MessageForm;
  readonly algorithm: string;
}

/** Answers Sign. KMS knows no Recipient here. */
async function sign(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const { key, common, scheme, message, form, algorithm } = await admitSignature(context, input, "Sign");
  endDryRun(common);
  const signature = scheme.sign(key.keyPair, message, form);
  return { KeyId: key.arn, Signature: encodeBase64(signature), SigningAlgorithm: algorithm };
}

/** Answers Verify: a signature that is not valid is an exception. */
async function verify(context: OperationContext, input: KmsInput): Promise<KmsOutput> {
  const signature = input.bytes("Signature", MAX_SIGNATURE_LENGTH);
  const { key, common, scheme, message, form, algorithm } = await admitSignature(context, input, "Verify");
  if (!scheme.verify(key.keyPair, message, form, signature)) {
    throw new KmsRefusal("KMSInvalidSignatureException");
  }
  endDryRun(common);
  return { KeyId: key.arn, SignatureValid: true, SigningAlgorithm: algorithm };
}

/** Reads a request, and finds the scheme that its key and algorithm have. */
async function admitSignature(
  context: OperationContext,
  input: KmsInput,
  operation: "Sign" | "Verify",
): Promise<Admitted> {
  const message = input.bytes("Message", MAX_MESSAGE_LENGTH);
  const type = input.choice("MessageType", MESSAGE_TYPES) ?? "RAW";
  const algorithm = input.requiredChoice("SigningAlgorithm", ALGORITHMS);
  const common = await readKeyInput(context, input.without("Recipient").without("EncryptionContext"));
  const key = context.keys.find(input.requiredText("KeyId"));
  const conditions = { "kms:SigningAlgorithm": algorithm, "kms:MessageType": type };
  admit(context, { operation, key, input: common, conditions });
  key.requireUsage("SIGN_VERIFY", operation);
  const scheme = schemeOf(key, algorithm);
  const form = checkForm(key, algorithm, scheme, type);
  if (form === "DIGEST" && message.length !== scheme.digestLength) {
    const refusal = `Digest is invalid length for algorithm ${algorithm}.`;
    throw new KmsRefusal("ValidationException", refusal);
  }
  return { key, common, scheme, message, form, algorithm };
}

function schemeOf({ spec }: UsableKey, algorithm: string): SignatureScheme {
  const schemes = SCHEMES[spec as KeyPairSpec];
  const scheme = Object.hasOwn(schemes, algorithm) ? schemes[algorithm] : undefined;
  if (scheme !== undefined) return scheme;
  const refusal = `Algorithm ${algorithm} is incompatible with key spec ${spec}.`;
  throw new KmsRefusal("InvalidKeyUsageException", refusal);
}

function checkForm(
  { spec }: UsableKey,
  algorithm: string,
  { forms }: SignatureScheme,
  type: typeof MESSAGE_TYPES[number],
): MessageForm {
  const form = forms.find((known) => known === type);
  if (form !== undefined) return form;
  const other = type === "EXTERNAL_MU" ? `key spec ${spec}` : `algorithm ${algorithm}`;
  throw new KmsRefusal("ValidationException", `Message type ${type} is incompatible with ${other}.`);
}
