/**
 * Decrypt with AWS KMS from inside a Nitro Enclave, in process, on Node.js and Deno.
 *
 * {@link KmsClient} attests the enclave, asks KMS to decrypt for it, and opens the answer that only this
 * enclave can open. `KmsClient.open()` opens an engine (lib/kms/open_engine.ts), which makes its key pair then (but
 * `sdk-client`, which makes one for each call); `decrypt()` checks the request (lib/kms/operations/decrypt.ts) and runs
 * the engine, which speaks to KMS through the vsock proxy on the parent. {@link kmsDecrypt} opens an engine, runs it once and closes it. docs/layout.md tells every step.
 *
 * Other entries: `./nsm` asks the Nitro Secure Module, `./attestation` verifies its documents, `./envelope` encrypts
 * files and streams, `./policy` judges requests, `./vsock` connects, listens and serves, `./server` is the decrypt
 * server, `./sim` the simulator for tests, and `./cli` the command line.
 *
 * @example
 * ```ts
 * import { kmsDecrypt } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { keyId } = await enclave.createKey();
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
 *
 * using plaintext = await kmsDecrypt({ ...enclave.clientOptions, ciphertext, keyId });
 * new TextDecoder().decode(plaintext.bytes); // "attack at dawn"
 * ```
 *
 * @module
 */
export type {
  AwsCredentials,
  Credentials,
  CredentialsProvider,
  ProvidedCredentials,
} from "./lib/aws/credentials.ts";
export type { CredentialPart } from "./lib/aws/credentials_shape.ts";
export type { ExpiredCredentials } from "./lib/aws/credentials_source.ts";
export { kmsHostName, type KmsHostNameOptions } from "./lib/aws/region.ts";
export type { CallOptions } from "./lib/core/call_options.ts";
export { decodeBase64, decodeHex, type DecodeOptions, encodeBase64, encodeHex } from "./lib/core/encoding.ts";
export { DEFAULT_KMS_ENDPOINT, type Endpoint, KMS_PROXY_PORT } from "./lib/core/endpoint.ts";
export {
  AttestationError,
  CertificateError,
  ConnectionError,
  CredentialsError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  KmsError,
  type KmsErrorDetails,
  LibraryLoadError,
  NativeError,
  type NativeErrorDetails,
  OpensslError,
  ProtocolError,
  SdkGenericError,
  SdkInitError,
  SdkKmsClientError,
  SdkKmsConfigError,
  SdkKmsDecryptError,
  SdkKmsRequestError,
  SystemCallError,
  TimeoutError,
  type TimeoutErrorDetails,
  type TimeoutStage,
  UnsupportedOperationError,
} from "./lib/core/errors.ts";
export { SecretBytes } from "./lib/core/secret_bytes.ts";
export { DATA_KEY_PAIR_SPECS, DataKey, DataKeyPair, type DataKeyPairSpec } from "./lib/kms/data_key.ts";
export type { EngineName } from "./lib/kms/engine.ts";
export { KmsClient } from "./lib/kms/kms_client.ts";
export { kmsDecrypt, type KmsDecryptOptions } from "./lib/kms/kms_decrypt.ts";
export type { KmsMethods } from "./lib/kms/kms_methods.ts";
export type { KmsClientOptions } from "./lib/kms/kms_options.ts";
export type { RuntimeCrypto } from "./lib/kms/runtime_crypto.ts";
export type { DecryptRequest } from "./lib/kms/operations/decrypt.ts";
export type { DeriveSharedSecretRequest } from "./lib/kms/operations/derive_shared_secret.ts";
export type { DryRunRequests } from "./lib/kms/operations/dry_run.ts";
export type { Encrypted, EncryptRequest } from "./lib/kms/operations/encrypt.ts";
export type { DataKeySpec, GenerateDataKeyRequest } from "./lib/kms/operations/generate_data_key.ts";
export type { GenerateDataKeyPairRequest } from "./lib/kms/operations/generate_data_key_pair.ts";
export type { GenerateMacRequest, Mac, MacAlgorithm } from "./lib/kms/operations/generate_mac.ts";
export type { GenerateRandomRequest } from "./lib/kms/operations/generate_random.ts";
export type { GetPublicKeyRequest, KmsPublicKey } from "./lib/kms/operations/get_public_key.ts";
export type { KeyRequest } from "./lib/kms/operations/key_request.ts";
export {
  type EncryptionAlgorithm,
  MAX_ENCRYPTION_CONTEXT_BYTES,
  MAX_ENCRYPTION_CONTEXT_PAIRS,
} from "./lib/kms/operations/request_fields.ts";
export type { Signed, SignRequest } from "./lib/kms/operations/sign.ts";
export type { MessageType, SignedMessageRequest, SigningAlgorithm } from "./lib/kms/operations/signing.ts";
export type { Verified, VerifyRequest } from "./lib/kms/operations/verify.ts";
export type { VerifyMacRequest } from "./lib/kms/operations/verify_mac.ts";
