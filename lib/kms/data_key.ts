import type { SecretBytes } from "../core/secret_bytes.ts";

/**
 * A data key: in clear for this enclave, and encrypted under the KMS key to be kept beside the data.
 * Disposing it wipes the clear one.
 */
export class DataKey implements Disposable {
  /** The key itself, of the length that was asked for. */
  readonly plaintext: SecretBytes;
  /** The same key under the KMS key: what {@link KmsClient.decrypt} takes, with the same encryption context. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** The KMS key's ARN; on engine `sdk-client` the `keyId` of the request, for C does not return it. */
  readonly keyId: string;

  /**
   * Puts the parts together.
   *
   * @param parts Opened parts of KMS's answer; the plaintext is owned from here on
   */
  constructor(
    parts: {
      readonly plaintext: SecretBytes;
      readonly ciphertext: Uint8Array<ArrayBuffer>;
      readonly keyId: string;
    },
  ) {
    this.plaintext = parts.plaintext;
    this.ciphertext = parts.ciphertext;
    this.keyId = parts.keyId;
  }

  /** Wipes `plaintext`. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.plaintext[Symbol.dispose]();
  }
}

/** Every kind of data key pair that KMS makes. */
export const DATA_KEY_PAIR_SPECS = [
  "RSA_2048",
  "RSA_3072",
  "RSA_4096",
  "ECC_NIST_P256",
  "ECC_NIST_P384",
  "ECC_NIST_P521",
  "ECC_SECG_P256K1",
  "ECC_NIST_EDWARDS25519",
  "SM2",
] as const;

/** Kind of key pair that KMS makes. */
export type DataKeyPairSpec = typeof DATA_KEY_PAIR_SPECS[number];

/**
 * A data key pair: the private key in clear for this enclave and encrypted under the KMS key, and the public
 * key. Disposing it wipes the private key.
 */
export class DataKeyPair implements Disposable {
  /** PKCS #8, DER (RFC 5208). */
  readonly privateKey: SecretBytes;
  /** The same private key under the KMS key: what {@link KmsClient.decrypt} takes. */
  readonly privateKeyCiphertext: Uint8Array<ArrayBuffer>;
  /** SubjectPublicKeyInfo, DER (RFC 5280). */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Kind of key pair that was asked for. */
  readonly keyPairSpec: DataKeyPairSpec;
  /** The KMS key's ARN. */
  readonly keyId: string;

  /**
   * Puts the parts together.
   *
   * @param parts Opened parts of KMS's answer; the private key is owned from here on
   */
  constructor(
    parts: {
      readonly privateKey: SecretBytes;
      readonly privateKeyCiphertext: Uint8Array<ArrayBuffer>;
      readonly publicKey: Uint8Array<ArrayBuffer>;
      readonly keyPairSpec: DataKeyPairSpec;
      readonly keyId: string;
    },
  ) {
    this.privateKey = parts.privateKey;
    this.privateKeyCiphertext = parts.privateKeyCiphertext;
    this.publicKey = parts.publicKey;
    this.keyPairSpec = parts.keyPairSpec;
    this.keyId = parts.keyId;
  }

  /** Wipes `privateKey`. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.privateKey[Symbol.dispose]();
  }
}
