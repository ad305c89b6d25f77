/**
 * The parent instance's half: bridges into and out of an enclave, the proxy to KMS, and a relay for other services. It
 * carries bytes, and opens none of what KMS answers: it imports no decryption, and the enclave trusts it with nothing.
 *
 * {@link createConnector} makes the caller's half of a conversation with an enclave. {@link KmsProxy} takes enclaves to KMS, {@link TlsRelay} to services by the name in their TLS, {@link IngressBridge}
 * callers into an enclave, and {@link EgressBridge} an enclave to a service of the parent. The enclave's halves are
 * `openIngress` and `openEgress` of `enclave-kms/enclave`.
 *
 * @example
 * ```ts
 * import { EgressBridge, IngressBridge } from "enclave-kms/parent";
 * import { mkdtempSync } from "node:fs";
 *
 * const simulationFolder = mkdtempSync("/tmp/enclave-kms-"); // on an instance: leave it out
 * await using ingress = await IngressBridge.open({ enclaveCid: 16, port: 0, simulationFolder });
 * await using egress = await EgressBridge.open({ targetPort: 8080, simulationFolder });
 * ingress.counters.openCount; // 0
 * ```
 *
 * @module
 */
export { type AllowedHost } from "./allow_list.ts";
export { ArtefactError, type ArtefactErrorDetails, type ArtefactReason } from "./artefacts/artefact_error.ts";
export { type ArtefactSettings, readArtefactSettings } from "./artefacts/artefact_settings.ts";
export { readArtefact, type ReadArtefactOptions } from "./artefacts/read_artefact.ts";
export { CredentialPusher, type CredentialPusherOptions } from "./credential_pusher.ts";
export type { EnclaveSight, EnclaveWatch } from "./credentials/enclave_watcher.ts";
export type {
  EnclaveSightState,
  FailedPart,
  PushCounts,
  PushEvent,
  PushFailure,
  PushReason,
  PushState,
} from "./credentials/push_events.ts";
export { watchReadiness } from "./credentials/readiness_watch.ts";
export type { CredentialSource } from "./credentials/source_question.ts";
export type { LoggedCredentials } from "../lib/aws/logged_credentials.ts";
export { ImdsError, type ImdsErrorDetails, type ImdsQuestion } from "./imds/imds_error.ts";
export { chainCredentials } from "./chain_credentials.ts";
export type { ChainOptions } from "./credentials/chain_options.ts";
export type {
  DisposableCredentials,
  InstanceCredentialsProvider,
  ProvideOptions,
} from "./credentials/disposable_credentials.ts";
export {
  imdsCredentials,
  type ImdsOptions,
  type ImdsProbe,
  instanceRegion,
  probeImds,
} from "./instance_credentials.ts";
export {
  type ConnectorSettings,
  createConnector,
  type CreateConnectorOptions,
  readConnectorSettings,
} from "./connector/create_connector.ts";
export type {
  CheckedAttestation,
  ConnectorAnswer,
  ConnectorAttestation,
  ConnectorAttestationOptions,
  ConnectorOptions,
  ConnectorRequest,
  EnclaveConnector,
  UncheckedAttestation,
  WaitOptions,
} from "./connector/enclave_connector.ts";
export type { ParsedBootAnswer } from "../lib/attestation/boot_attestation.ts";
export type { HttpConnector } from "./connector/http_connector.ts";
export type { SecretReceipt } from "../lib/wire/secret_receipt.ts";
export { NitroConnector, type NitroConnectorOptions } from "./connector/nitro_connector.ts";
export { SimulationConnector, type SimulationConnectorOptions } from "./connector/simulation_connector.ts";
export { EgressBridge, type EgressBridgeOptions } from "./egress_bridge.ts";
export { IngressBridge, type IngressBridgeOptions } from "./ingress_bridge.ts";
export { kmstoolDecrypt, type KmstoolDecryptOptions } from "./kmstool/kmstool_decrypt.ts";
export { KmsProxy, type KmsProxyOptions } from "./kms_proxy.ts";
export { type Environment, readKmsProxySettings } from "./kms_proxy_settings.ts";
export {
  DEFAULT_ENCLAVE_CID,
  launchEnclave,
  type LaunchOptions,
  terminateEnclaves,
} from "./launch_enclave.ts";
export type { IpFamily, Lookup } from "./name_resolver.ts";
export { launchSimulation, type SimulationLaunchOptions } from "./launch_simulation.ts";
export type { ConsoleFile } from "./nitro/nitro_enclave.ts";
export type { EnclaveEnd, RunningEnclave } from "./running_enclave.ts";
export {
  type AcceptedReceipt,
  type SecretRoute,
  sendCredentials,
  type SendCredentialsOptions,
  sendSecret,
  type SendSecretOptions,
} from "./send_secret.ts";
export { Parent, runParent, type RunParentOptions } from "./run_parent.ts";
export type {
  KnownEnclave,
  OnParentEvent,
  ParentEvent,
  ParentFailure,
  ParentStage,
  ParentState,
} from "./runner/parent_state.ts";
export type { Launch, PartsOptions } from "./runner/real_parts.ts";
export { stopParent, type StopParentOptions } from "./runner/stop_parent.ts";
export type { SupervisorTimes } from "./runner/supervisor.ts";
export { readParentSettings } from "./settings/parent_settings.ts";
export type {
  EgressSetting,
  IngressSetting,
  ParentSettings,
  SecretSetting,
  TlsRelaySetting,
} from "./settings/setting_table.ts";
export {
  DEFAULT_TELEMETRY_PORT,
  type TelemetryCounters,
  type TelemetryDrop,
  TelemetryRelay,
  type TelemetryRelayOptions,
} from "./telemetry/telemetry_relay.ts";
export { readTelemetrySettings, type TelemetrySettings } from "./telemetry/telemetry_settings.ts";
export { TlsRelay, type TlsRelayOptions } from "./tls_relay.ts";
export {
  parseVsockProxyArguments,
  VSOCK_PROXY_CONFIG,
  type VsockProxyArguments,
  vsockProxyOptions,
} from "./vsock_proxy.ts";
export { readVsockProxyAllowList } from "./vsock_proxy_allow_list.ts";
export type { Fetch } from "../lib/transport/create_fetch.ts";
export type { Bridge, BridgeCounters, BridgeOptions, OnFailure } from "../lib/transport/mod.ts";
export {
  type AwsCredentials,
  type Credentials,
  type CredentialsProvider,
  OwnedCredentials,
  type ProvidedCredentials,
} from "../lib/aws/credentials.ts";
export type { CredentialPart } from "../lib/aws/credentials_shape.ts";
export type { CallOptions } from "../lib/core/call_options.ts";
export type { ImdsFailure } from "../lib/core/error_code.ts";
export type { Endpoint, TcpEndpoint, UnixEndpoint, VsockEndpoint } from "../lib/core/endpoint.ts";
export {
  AttestationError,
  CertificateError,
  ConnectionError,
  CredentialsError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  KmstoolError,
  LaunchError,
  type LaunchErrorDetails,
  LibraryLoadError,
  NotReadyError,
  PolicyDeniedError,
  ProtocolError,
  SecretError,
  type SecretFault,
  type SecretRefusal,
  SecretRefusedError,
  SystemCallError,
  TimeoutError,
} from "../lib/core/errors.ts";
