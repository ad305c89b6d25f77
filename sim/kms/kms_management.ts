import { authorize, type KeyPolicy, requestAttributes, SIMULATED_ACCOUNT } from "./policy/key_policy.ts";
import { KEY_FAMILIES, type KeySpec, type KeyUsage } from "./keys/key_families.ts";
import type { KeyStore } from "./keys/key_store.ts";
import type { KmsOutput, UsableKey } from "./keys/key_use.ts";
import { algorithmsOf } from "./keys/public_keys.ts";
import type { SimulatedKey } from "./keys/simulated_key.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { KmsInput } from "./kms_input.ts";

/** State that an operation on keys works with. */
export interface ManagementContext {
  /** The keys. */
  readonly keys: KeyStore;
  /** Policy of the callers' role. */
  readonly identityPolicy: KeyPolicy;
  /** Notes which key was meant, for the log. */
  noteKey(key: UsableKey): void;
}

/** One operation: from its input to the members of its output. */
type ManagementOperation = (context: ManagementContext, input: KmsInput) => Promise<KmsOutput>;

/**
 * Operations by name that make keys and tell of them, for programs of others that begin with CreateKey. Of a new key's
 * material KMS is the origin; description and tags are not kept.
 */
export const MANAGEMENT: Readonly<Record<string, ManagementOperation>> = {
  CreateKey: createKey,
  CreateAlias: createAlias,
  DescribeKey: describeKey,
  GetKeyPolicy: getKeyPolicy,
  ListAliases: listAliases,
  ListKeys: listKeys,
};

const SPECS = Object.values(KEY_FAMILIES).flatMap(({ specs }) => Object.keys(specs)) as KeySpec[];
const USAGES = Object.keys(KEY_FAMILIES) as KeyUsage[];

async function createKey(context: ManagementContext, input: KmsInput): Promise<KmsOutput> {
  authorizeAlone(context, "CreateKey");
  const older = input.choice("CustomerMasterKeySpec", [...new Set(SPECS)]);
  const spec = input.choice("KeySpec", [...new Set(SPECS)]) ?? older;
  const usage = input.choice("KeyUsage", USAGES);
  input.choice("Origin", ["AWS_KMS"]);
  const policy = readPolicy(input.text("Policy"));
  try {
    const key = await context.keys.create({ spec, usage, policy });
    context.noteKey(key);
    return { KeyMetadata: metadataOf(key) };
  } catch (error) {
    if (error instanceof TypeError) throw new KmsRefusal("ValidationException", error.message);
    throw error;
  }
}

function createAlias(context: ManagementContext, input: KmsInput): Promise<KmsOutput> {
  const key = managed(context, "CreateAlias", input.requiredText("TargetKeyId"));
  context.keys.addAlias(input.requiredText("AliasName"), key);
  return Promise.resolve({});
}

function describeKey(context: ManagementContext, input: KmsInput): Promise<KmsOutput> {
  return Promise.resolve({
    KeyMetadata: metadataOf(managed(context, "DescribeKey", input.requiredText("KeyId"))),
  });
}

function getKeyPolicy(context: ManagementContext, input: KmsInput): Promise<KmsOutput> {
  input.choice("PolicyName", ["default"]);
  const { policy } = managed(context, "GetKeyPolicy", input.requiredText("KeyId"));
  return Promise.resolve({ Policy: JSON.stringify(policy), PolicyName: "default" });
}

function listKeys(context: ManagementContext): Promise<KmsOutput> {
  authorizeAlone(context, "ListKeys");
  const listed = context.keys.all.map(({ keyId, arn }) => ({ KeyId: keyId, KeyArn: arn }));
  return Promise.resolve({ Keys: listed, Truncated: false });
}

function listAliases(context: ManagementContext, input: KmsInput): Promise<KmsOutput> {
  authorizeAlone(context, "ListAliases");
  const only = input.text("KeyId");
  const key = only === undefined ? undefined : context.keys.find(only);
  const listed = context.keys.aliases.filter(([, target]) => key === undefined || key === target).map((
    [AliasName, { keyId }],
  ) => ({ AliasName, AliasArn: context.keys.aliasArn(AliasName), TargetKeyId: keyId }));
  return Promise.resolve({ Aliases: listed, Truncated: false });
}

/** Finds a key whose policy lets the caller do this, whatever its state. */
function managed(context: ManagementContext, operation: string, name: string): SimulatedKey {
  const key = context.keys.find(name);
  context.noteKey(key);
  authorize({
    policy: key.policy,
    kind: "resource-based",
    action: `kms:${operation}`,
    resource: key.arn,
    attributes: requestAttributes(undefined, {}, {}),
    identityPolicy: context.identityPolicy,
  });
  return key;
}

/** Asks the callers' own policy, which decides where there is no key. */
function authorizeAlone({ identityPolicy }: ManagementContext, operation: string): void {
  authorize({
    policy: identityPolicy,
    kind: "identity-based",
    action: `kms:${operation}`,
    resource: "*",
    attributes: requestAttributes(undefined, {}, {}),
  });
}

function readPolicy(text: string | undefined): KeyPolicy | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as KeyPolicy;
  } catch {
    throw new KmsRefusal("MalformedPolicyDocumentException", "The new key policy is not JSON.");
  }
}

function metadataOf(key: SimulatedKey): KmsOutput {
  const { keyId, arn, spec, usage, origin, state } = key;
  return {
    AWSAccountId: SIMULATED_ACCOUNT,
    KeyId: keyId,
    Arn: arn,
    Enabled: state === "Enabled",
    Description: "",
    KeyUsage: usage,
    KeyState: state,
    Origin: origin,
    KeyManager: "CUSTOMER",
    CustomerMasterKeySpec: spec,
    KeySpec: spec,
    MultiRegion: false,
    ...(spec === "SYMMETRIC_DEFAULT" && { EncryptionAlgorithms: ["SYMMETRIC_DEFAULT"] }),
    ...(spec.startsWith("HMAC_") && { MacAlgorithms: [spec.replace("HMAC_", "HMAC_SHA_")] }),
    ...(key.publicKey !== undefined && algorithmsOf(key)),
  };
}
