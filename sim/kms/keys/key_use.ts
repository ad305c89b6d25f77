import { KmsRefusal } from "../kms_errors.ts";
import type { GrantStore } from "../kms_grants.ts";
import type { KmsInput } from "../kms_input.ts";
import type { KeyStore } from "./key_store.ts";
import type { SimulatedKey } from "./simulated_key.ts";
import { authorize, type KeyPolicy, requestAttributes } from "../policy/key_policy.ts";
import type { Recipient, RecipientReader } from "../kms_recipient.ts";

/** State that an operation works with. */
export interface OperationContext {
  /** The keys. */
  readonly keys: KeyStore;
  /** The permissions beside the key policies. */
  readonly grants: GrantStore;
  /** The permissions of the caller, for operations without a key. */
  readonly identityPolicy: KeyPolicy;
  /** Reads and verifies the Recipient of a request. */
  readonly recipients: RecipientReader;
  /** Makes the members that return a secret: in clear, or in an envelope when there is a recipient. */
  release(member: string, secret: Uint8Array, recipient: Recipient | undefined): KmsOutput;
  /** Notes which key was used, for the log. */
  noteKey(key: SimulatedKey): void;
}

/** One operation: from its input to the members of its output. */
export type KmsOperation = (context: OperationContext, input: KmsInput) => Promise<KmsOutput>;

/** The members of an output. */
export type KmsOutput = Readonly<Record<string, unknown>>;

/** The members that all operations on a key have. */
export interface KeyInput {
  /** Empty unless given. */
  readonly encryptionContext: Readonly<Record<string, string>>;
  /** Empty unless given. */
  readonly grantTokens: readonly string[];
  /** Whether the operation ends after the checks. */
  readonly dryRun: boolean;
  /** The verified recipient; Encrypt knows none. */
  readonly recipient: Recipient | undefined;
}

/**
 * Reads the members that all operations on a key have.
 *
 * @param context For verifying the recipient
 * @param input The request
 */
export async function readKeyInput({ recipients }: OperationContext, input: KmsInput): Promise<KeyInput> {
  return {
    encryptionContext: input.textMap("EncryptionContext"),
    grantTokens: input.texts("GrantTokens", MAX_GRANT_TOKENS, MAX_GRANT_TOKEN_LENGTH),
    dryRun: input.flag("DryRun"),
    recipient: await recipients.read(input.structure("Recipient")),
  };
}

/** Use of a key that a request asks for. */
export interface KeyUse {
  /** Name of the operation, such as `Decrypt`. */
  readonly operation: string;
  /** The key. */
  readonly key: SimulatedKey;
  /** The members that all operations on a key have. */
  readonly input: KeyInput;
  /** The operation's own condition keys, such as `kms:EncryptionAlgorithm`. */
  readonly conditions: Readonly<Record<string, string>>;
}

/**
 * Lets a request through to a key: known grant tokens, permission by the key policy or a grant, a key that is
 * enabled.
 *
 * @param context Grants, and the log
 * @param use Key and operation
 * @throws {KmsRefusal} `InvalidGrantTokenException`, `AccessDeniedException`, `DisabledException` or
 *   `KMSInvalidStateException`
 */
export function admit(context: OperationContext, { operation, key, input, conditions }: KeyUse): void {
  const { encryptionContext, grantTokens, recipient } = input;
  context.noteKey(key);
  context.grants.requireKnown(grantTokens);
  authorize({
    policy: key.policy,
    kind: "resource-based",
    action: `kms:${operation}`,
    resource: key.arn,
    attributes: requestAttributes(recipient?.document, encryptionContext, conditions),
    identityPolicy: context.identityPolicy,
  }, () => context.grants.permits({ key, operation, encryptionContext, grantTokens }));
  key.requireEnabled();
}

/**
 * Ends a dry run, once everything else has been checked.
 *
 * @param input The request
 * @throws {KmsRefusal} `DryRunOperationException`
 */
export function endDryRun({ dryRun }: Pick<KeyInput, "dryRun">): void {
  if (dryRun) throw new KmsRefusal("DryRunOperationException");
}

/**
 * Encodes the encryption context in one unambiguous form: pairs sorted by name, each part with its length.
 */
export function associatedData(
  key: SimulatedKey,
  encryptionContext: Readonly<Record<string, string>>,
): Uint8Array {
  const pairs = Object.entries(encryptionContext).sort(([a], [b]) => (a < b ? -1 : 1));
  if (key.spec !== "SYMMETRIC_DEFAULT" && pairs.length > 0) {
    throw new KmsRefusal(
      "ValidationException",
      "Encryption context is not supported with asymmetric KMS keys.",
    );
  }
  return new TextEncoder().encode(JSON.stringify(pairs));
}

/** Makes the member KeyMaterialId, which KMS leaves out for recipients and for asymmetric keys. */
export function materialMember({ materialId }: SimulatedKey, { recipient }: KeyInput): KmsOutput {
  return materialId === undefined || recipient !== undefined ? {} : { KeyMaterialId: materialId };
}

const MAX_GRANT_TOKENS = 10;
const MAX_GRANT_TOKEN_LENGTH = 8192;
