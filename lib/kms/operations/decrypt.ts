import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import { digestCiphertext } from "../../core/request_facts.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import type { DryRunOperation } from "./operation.ts";
import {
  checkBytes,
  checkEncryptionAlgorithm,
  checkEncryptionContext,
  checkKeyId,
  type EncryptionAlgorithm,
} from "./request_fields.ts";

/** Longest ciphertext that KMS takes, in bytes. */
export const MAX_CIPHERTEXT_BYTES = 6144;

/** Request of {@link KmsClient.decrypt}. */
export interface DecryptRequest extends KeyRequest {
  /** Ciphertext that KMS made: 1 to 6144 bytes, or their base64. */
  readonly ciphertext: Uint8Array | string;
  /**
   * Encryption context that the plaintext was encrypted with, to the letter. Naming it also keeps a ciphertext of
   * another tenant, under the same key, from being put in this one's place. A plain object of at most 128 pairs and
   * 8192 bytes, here and in the other requests: their UTF-8, and two bytes a pair.
   */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Key id, key ARN, alias name or alias ARN; KMS then refuses a ciphertext of any other key. */
  readonly keyId?: string | undefined;
  /** Algorithm of the key. Default: `SYMMETRIC_DEFAULT`. An asymmetric key needs its own, and a `keyId`. */
  readonly encryptionAlgorithm?: EncryptionAlgorithm | undefined;
}

/** Checked form of {@link DecryptRequest}. */
export interface CheckedDecryptRequest extends CheckedKeyRequest {
  /** Ciphertext, 1 to 6144 bytes. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string | undefined;
  /** Algorithm, set whenever `keyId` is. */
  readonly encryptionAlgorithm: EncryptionAlgorithm | undefined;
  /** Encryption context of well-formed strings. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** Fields of a decrypt request, without those of the call. */
export const DECRYPT_FIELDS: readonly string[] = [
  "ciphertext",
  "encryptionContext",
  "keyId",
  "encryptionAlgorithm",
  "grantTokens",
];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html */
export const DECRYPT: DryRunOperation<
  DecryptRequest,
  CheckedDecryptRequest,
  Promise<SecretBytes>,
  "Decrypt"
> = {
  action: "Decrypt",
  what: "decrypt",
  attested: true,
  hasDryRun: true,
  check,
  members: (checked) => ({
    CiphertextBlob: encodeBase64(checked.ciphertext),
    EncryptionContext: checked.encryptionContext,
    KeyId: checked.keyId,
    EncryptionAlgorithm: checked.encryptionAlgorithm,
    ...keyMembers(checked),
  }),
  async result(reply, { keyId }) {
    reply.keyId(keyId);
    return await reply.secret("Plaintext");
  },
  facts: ({ ciphertext, keyId, encryptionContext }) => ({
    ciphertext: digestCiphertext(ciphertext),
    keyId,
    encryptionContext,
  }),
};

function check(given: DecryptRequest): CheckedDecryptRequest {
  const request = checkFields("decrypt request", given, [...DECRYPT_FIELDS, ...CALL_FIELDS]);
  const keyId = request.keyId === undefined ? undefined : checkKeyId(request.keyId);
  const algorithm = checkEncryptionAlgorithm(request.encryptionAlgorithm);
  if (algorithm !== undefined && algorithm !== "SYMMETRIC_DEFAULT" && keyId === undefined) {
    throw new TypeError(
      `encryptionAlgorithm ${algorithm} needs a keyId: the ciphertext of an asymmetric key does not name it`,
    );
  }
  return {
    ...checkKeyRequest(request),
    ciphertext: checkBytes("ciphertext", request.ciphertext, MAX_CIPHERTEXT_BYTES),
    keyId,
    encryptionAlgorithm: algorithm ?? (keyId === undefined ? undefined : "SYMMETRIC_DEFAULT"),
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}
