import type { SecretBytes } from "../core/secret_bytes.ts";
import type { DataKey, DataKeyPair } from "./data_key.ts";
import type { DecryptRequest } from "./operations/decrypt.ts";
import type { DeriveSharedSecretRequest } from "./operations/derive_shared_secret.ts";
import type { Encrypted, EncryptRequest } from "./operations/encrypt.ts";
import type { GenerateDataKeyRequest } from "./operations/generate_data_key.ts";
import type { GenerateDataKeyPairRequest } from "./operations/generate_data_key_pair.ts";
import type { GenerateMacRequest, Mac } from "./operations/generate_mac.ts";
import type { GenerateRandomRequest } from "./operations/generate_random.ts";
import type { GetPublicKeyRequest, KmsPublicKey } from "./operations/get_public_key.ts";
import type { OperationName, Requested, Result } from "./operations/operations.ts";
import type { Signed, SignRequest } from "./operations/sign.ts";
import type { Verified, VerifyRequest } from "./operations/verify.ts";
import type { VerifyMacRequest } from "./operations/verify_mac.ts";

/** Function that checks a request and has KMS do its operation. */
export type RunOperation = <K extends OperationName>(name: K, request: Requested<K>) => Promise<Result<K>>;

/** Methods of {@link KmsClient}, one for each operation of KMS. */
export abstract class KmsMethods {
  readonly #run: RunOperation;

  /**
   * @param run Does the work
   * @internal
   */
  protected constructor(run: RunOperation) {
    this.#run = run;
  }

  /**
   * Decrypts one ciphertext. The request is checked and copied before anything else happens.
   *
   * @param request The ciphertext, and what it must have been encrypted with
   * @returns The plaintext, at most 4096 bytes for a symmetric key; dispose it with `using`
   * @throws {TypeError} When a field is missing, unknown or of a wrong type
   * @throws {RangeError} When a field is out of range
   * @throws {KmsError} When KMS refuses; `kmsCode` has its exception's name
   * @throws {ConnectionError} When KMS cannot be reached
   * @throws {CertificateError} When whoever answers is not KMS
   * @throws {AttestationError} When the NSM gives no document
   * @throws {CredentialsError} When the provider of credentials fails
   * @throws {ProtocolError} When the answer is not one that KMS gives
   * @throws {SdkKmsDecryptError} When the C client failed, on engine `sdk-client`: it does not say why
   * @throws {TimeoutError} When the time is up; on an abort, the signal's reason
   */
  decrypt(request: DecryptRequest): Promise<SecretBytes> {
    return this.#run("decrypt", request);
  }

  /**
   * Encrypts up to 4096 bytes. Nothing about it is attested: the key policy must let this role encrypt. For more
   * data, or many pieces of it, see {@link KmsClient.generateDataKey}.
   *
   * @param request The plaintext and the key
   * @returns The ciphertext and the key's ARN
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey();
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * const plaintext = crypto.getRandomValues(new Uint8Array(32));
   * const { ciphertext } = await client.encrypt({ keyId, plaintext, encryptionContext: { tenant: "a" } });
   * ciphertext.length > 32; // true
   * ```
   */
  encrypt(request: EncryptRequest): Promise<Encrypted> {
    return this.#run("encrypt", request);
  }

  /**
   * Has KMS make a data key: in clear for this enclave only, and encrypted under the KMS key to be kept beside
   * the data.
   *
   * @param request The KMS key, and how long the data key is to be
   * @returns The data key; dispose it with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} When engine `sdk-client` cannot do what the request asks
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey();
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * using dataKey = await client.generateDataKey({ keyId });
   * dataKey.plaintext.length; // 32
   * using again = await client.decrypt({ ciphertext: dataKey.ciphertext, keyId });
   * again.length; // 32
   * ```
   */
  generateDataKey(request: GenerateDataKeyRequest): Promise<DataKey> {
    return this.#run("generateDataKey", request);
  }

  /**
   * Has KMS make a key pair: the private key in clear for this enclave only, and encrypted under the KMS key.
   *
   * @param request The KMS key, and what kind of key pair
   * @returns The key pair; dispose it with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  generateDataKeyPair(request: GenerateDataKeyPairRequest): Promise<DataKeyPair> {
    return this.#run("generateDataKeyPair", request);
  }

  /**
   * Random bytes from KMS's hardware security modules, readable by this enclave only.
   *
   * @param request Number of bytes, 1 to 1024
   * @returns The bytes; dispose them with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   */
  generateRandom(request: GenerateRandomRequest): Promise<SecretBytes> {
    return this.#run("generateRandom", request);
  }

  /**
   * The shared secret of an elliptic curve key in KMS and a peer's public key (ECDH): the raw x coordinate, 32 to
   * 66 bytes. Put it through a key derivation function before use.
   *
   * @param request The key in KMS, and the peer's public key
   * @returns The shared secret; dispose it with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  deriveSharedSecret(request: DeriveSharedSecretRequest): Promise<SecretBytes> {
    return this.#run("deriveSharedSecret", request);
  }

  /**
   * Has KMS compute the message authentication code (HMAC) of up to 4096 bytes. Nothing about it is attested: the parent,
   * which holds the role, can have the same code made without the enclave. For a code that only the enclave can make,
   * decrypt a key at boot, or take it from {@link KmsClient.generateDataKey}.
   *
   * @param request The message, the HMAC key and its algorithm
   * @returns The code and the key's ARN
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey({ spec: "HMAC_256" });
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * const message = new TextEncoder().encode("pay 5 to Ann");
   * const { mac } = await client.generateMac({ keyId, message, macAlgorithm: "HMAC_SHA_256" });
   * mac.length; // 32
   * ```
   */
  generateMac(request: GenerateMacRequest): Promise<Mac> {
    return this.#run("generateMac", request);
  }

  /**
   * Has KMS verify a message authentication code. A code that is not valid is an error, so that nobody can overlook it.
   * Nothing about it is attested: the parent can ask the same.
   *
   * @param request The message, the code, the HMAC key and its algorithm
   * @returns The key's ARN
   * @throws {KmsError} With `kmsCode` `KMSInvalidMacException` when the code is not valid; when KMS refuses, and the other
   *   errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  verifyMac(request: VerifyMacRequest): Promise<Verified> {
    return this.#run("verifyMac", request);
  }

  /**
   * Has KMS sign a message of up to 4096 bytes, or a digest. Nothing about it is attested: the parent, which holds the
   * role, can have anything signed without the enclave, so a signature does not say that an enclave saw the message. For
   * a key that only the enclave may use, decrypt a private key at boot, or take it from
   * {@link KmsClient.generateDataKeyPair}.
   *
   * @param request The message, the key and the algorithm
   * @returns The signature and the key's ARN
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * const order = { keyId, message: new TextEncoder().encode("pay 5 to Ann"), signingAlgorithm: "ECDSA_SHA_256" } as const;
   * const { signature } = await client.sign(order);
   * await client.verify({ ...order, signature }); // throws a KmsError if it is not valid
   * ```
   */
  sign(request: SignRequest): Promise<Signed> {
    return this.#run("sign", request);
  }

  /**
   * Has KMS verify a signature. A signature that is not valid is an error, so that nobody can overlook it. Nothing about
   * it is attested: the parent can ask the same. Who has the public key can verify without KMS.
   *
   * @param request The message, the signature, the key and the algorithm
   * @returns The key's ARN
   * @throws {KmsError} With `kmsCode` `KMSInvalidSignatureException` when the signature is not valid; when KMS refuses,
   *   and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  verify(request: VerifyRequest): Promise<Verified> {
    return this.#run("verify", request);
  }

  /**
   * Gets the public key of an asymmetric key in KMS. Nothing about it is attested. Name the key by its ARN: a key id or
   * an alias means a key of whichever account the credentials are of, and the parent hands those over.
   *
   * @param request The key
   * @returns The public key, its use and its algorithms
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  getPublicKey(request: GetPublicKeyRequest): Promise<KmsPublicKey> {
    return this.#run("getPublicKey", request);
  }
}
