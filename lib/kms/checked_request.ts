import type { DataKeyPairSpec } from "./data_key.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";

/** How KMS encrypted the ciphertext. */
export type EncryptionAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256";

/** How long a data key is, by KMS's name for it. */
export type DataKeySpec = "AES_128" | "AES_256";

/** What a request of most operations may hold, after every check. */
export interface CheckedOptionsOfRequest {
  /** Up to ten of at most 8192 characters. */
  readonly grantTokens: readonly string[] | undefined;
  /** Whether KMS is only asked if it would. */
  readonly dryRun: boolean;
}

/** A Decrypt request after every check: nothing in it can be wrong in form. */
export interface CheckedDecryptRequest extends CheckedOptionsOfRequest {
  /** 1 to 6144 bytes. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string | undefined;
  /** Set whenever `keyId` is. */
  readonly encryptionAlgorithm: EncryptionAlgorithm | undefined;
  /** Well-formed strings only. */
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** An Encrypt request after every check. */
export interface CheckedEncryptRequest extends CheckedOptionsOfRequest {
  /** A copy, 1 to 4096 bytes; whoever made the copy wipes it. */
  readonly plaintext: SecretBytes;
  readonly keyId: string;
  readonly encryptionAlgorithm: EncryptionAlgorithm;
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** What KMS made of a plaintext. */
export interface Encrypted {
  /** The ciphertext: what {@link KmsClient.decrypt} takes. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** The KMS key's ARN; on engine `sdk-client` the `keyId` of the request, for C does not return it. */
  readonly keyId: string;
}

/** A GenerateDataKey request after every check. */
export interface CheckedDataKeyRequest extends CheckedOptionsOfRequest {
  readonly keyId: string;
  /** A length by name or in bytes, 1 to 1024. */
  readonly length: DataKeySpec | number;
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** A GenerateDataKeyPair request after every check. */
export interface CheckedDataKeyPairRequest extends CheckedOptionsOfRequest {
  readonly keyId: string;
  readonly keyPairSpec: DataKeyPairSpec;
  readonly encryptionContext: Readonly<Record<string, string>> | undefined;
}

/** A GenerateRandom request after every check. */
export interface CheckedRandomRequest {
  /** 1 to 1024. */
  readonly numberOfBytes: number;
}

/** A DeriveSharedSecret request after every check. */
export interface CheckedSharedSecretRequest extends CheckedOptionsOfRequest {
  readonly keyId: string;
  readonly keyAgreementAlgorithm: "ECDH";
  /** SubjectPublicKeyInfo, DER, 1 to 8192 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
}
