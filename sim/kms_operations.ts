import { encodeBase64 } from "../lib/encoding.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { KmsInput } from "./kms_input.ts";
import type { KeyStore, SimulatedKey } from "./kms_keys.ts";
import { authorize, requestAttributes } from "./kms_policy.ts";
import type { Recipient, RecipientReader } from "./kms_recipient.ts";

/** What an operation works with. */
export interface OperationContext {
  /** The keys. */
  readonly keys: KeyStore;
  /** Reads and verifies the Recipient of a request. */
  readonly recipients: RecipientReader;
  /** The members that hand a secret out: in clear, or in an envelope when there is a recipient. */
  release(
    member: string,
    secret: Uint8Array,
    recipient: Recipient | undefined,
  ): Readonly<Record<string, unknown>>;
  /** Notes which key was used, for the log. */
  noteKey(key: SimulatedKey): void;
}

/** One operation: from its input to the members of its output. */
export type KmsOperation = (context: OperationContext, input: KmsInput) => KmsOutput | Promise<KmsOutput>;

/** The members of an output. */
export type KmsOutput = Readonly<Record<string, unknown>>;

/** The operations by name. A new one is one more entry here. */
export const OPERATIONS: Readonly<Record<string, KmsOperation>> = { Encrypt: encrypt, Decrypt: decrypt };

/** KMS's limits, in bytes. */
const MAX_PLAINTEXT_LENGTH = 4096;
const MAX_CIPHERTEXT_LENGTH = 6144;

/** The longest plaintext under RSA-2048 with OAEP, by algorithm, in bytes. */
const MAX_OAEP_LENGTH: Readonly<Record<string, number>> = { RSAES_OAEP_SHA_1: 214, RSAES_OAEP_SHA_256: 190 };

// deno-lint-ignore require-await -- the other operations of this table wait
async function encrypt(
  context: OperationContext,
  input: KmsInput,
): Promise<Readonly<Record<string, unknown>>> {
  const plaintext = input.bytes("Plaintext", MAX_PLAINTEXT_LENGTH);
  const algorithm = input.algorithm();
  const encryptionContext = input.textMap("EncryptionContext");
  const key = context.keys.find(input.requiredText("KeyId"));
  context.noteKey(key);
  authorize(key.policy, "kms:Encrypt", key.arn, requestAttributes(undefined, encryptionContext, algorithm));
  key.requireEnabled();
  key.requireAlgorithm(algorithm);
  if (plaintext.length > (MAX_OAEP_LENGTH[algorithm] ?? MAX_PLAINTEXT_LENGTH)) {
    throw new KmsRefusal("ValidationException", `Plaintext is too long for ${algorithm} with ${key.spec}.`);
  }
  const blob = key.encrypt(plaintext, algorithm, associatedData(key, encryptionContext));
  return { CiphertextBlob: encodeBase64(blob), EncryptionAlgorithm: algorithm, KeyId: key.arn };
}

async function decrypt(
  context: OperationContext,
  input: KmsInput,
): Promise<Readonly<Record<string, unknown>>> {
  const ciphertext = input.bytes("CiphertextBlob", MAX_CIPHERTEXT_LENGTH);
  const algorithm = input.algorithm();
  const encryptionContext = input.textMap("EncryptionContext");
  const recipient = await context.recipients.read(input.structure("Recipient"));
  const key = decryptionKey(context.keys, ciphertext, algorithm, input.text("KeyId"));
  context.noteKey(key);
  const attributes = requestAttributes(recipient?.document, encryptionContext, algorithm);
  authorize(key.policy, "kms:Decrypt", key.arn, attributes);
  key.requireEnabled();
  key.requireAlgorithm(algorithm);
  const plaintext = key.decrypt(ciphertext, algorithm, associatedData(key, encryptionContext));
  return {
    EncryptionAlgorithm: algorithm,
    KeyId: key.arn,
    ...context.release("Plaintext", plaintext, recipient),
  };
}

/** A symmetric ciphertext names its key; another one has to be named. */
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

/** The encryption context in one unambiguous form: pairs sorted by name, each part with its length. */
function associatedData(key: SimulatedKey, encryptionContext: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(encryptionContext).sort(([a], [b]) => (a < b ? -1 : 1));
  if (key.spec !== "SYMMETRIC_DEFAULT" && pairs.length > 0) {
    throw new KmsRefusal(
      "ValidationException",
      "Encryption context is not supported with asymmetric KMS keys.",
    );
  }
  return new TextEncoder().encode(JSON.stringify(pairs));
}
