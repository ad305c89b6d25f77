import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields, checkOneOf } from "../../core/checks.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import type { DryRunOperation } from "./operation.ts";
import { checkBytes, checkKeyId } from "./request_fields.ts";

/** Longest public key that KMS takes, SubjectPublicKeyInfo in DER, in bytes. */
export const MAX_PUBLIC_KEY_BYTES = 8192;

/** Request of {@link KmsClient.deriveSharedSecret}. */
export interface DeriveSharedSecretRequest extends KeyRequest {
  /** Elliptic curve key for key agreement: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Public key of the peer on the same curve: SubjectPublicKeyInfo in DER, or its base64. */
  readonly publicKey: Uint8Array | string;
  /** Algorithm. Default, and the only one: `ECDH`. */
  readonly keyAgreementAlgorithm?: "ECDH" | undefined;
}

/** Checked form of {@link DeriveSharedSecretRequest}. */
export interface CheckedSharedSecretRequest extends CheckedKeyRequest {
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Algorithm. */
  readonly keyAgreementAlgorithm: "ECDH";
  /** SubjectPublicKeyInfo, DER, 1 to 8192 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

const FIELDS = ["keyId", "publicKey", "keyAgreementAlgorithm", "grantTokens"];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_DeriveSharedSecret.html */
export const DERIVE_SHARED_SECRET: DryRunOperation<
  DeriveSharedSecretRequest,
  CheckedSharedSecretRequest,
  Promise<SecretBytes>,
  "DeriveSharedSecret"
> = {
  action: "DeriveSharedSecret",
  what: "derive a shared secret",
  attested: true,
  hasDryRun: true,
  check,
  members: (checked) => ({
    KeyId: checked.keyId,
    KeyAgreementAlgorithm: checked.keyAgreementAlgorithm,
    PublicKey: encodeBase64(checked.publicKey),
    ...keyMembers(checked),
  }),
  async result(reply, { keyId, keyAgreementAlgorithm }) {
    reply.keyId(keyId);
    reply.expect("KeyAgreementAlgorithm", keyAgreementAlgorithm);
    return await reply.secret("SharedSecret");
  },
  facts: ({ keyId }) => ({ keyId }),
};

function check(given: DeriveSharedSecretRequest): CheckedSharedSecretRequest {
  const request = checkFields("shared secret request", given, [...FIELDS, ...CALL_FIELDS]);
  const algorithm = checkOneOf("keyAgreementAlgorithm", request.keyAgreementAlgorithm, ["ECDH"]) ?? "ECDH";
  return {
    ...checkKeyRequest(request),
    keyId: checkKeyId(request.keyId),
    keyAgreementAlgorithm: algorithm,
    publicKey: checkBytes("publicKey", request.publicKey, MAX_PUBLIC_KEY_BYTES),
  };
}
