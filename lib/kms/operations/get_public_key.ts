import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import type { Operation } from "./operation.ts";
import { checkKeyId } from "./request_fields.ts";

/** Request of {@link KmsClient.getPublicKey}. */
export interface GetPublicKeyRequest extends KeyRequest {
  /** Asymmetric key: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
}

/** Checked form of {@link GetPublicKeyRequest}. */
export interface CheckedPublicKeyRequest extends CheckedKeyRequest {
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
}

/** Result of {@link KmsClient.getPublicKey}. */
export interface KmsPublicKey {
  /** SubjectPublicKeyInfo, DER (RFC 5280). */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** The KMS key's ARN. */
  readonly keyId: string;
  /** Kind of the key, such as `ECC_NIST_P256`. */
  readonly keySpec: string;
  /** Use of the key, such as `SIGN_VERIFY`: KMS uses it for nothing else. */
  readonly keyUsage: string;
  /** Algorithms that KMS uses the key with. */
  readonly algorithms: readonly string[];
}

/** Members that KMS names the algorithms in: one of them, by the key's use. */
const ALGORITHM_MEMBERS = [
  "EncryptionAlgorithms",
  "SigningAlgorithms",
  "KeyAgreementAlgorithms",
  "EncapsulationAlgorithms",
];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html */
export const GET_PUBLIC_KEY: Operation<
  GetPublicKeyRequest,
  CheckedPublicKeyRequest,
  KmsPublicKey,
  "GetPublicKey"
> = {
  action: "GetPublicKey",
  what: "get a public key",
  attested: false,
  hasDryRun: false,
  check(given) {
    const request = checkFields("public key request", given, ["keyId", "grantTokens", ...CALL_FIELDS]);
    return { ...checkKeyRequest(request), keyId: checkKeyId(request.keyId) };
  },
  members: (checked) => ({ KeyId: checked.keyId, ...keyMembers(checked) }),
  result: (reply, { keyId }) => ({
    publicKey: reply.bytes("PublicKey"),
    keyId: reply.keyId(keyId),
    keySpec: reply.name("KeySpec"),
    keyUsage: reply.name("KeyUsage"),
    algorithms: ALGORITHM_MEMBERS.flatMap((member) => reply.names(member)),
  }),
  facts: ({ keyId }) => ({ keyId }),
};
