import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields, checkOneOf } from "../../core/checks.ts";
import { DATA_KEY_PAIR_SPECS, DataKeyPair, type DataKeyPairSpec } from "../data_key.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import type { DryRunOperation } from "./operation.ts";
import { checkEncryptionContext, checkKeyId } from "./request_fields.ts";

/** Request of {@link KmsClient.generateDataKeyPair}. */
export interface GenerateDataKeyPairRequest extends KeyRequest {
  /** Symmetric key: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Kind of key pair. SM2 exists in China's regions only. */
  readonly keyPairSpec: DataKeyPairSpec;
  /** Names and values that decrypting the private key must repeat. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/** Checked form of {@link GenerateDataKeyPairRequest}. */
export interface CheckedDataKeyPairRequest extends CheckedKeyRequest {
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Kind of key pair. */
  readonly keyPairSpec: DataKeyPairSpec;
  /** Encryption context of well-formed strings. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

const FIELDS = ["keyId", "keyPairSpec", "encryptionContext", "grantTokens"];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyPair.html */
export const GENERATE_DATA_KEY_PAIR: DryRunOperation<
  GenerateDataKeyPairRequest,
  CheckedDataKeyPairRequest,
  Promise<DataKeyPair>,
  "GenerateDataKeyPair"
> = {
  action: "GenerateDataKeyPair",
  what: "generate a data key pair",
  attested: true,
  hasDryRun: true,
  check,
  members: (checked) => ({
    KeyPairSpec: checked.keyPairSpec,
    EncryptionContext: checked.encryptionContext,
    KeyId: checked.keyId,
    ...keyMembers(checked),
  }),
  async result(reply, { keyId, keyPairSpec }) {
    reply.expect("KeyPairSpec", keyPairSpec);
    const answered = {
      keyId: reply.keyId(keyId),
      keyPairSpec,
      privateKeyCiphertext: reply.bytes("PrivateKeyCiphertextBlob"),
      publicKey: reply.bytes("PublicKey"),
    };
    return new DataKeyPair({ ...answered, privateKey: await reply.secret("PrivateKeyPlaintext") });
  },
  facts: ({ keyId, encryptionContext }) => ({ keyId, encryptionContext }),
};

function check(given: GenerateDataKeyPairRequest): CheckedDataKeyPairRequest {
  const request = checkFields("data key pair request", given, [...FIELDS, ...CALL_FIELDS]);
  const keyPairSpec = checkOneOf("keyPairSpec", request.keyPairSpec, DATA_KEY_PAIR_SPECS);
  if (keyPairSpec === undefined) {
    throw new TypeError(`keyPairSpec must be one of ${DATA_KEY_PAIR_SPECS.join(", ")}`);
  }
  return {
    ...checkKeyRequest(request),
    keyId: checkKeyId(request.keyId),
    keyPairSpec,
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}
