import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { SecretBytes } from "../../core/secret_bytes.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import type { DryRunOperation, JsonRequest } from "./operation.ts";
import {
  checkBytes,
  checkEncryptionAlgorithm,
  checkEncryptionContext,
  checkKeyId,
  type EncryptionAlgorithm,
} from "./request_fields.ts";

/** Longest plaintext that KMS takes, in bytes. */
export const MAX_PLAINTEXT_BYTES = 4096;

/** Request of {@link KmsClient.encrypt}. */
export interface EncryptRequest extends KeyRequest {
  /** Plaintext, 1 to 4096 bytes; fewer for an asymmetric key, see KMS's Encrypt. The caller must wipe it. */
  readonly plaintext: Uint8Array | SecretBytes;
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Names and values that decrypting must repeat; for symmetric keys only. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Algorithm of the key. Default: `SYMMETRIC_DEFAULT`. An asymmetric key needs its own. */
  readonly encryptionAlgorithm?: EncryptionAlgorithm | undefined;
}

/** Checked form of {@link EncryptRequest}. */
export interface CheckedEncryptRequest extends CheckedKeyRequest {
  /** Copy of the plaintext, 1 to 4096 bytes, wiped by {@link Operation.release}. */
  readonly plaintext: SecretBytes;
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Algorithm of the key. */
  readonly encryptionAlgorithm: EncryptionAlgorithm;
  /** Encryption context of well-formed strings. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** Result of {@link KmsClient.encrypt}. */
export interface Encrypted {
  /** Ciphertext, as {@link KmsClient.decrypt} takes it. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** ARN of the KMS key; on engine `sdk-client` the `keyId` of the request, for C does not return it. */
  readonly keyId: string;
}

const FIELDS = ["plaintext", "keyId", "encryptionContext", "encryptionAlgorithm", "grantTokens"];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html */
export const ENCRYPT: DryRunOperation<EncryptRequest, CheckedEncryptRequest, Encrypted, "Encrypt"> = {
  action: "Encrypt",
  what: "encrypt",
  attested: false,
  hasDryRun: true,
  check: (given) => check(given, bytesOf),
  checkJson: (given) => check(given, (plaintext) => plaintext),
  release: ({ plaintext }) => plaintext[Symbol.dispose](),
  members: (checked) => ({
    EncryptionContext: checked.encryptionContext,
    KeyId: checked.keyId,
    EncryptionAlgorithm: checked.encryptionAlgorithm,
    ...keyMembers(checked),
  }),
  secretMember: ({ plaintext }) => ["Plaintext", plaintext.bytes],
  result: (reply, { keyId }) => ({ ciphertext: reply.bytes("CiphertextBlob"), keyId: reply.keyId(keyId) }),
  facts: ({ keyId, encryptionContext }) => ({ keyId, encryptionContext }),
};

function check(
  given: EncryptRequest | JsonRequest<EncryptRequest>,
  read: (plaintext: unknown) => unknown,
): CheckedEncryptRequest {
  const request = checkFields("encrypt request", given, [...FIELDS, ...CALL_FIELDS]);
  const checked = {
    encryptionAlgorithm: checkEncryptionAlgorithm(request.encryptionAlgorithm) ?? "SYMMETRIC_DEFAULT",
    ...checkKeyRequest(request),
    keyId: checkKeyId(request.keyId),
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
  // Last, so that nothing can fail once there is a copy to wipe.
  const plaintext = checkBytes("plaintext", read(request.plaintext), MAX_PLAINTEXT_BYTES);
  return { ...checked, plaintext: new SecretBytes(plaintext) };
}

/** Takes no text: a caller who gives one may mean the text itself as well as its base64. */
function bytesOf(plaintext: unknown): Uint8Array {
  const bytes = plaintext instanceof SecretBytes ? plaintext.bytes : plaintext;
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError("plaintext must be a Uint8Array or SecretBytes");
}
