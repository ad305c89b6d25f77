/**
 * A simulated enclave for tests and development: KMS over TLS with its own certificate authority, which
 * verifies signatures and attestation documents, and a Nitro Secure Module in software. It runs in the
 * process of the test, on Node and Deno, and needs no AWS account.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
 *
 * await using client = await KmsClient.open(enclave.clientOptions);
 * using plaintext = await client.decrypt({ ciphertext });
 * ```
 *
 * @module
 */
export type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
export type { TcpEndpoint, UnixEndpoint } from "../lib/core/endpoint.ts";
export type { EnvelopeShape, EnvelopeVariant } from "./kms/cms_envelope.ts";
export type { FaultTimes } from "./fault_queue.ts";
export { SimulatedClock } from "./clock.ts";
export { type LoggedImdsRequest, SimulatedImds, type SimulatedImdsOptions, startImds } from "./imds/imds.ts";
export { IMDS_FAULTS, type ImdsFault, type ImdsPath, type NamedImdsFault } from "./imds/imds_faults.ts";
export { SimulatedKms, type SimulatedKmsOptions } from "./kms/kms.ts";
export type { SimulatedCredentials } from "./kms/kms_credentials.ts";
export { type KmsExceptionName, KmsRefusal } from "./kms/kms_errors.ts";
export { KMS_FAULTS, type KmsFault, type KmsFaultKind, type NamedFault } from "./kms/kms_faults.ts";
export type { CreateGrantOptions, SimulatedGrant } from "./kms/kms_grants.ts";
export type { KeyAlgorithm } from "./kms/keys/encryption_algorithms.ts";
export type { GrantOperation, KeySpec, KeyUsage } from "./kms/keys/key_families.ts";
export type { KmsOutput } from "./kms/keys/key_use.ts";
export type { CreateKeyOptions, KeyOrigin, KeyState, SimulatedKey } from "./kms/keys/simulated_key.ts";
export {
  ALLOW_ALL_KEY_POLICY,
  attestedKeyPolicy,
  type KeyPolicy,
  type KeyPolicyConditions,
  type KeyPolicyStatement,
} from "./kms/policy/key_policy.ts";
export type { ReleaseOptions } from "./kms/kms_release.ts";
export type { LoggedRequest, Tampering } from "./kms/kms_service.ts";
export { type NamedNsmFault, NSM_FAULTS, type NsmFault } from "./nsm/nsm_faults.ts";
export { SoftwareNsm, type SoftwareNsmOptions } from "./nsm/nsm.ts";
export type { DocumentForm } from "./nsm/document_form.ts";
export type { AttestationRequest, NsmErrorName } from "./nsm/nsm_commands.ts";
export { runSimulated, type RunSimulatedOptions } from "./run_simulated.ts";
export { SimulatedEnvironment } from "./simulated_environment.ts";
export {
  type SimulatedEncryptRequest,
  Simulator,
  type SimulatorClientOptions,
  type SimulatorOptions,
  startSimulator,
} from "./simulator.ts";
export { type LoggedS3Request, SimulatedS3, type SimulatedS3Options } from "./s3/s3.ts";
export { type S3ErrorCode, S3Refusal } from "./s3/s3_errors.ts";
export { type NamedS3Fault, S3_FAULTS, type S3Fault, type S3FaultKind } from "./s3/s3_faults.ts";
export type { CreateBucketOptions, SimulatedObject } from "./s3/s3_objects.ts";
export { type CertificateKind, type ServerCertificate, TlsAuthority } from "./tls/tls_certificates.ts";
export type { ListenAddress } from "./tls/tls_server.ts";
export { type ServicesOptions, SimulatedServices, startServices } from "./services/services.ts";
export type { SeededCiphertext, ServicesDescription } from "./services/services_description.ts";
export { type RegisterHook, type SimulatorHooks, type TestSimulator, useSimulator } from "./use_simulator.ts";
