import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields, checkOneOf } from "../../core/checks.ts";
import { DataKey } from "../data_key.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import type { DryRunOperation } from "./operation.ts";
import { checkEncryptionContext, checkKeyId, checkNumberOfBytes } from "./request_fields.ts";

/** Length of a data key, by KMS's name for it: 16 or 32 bytes. */
export type DataKeySpec = "AES_128" | "AES_256";

const KEY_SPECS: readonly DataKeySpec[] = ["AES_128", "AES_256"];

/** Request of {@link KmsClient.generateDataKey}. */
export interface GenerateDataKeyRequest extends KeyRequest {
  /** Symmetric key: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Length by name, 16 or 32 bytes. Default: `AES_256`, unless `numberOfBytes` says otherwise. */
  readonly keySpec?: DataKeySpec | undefined;
  /** Length in bytes, 1 to 1024; instead of `keySpec`. Not on engine `sdk-client`. */
  readonly numberOfBytes?: number | undefined;
  /** Names and values that decrypting must repeat. Not on engine `sdk-client`. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/** Checked form of {@link GenerateDataKeyRequest}. */
export interface CheckedDataKeyRequest extends CheckedKeyRequest {
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Length by name or in bytes, 1 to 1024. */
  readonly length: DataKeySpec | number;
  /** Encryption context of well-formed strings. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

const FIELDS = ["keyId", "keySpec", "numberOfBytes", "encryptionContext", "grantTokens"];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html */
export const GENERATE_DATA_KEY: DryRunOperation<
  GenerateDataKeyRequest,
  CheckedDataKeyRequest,
  Promise<DataKey>,
  "GenerateDataKey"
> = {
  action: "GenerateDataKey",
  what: "generate a data key",
  attested: true,
  hasDryRun: true,
  check,
  members: (checked) => ({
    ...(typeof checked.length === "number" ? { NumberOfBytes: checked.length } : { KeySpec: checked.length }),
    EncryptionContext: checked.encryptionContext,
    KeyId: checked.keyId,
    ...keyMembers(checked),
  }),
  async result(reply, { keyId, length }) {
    const answered = { ciphertext: reply.bytes("CiphertextBlob"), keyId: reply.keyId(keyId) };
    const lengthInBytes = typeof length === "number" ? length : length === "AES_256" ? 32 : 16;
    return new DataKey({ ...answered, plaintext: await reply.secret("Plaintext", lengthInBytes) });
  },
  facts: ({ keyId, encryptionContext }) => ({ keyId, encryptionContext }),
};

function check(given: GenerateDataKeyRequest): CheckedDataKeyRequest {
  const request = checkFields("data key request", given, [...FIELDS, ...CALL_FIELDS]);
  return {
    ...checkKeyRequest(request),
    keyId: checkKeyId(request.keyId),
    length: checkLength(request),
    encryptionContext: checkEncryptionContext(request.encryptionContext),
  };
}

function checkLength({ keySpec, numberOfBytes }: GenerateDataKeyRequest): DataKeySpec | number {
  const spec = checkOneOf("keySpec", keySpec, KEY_SPECS);
  if (numberOfBytes === undefined) return spec ?? "AES_256";
  if (spec === undefined) return checkNumberOfBytes(numberOfBytes);
  throw new TypeError("keySpec and numberOfBytes both say how long the data key is: give one of them");
}
