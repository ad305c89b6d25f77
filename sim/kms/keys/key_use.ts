import { KmsRefusal } from "../kms_errors.ts";
import type { KmsInput } from "../kms_input.ts";
import type { KeyAlgorithm } from "./encryption_algorithms.ts";
import type { KeyPair } from "./key_pairs.ts";
import { authorize, type KeyPolicy, requestAttributes } from "../policy/key_policy.ts";
import type { Recipient, RecipientReader } from "../kms_recipient.ts";

/** Key as the operations see it. */
export interface UsableKey {
  /** The key's ARN. */
  readonly arn: string;
  /** Kind of the material. */
  readonly spec: string;
  /** Use of the key. */
  readonly usage: string;
  /** Origin of the material. */
  readonly origin: string;
  /** Key policy. */
  readonly policy: KeyPolicy;
  /** Id of the material; undefined when the key is asymmetric. */
  readonly materialId: string | undefined;
  /**
   * Key pair of an asymmetric key; reading it throws when the key is symmetric.
   *
   * @internal
   */
  readonly keyPair: KeyPair;
  /** Bytes of a symmetric key; reading them throws when the key is asymmetric. */
  readonly secretKey: Uint8Array;
  /** Throws what KMS throws when a key in this state is used. */
  requireEnabled(): void;
  /** Throws what KMS throws when a key is used for what it is not for. */
  requireUsage(usage: string, operation: string): void;
  /** Throws what KMS throws when a key of another kind is meant. */
  requireAlgorithm(algorithm: KeyAlgorithm): void;
  /** Encrypts; the associated data is that of the encryption context. */
  encrypt(plaintext: Uint8Array, algorithm: KeyAlgorithm, associatedData: Uint8Array): Uint8Array;
  /** Decrypts, or throws `InvalidCiphertextException`. */
  decrypt(ciphertext: Uint8Array, algorithm: KeyAlgorithm, associatedData: Uint8Array): Uint8Array;
}

/** Keys that operations look for. */
export interface KeyDirectory {
  /** Finds a key by id, ARN, alias or alias ARN. */
  find(name: string): UsableKey;
  /** Finds the key that made a symmetric ciphertext. */
  findByCiphertext(ciphertext: Uint8Array): UsableKey;
}

/** Request that a grant may permit. */
export interface GrantQuestion {
  /** The key that is to be used. */
  readonly key: UsableKey;
  /** Name of the operation, such as `Decrypt`. */
  readonly operation: string;
  /** Encryption context of the request. */
  readonly encryptionContext: Readonly<Record<string, string>>;
  /** Grant tokens of the request; all are known. */
  readonly grantTokens: readonly string[];
}

/** Permissions beside the key policies. */
export interface Grants {
  /** Throws `InvalidGrantTokenException` when a token belongs to no grant. */
  requireKnown(tokens: readonly string[]): void;
  /** Tells whether a grant permits a request. */
  permits(question: GrantQuestion): boolean;
}

/** State that an operation works with. */
export interface OperationContext {
  /** The keys. */
  readonly keys: KeyDirectory;
  /** The permissions beside the key policies. */
  readonly grants: Grants;
  /** The permissions of the caller, for operations without a key. */
  readonly identityPolicy: KeyPolicy;
  /** Reads and verifies the Recipient of a request. */
  readonly recipients: RecipientReader;
  /** Makes the members that return a secret: in clear, or in an envelope when there is a recipient. */
  release(member: string, secret: Uint8Array, recipient: Recipient | undefined): KmsOutput;
  /** Notes which key was used, for the log. */
  noteKey(key: UsableKey): void;
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
  readonly key: UsableKey;
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
  key: UsableKey,
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
export function materialMember({ materialId }: UsableKey, { recipient }: KeyInput): KmsOutput {
  return materialId === undefined || recipient !== undefined ? {} : { KeyMaterialId: materialId };
}

const MAX_GRANT_TOKENS = 10;
const MAX_GRANT_TOKEN_LENGTH = 8192;
