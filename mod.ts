/**
 * Decrypt with AWS KMS from inside a Nitro Enclave, in process, on Node.js and Deno.
 *
 * {@link KmsClient} attests the enclave, asks KMS to decrypt for it, and opens the answer that only this
 * enclave can open; {@link kmsDecrypt} does the same once. A decrypt travels from lib/kms/kms_client.ts to one
 * of the engines in lib/engine/, and from there to KMS through the vsock proxy on the parent.
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
export {
  type AttestationDocument,
  decodeAttestationDocument,
  MAX_ATTESTATION_DOCUMENT_BYTES,
} from "./lib/attestation/document.ts";
export {
  type AttestationRequest,
  MAX_ATTESTED_NONCE_BYTES,
  MAX_ATTESTED_PUBLIC_KEY_BYTES,
  MAX_ATTESTED_USER_DATA_BYTES,
  MAX_PCR_EXTENSION_BYTES,
  NsmClient,
  type NsmDescription,
  PCR_COUNT,
  type PcrDescription,
} from "./lib/nsm/nsm_client.ts";
export type { AttestationOptions } from "./lib/nsm/nsm_queue.ts";
export type { NsmTransport } from "./lib/nsm/nsm_transport.ts";
export {
  type Attester,
  MAX_SEAL_CONTEXT_BYTES,
  MAX_SEALED_SECRET_BYTES,
  SEAL_OVERHEAD_BYTES,
  type SealContext,
  type SealOptions,
  sealTo,
  SessionKey,
  type SessionKeyOptions,
} from "./lib/attestation/session_key.ts";
export {
  AWS_NITRO_ROOT_SHA256,
  CLOCK_TOLERANCE_MS,
  type PcrsByIndex,
  type PcrValue,
  verifyAttestation,
  type VerifyAttestationOptions,
} from "./lib/attestation/verify.ts";
export type {
  AwsCredentials,
  Credentials,
  CredentialsProvider,
  ProvidedCredentials,
} from "./lib/aws/credentials.ts";
export type { CredentialPart } from "./lib/aws/credentials_shape.ts";
export { DataKey, DataKeyPair, type DataKeyPairSpec, KEY_PAIR_SPECS } from "./lib/kms/data_key.ts";
export { decodeBase64, decodeHex, type DecodeOptions, encodeBase64, encodeHex } from "./lib/core/encoding.ts";
export {
  DEFAULT_KMS_ENDPOINT,
  type Endpoint,
  KMS_PROXY_PORT,
  PARENT_CID,
  type TcpEndpoint,
  type UnixEndpoint,
  type VsockEndpoint,
} from "./lib/core/endpoint.ts";
export type { DataKeySpec, GenerateDataKeyRequest } from "./lib/kms/operations/generate_data_key.ts";
export type { Encrypted, EncryptRequest } from "./lib/kms/operations/encrypt.ts";
export type { EngineName } from "./lib/kms/engine.ts";
export { decryptStream, type DecryptStreamOptions } from "./lib/envelope/decrypt_stream.ts";
export { decryptFile, encryptFile, type FilePaths } from "./lib/envelope/encrypt_file.ts";
export { encryptStream, type EncryptStreamOptions } from "./lib/envelope/encrypt_stream.ts";
export type { EncryptionContext } from "./lib/envelope/encryption_context.ts";
export { EnvelopeError, type EnvelopeFault } from "./lib/envelope/envelope_error.ts";
export type { DataKeyOpener, DataKeySource } from "./lib/envelope/key_client.ts";
export type { EnvelopeStream } from "./lib/envelope/pull_stream.ts";
export * from "./lib/core/errors.ts";
export { KmsClient } from "./lib/kms/kms_client.ts";
export { kmsDecrypt, type KmsDecryptOptions } from "./lib/kms/kms_decrypt.ts";
export type { ExpiredCredentials } from "./lib/aws/credentials_source.ts";
export type { KmsClientOptions } from "./lib/kms/kms_options.ts";
export type { DryRunRequests } from "./lib/kms/operations/dry_run.ts";
export type { DecryptRequest } from "./lib/kms/operations/decrypt.ts";
export type { DeriveSharedSecretRequest } from "./lib/kms/operations/derive_shared_secret.ts";
export type { GenerateDataKeyPairRequest } from "./lib/kms/operations/generate_data_key_pair.ts";
export type { GenerateRandomRequest } from "./lib/kms/operations/generate_random.ts";
export type { KeyRequest } from "./lib/kms/operations/key_request.ts";
export {
  type EncryptionAlgorithm,
  MAX_ENCRYPTION_CONTEXT_BYTES,
  MAX_ENCRYPTION_CONTEXT_PAIRS,
} from "./lib/kms/operations/request_fields.ts";
export type { CallOptions } from "./lib/core/call_options.ts";
export { kmsHostName, type KmsHostNameOptions } from "./lib/aws/region.ts";
export { SecretBytes } from "./lib/core/secret_bytes.ts";
export {
  type KernelEntropy,
  type KernelEntropyOutcome,
  type RandomSource,
  seedKernelEntropy,
  type SeedKernelEntropyOptions,
} from "./lib/nsm/seed_kernel_entropy.ts";
