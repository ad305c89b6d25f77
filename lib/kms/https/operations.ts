import { DataKey, DataKeyPair } from "../data_key.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";
import type {
  CheckedDataKeyPairRequest,
  CheckedDataKeyRequest,
  CheckedDecryptRequest,
  CheckedEncryptRequest,
  CheckedOptionsOfRequest,
  CheckedRandomRequest,
  CheckedSharedSecretRequest,
  Encrypted,
} from "../checked_request.ts";
import type { KmsReply } from "../operations/kms_reply.ts";

/** The members of a request, as JSON has them; undefined ones are left out. */
type Members = Readonly<Record<string, unknown>>;

/**
 * One operation of KMS on the wire.
 *
 * @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html
 */
export interface WireOperation<Request, Result> {
  /** As KMS calls it. */
  readonly name: string;
  /** Whether it takes a Recipient. */
  readonly attested: boolean;
  /** What goes into the request besides the Recipient and what is secret. */
  members(request: Request): Members;
  /** The one member that is secret, and goes into the request as base64. */
  secretMember?(request: Request): readonly [name: string, bytes: Uint8Array];
  /** Reads the answer; what is secret in it comes last, so that nothing can fail once it is open. */
  result(reply: KmsReply, request: Request): Result;
}

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html */
export const DECRYPT: WireOperation<CheckedDecryptRequest, SecretBytes> = {
  name: "Decrypt",
  attested: true,
  members: (request) => ({
    CiphertextBlob: encodeBase64(request.ciphertext),
    EncryptionContext: request.encryptionContext,
    KeyId: request.keyId,
    EncryptionAlgorithm: request.encryptionAlgorithm,
    ...commonMembers(request),
  }),
  result(reply, request) {
    reply.keyId(request.keyId);
    return reply.secret("Plaintext");
  },
};

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html */
export const ENCRYPT: WireOperation<CheckedEncryptRequest, Encrypted> = {
  name: "Encrypt",
  attested: false,
  members: (request) => ({
    EncryptionContext: request.encryptionContext,
    KeyId: request.keyId,
    EncryptionAlgorithm: request.encryptionAlgorithm,
    ...commonMembers(request),
  }),
  secretMember: ({ plaintext }) => ["Plaintext", plaintext.bytes],
  result: (reply, request) => ({
    ciphertext: reply.bytes("CiphertextBlob"),
    keyId: reply.keyId(request.keyId),
  }),
};

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html */
export const GENERATE_DATA_KEY: WireOperation<CheckedDataKeyRequest, DataKey> = {
  name: "GenerateDataKey",
  attested: true,
  members: (request) => ({
    ...(typeof request.length === "number" ? { NumberOfBytes: request.length } : { KeySpec: request.length }),
    EncryptionContext: request.encryptionContext,
    KeyId: request.keyId,
    ...commonMembers(request),
  }),
  result(reply, { keyId, length }) {
    const answered = { ciphertext: reply.bytes("CiphertextBlob"), keyId: reply.keyId(keyId) };
    const lengthInBytes = typeof length === "number" ? length : length === "AES_256" ? 32 : 16;
    return new DataKey({ ...answered, plaintext: reply.secret("Plaintext", lengthInBytes) });
  },
};

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyPair.html */
export const GENERATE_DATA_KEY_PAIR: WireOperation<CheckedDataKeyPairRequest, DataKeyPair> = {
  name: "GenerateDataKeyPair",
  attested: true,
  members: (request) => ({
    KeyPairSpec: request.keyPairSpec,
    EncryptionContext: request.encryptionContext,
    KeyId: request.keyId,
    ...commonMembers(request),
  }),
  result(reply, { keyId, keyPairSpec }) {
    reply.expect("KeyPairSpec", keyPairSpec);
    const answered = {
      keyId: reply.keyId(keyId),
      keyPairSpec,
      privateKeyCiphertext: reply.bytes("PrivateKeyCiphertextBlob"),
      publicKey: reply.bytes("PublicKey"),
    };
    return new DataKeyPair({ ...answered, privateKey: reply.secret("PrivateKeyPlaintext") });
  },
};

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateRandom.html */
export const GENERATE_RANDOM: WireOperation<CheckedRandomRequest, SecretBytes> = {
  name: "GenerateRandom",
  attested: true,
  members: ({ numberOfBytes }) => ({ NumberOfBytes: numberOfBytes }),
  result: (reply, { numberOfBytes }) => reply.secret("Plaintext", numberOfBytes),
};

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_DeriveSharedSecret.html */
export const DERIVE_SHARED_SECRET: WireOperation<CheckedSharedSecretRequest, SecretBytes> = {
  name: "DeriveSharedSecret",
  attested: true,
  members: (request) => ({
    KeyId: request.keyId,
    KeyAgreementAlgorithm: request.keyAgreementAlgorithm,
    PublicKey: encodeBase64(request.publicKey),
    ...commonMembers(request),
  }),
  result(reply, { keyId, keyAgreementAlgorithm }) {
    reply.keyId(keyId);
    reply.expect("KeyAgreementAlgorithm", keyAgreementAlgorithm);
    return reply.secret("SharedSecret");
  },
};

function commonMembers({ grantTokens, dryRun }: CheckedOptionsOfRequest): Members {
  return { GrantTokens: grantTokens, DryRun: dryRun ? true : undefined };
}
