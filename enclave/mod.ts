/**
 * The base of an application in the enclave: a Hono application of your own, on vsock, behind a policy, with limits,
 * deadlines, a log and an orderly end.
 *
 * {@link enclaveApp} makes the application and {@link startEnclave} runs it: on a laptop over TCP with `ENV_SETUP=SIM`,
 * in an enclave over vsock, with no line changed. It needs the packages hono, pino and valibot, and a
 * policy in Cedar needs @cedar-policy/cedar-wasm: they are optional peer dependencies. The room imports lib/ but
 * lib/native. Begin with start.ts.
 *
 * @example
 * ```ts
 * import { hc } from "hono/client";
 * import { enclaveApp, startEnclave } from "enclave-kms/enclave";
 * import { startSimulator } from "enclave-kms/sim";
 * import { createFetch } from "enclave-kms/vsock";
 *
 * const app = enclaveApp().get("/v1/hello", (c) => c.json({ hello: "enclave" }));
 *
 * await using simulator = await startSimulator(); // in an enclave: no parts, and no environment
 * await using enclave = await startEnclave(app, {
 *   name: "hello",
 *   nsm: simulator.nsm,
 *   environment: { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" },
 * });
 *
 * const client = hc<typeof app>("http://enclave", { fetch: createFetch(enclave.endpoint) });
 * const answer = await client.v1.hello.$get();
 * (await answer.json()).hello; // "enclave"
 * ```
 *
 * @module
 */
export {
  AttestationError,
  CertificateError,
  ConnectionError,
  CredentialsError,
  DisposedError,
  EnclaveKmsError,
  type ErrorCode,
  KmsError,
  LibraryLoadError,
  OpensslError,
  PolicyDeniedError,
  PolicyLoadError,
  ProtocolError,
  SdkGenericError,
  SdkKmsClientError,
  SecretError,
  type SecretFault,
  SharedKeyError,
  type SharedKeyFault,
  SystemCallError,
  TimeoutError,
  UnsupportedOperationError,
} from "../lib/core/errors.ts";
export { ClockError, TokenError } from "./callers/token_error.ts";
export type { BootKeys } from "./boot_keys.ts";
export type {
  BootIdentity,
  HashAlgorithm,
  KmsService,
  ServiceRequest,
  SignDataOptions,
} from "./kms_service.ts";
export type { SetCredentialsOptions } from "./credential_store.ts";
export type { SignatureAlgorithm } from "../lib/attestation/signature_message.ts";
export { enclaveApp, type FactsOf, gate } from "./enclave_app.ts";
export { requireChannel } from "./channels/require_channel.ts";
export {
  EnclaveListener,
  type ListenerAnswer,
  type ListenerHandler,
  type ListenerOptions,
  type ListenerRequest,
} from "./enclave_listener.ts";
export type { Channel, EnclaveEnv } from "./enclave_env.ts";
export type { HttpEnv } from "./http/http_env.ts";
export type { RequestFacts } from "../lib/core/request_facts.ts";
export { secretAnswer } from "./http/secret_answer.ts";
export {
  BadRequestError,
  CallerGoneError,
  CredentialsOlderError,
  OverloadedError,
} from "./service_errors.ts";
export { ConfigError, type Environment } from "./settings.ts";
export type { Enclave } from "./enclave.ts";
export type { ApplicationDocument, GeneratedDocument } from "./application_document.ts";
export type { EnclaveOptions, RouteOptions } from "./enclave_options.ts";
export type { ApplicationReadiness, Need } from "./readiness.ts";
export type { JsonObject, JsonValue } from "./json.ts";
export type { OpenApiPart } from "./openapi.ts";
export type { RuntimeParts } from "./runtime_options.ts";
export type { Logger } from "./telemetry/log.ts";
export type { LoggedCredentials } from "../lib/aws/logged_credentials.ts";
export type { Outcome, Protocol } from "./telemetry/metrics.ts";
export type { CallerConnection, Decision, RequestRecord } from "./telemetry/request_record.ts";
export type { TraceContext } from "./telemetry/trace_context.ts";
export type { CredentialsBody, CredentialsSchema } from "./routes/credentials.ts";
export type { ShutdownSchema } from "./routes/shutdown.ts";
export type { ControlSchema, RouteName } from "./routes/built_in_routes.ts";
export type { HashAnswer, HashBody, HashSchema } from "./routes/hash.ts";
export type { SignAnswer, SignBody, SignSchema } from "./routes/sign.ts";
export {
  ageSecret,
  type AgeSource,
  kmsSecret,
  type KmsSource,
  sealedSecret,
  type SealedSource,
  type SecretDeclaration,
  type SecretSource,
  sharesOf,
  type SharesSource,
} from "./secrets/declarations.ts";
export {
  ApplicationSettings,
  type BooleanSetting,
  type CommonSetting,
  declareSettings,
  type IntegerSetting,
  type SettingDeclaration,
  type SettingDeclarations,
  type SettingValue,
  type SettingValues,
  type TextSetting,
} from "./application_settings.ts";
export { sharedKey } from "./shared_keys/load_shared_key.ts";
export type { SharedKey } from "./shared_keys/shared_key.ts";
export type { SharedKeyKms } from "./shared_keys/key_records.ts";
export type { SharedKeyVersion } from "./shared_keys/key_version.ts";
export type { SharedKeyOptions, SharedKeyPin, SharedKeySpec } from "./shared_keys/shared_key_options.ts";
export type { SharedKeyStore, StoreCall } from "./shared_keys/store.ts";
export { fileKeyStore } from "./shared_keys/file_store.ts";
export { s3KeyStore, type S3KeyStoreOptions, type S3Like } from "./shared_keys/s3_store.ts";
export { dynamoKeyStore, type DynamoKeyStoreOptions, type DynamoLike } from "./shared_keys/dynamo_store.ts";
export { startEnclave } from "./start.ts";
export { type EgressOptions, openEgress } from "./egress.ts";
export { type IngressOptions, openIngress } from "./ingress.ts";
export type { IngressDeclaration } from "./ingresses.ts";
export type { Bridge, BridgeCounters, BridgeOptions } from "../lib/transport/mod.ts";
