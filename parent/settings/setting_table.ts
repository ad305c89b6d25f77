/**
 * Table of the parent's settings.
 *
 * @module
 */
import { REGION } from "../../lib/aws/region.ts";
import { MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import {
  DEFAULT_CONTROL_PORT,
  DEFAULT_ENCLAVE_CID,
  ENCLAVE_CIDS,
  SECRET_PORTS,
} from "../../lib/transport/enclave_ports.ts";
import {
  listOf,
  object,
  oneOf,
  onOrOff,
  path,
  ports,
  type SettingKind,
  text,
  wholeNumber,
  words,
} from "./setting_kinds.ts";

/** Secret that the parent reads from a place, and hands to the enclave. */
export interface SecretSetting {
  /** Name, for messages and metrics. */
  readonly name: string;
  /** Vsock port of the enclave that takes it. */
  readonly port: number;
  /** Place: `s3://bucket/key`, an absolute path or a `file:` URL. */
  readonly source: string;
  /** SHA-256 that it must have, 64 hex digits. */
  readonly sha256?: string | undefined;
  /** Version of the object. */
  readonly versionId?: string | undefined;
  /** Most bytes of it. */
  readonly maxBytes?: number | undefined;
}

/** Bridge into the enclave. */
export interface IngressSetting {
  /** TCP port of the parent. */
  readonly port: number;
  /** Address of the parent. */
  readonly host?: string | undefined;
  /** Vsock port of the enclave. */
  readonly enclavePort: number;
}

/** Bridge out of the enclave. */
export interface EgressSetting {
  /** Vsock port of the parent. */
  readonly port: number;
  /** Host to connect to. */
  readonly targetHost?: string | undefined;
  /** TCP port to connect to. */
  readonly targetPort: number;
}

/** Relay by the name in TLS. */
export interface TlsRelaySetting {
  /** Vsock port of the parent. */
  readonly port: number;
  /** Names that are allowed. */
  readonly allow: readonly string[];
}

const PORT = wholeNumber(1, 0xffff_fffe);
const TCP_PORT = wholeNumber(0, 65_535);
const HOST = text("a host name or an address", /^[^\s/\p{Cc}]{1,253}$/u);
const NAME = text("1 to 64 letters, digits and _.-", /^[A-Za-z0-9][\w.-]{0,63}$/);

/** One setting. */
export interface Setting<T> {
  /** Check of its value. */
  readonly kind: SettingKind<T>;
  /** Variable; the setting can be in the file only without one. */
  readonly variable?: string;
  /** Default. */
  readonly standard?: T;
}

/** Every setting: its kind, its variable, and its default. */
const SETTINGS = {
  envSetup: { kind: oneOf("NITRO", "SIM"), variable: "ENV_SETUP", standard: "NITRO" },
  region: { kind: text("a region", REGION), variable: "AWS_REGION" },
  eifPath: { kind: path(), variable: "EIF_PATH" },
  enclaveName: { kind: NAME, variable: "ENCLAVE_NAME", standard: "enclave-kms" },
  enclaveCid: {
    kind: wholeNumber(ENCLAVE_CIDS.min, ENCLAVE_CIDS.max),
    variable: "ENCLAVE_CID",
    standard: DEFAULT_ENCLAVE_CID,
  },
  cpuCount: { kind: wholeNumber(1, 1024), variable: "CPU_COUNT", standard: 2 },
  memoryMib: { kind: wholeNumber(1, 16_777_216), variable: "MEMORY_MIB" },
  debugMode: { kind: onOrOff(), variable: "ENCLAVE_DEBUG_MODE", standard: false },
  nitroCli: { kind: text(), variable: "NITRO_CLI", standard: "nitro-cli" },
  command: { kind: words() },
  simulationFolder: { kind: path(), variable: "ENCLAVE_KMS_SIMULATION_FOLDER" },
  stateFolder: { kind: path(), variable: "STATE_FOLDER" },
  readinessSeconds: { kind: wholeNumber(1, 86_400), variable: "READINESS_SLEEP_SECONDS", standard: 120 },
  controlPort: {
    kind: wholeNumber(0, 0xffff_fffe),
    variable: "CONTROL_PORT",
    standard: DEFAULT_CONTROL_PORT,
  },
  vsockPort: { kind: PORT, variable: "VSOCK_PORT", standard: 8080 },
  enclaveHost: { kind: HOST, variable: "ENCLAVE_HOST", standard: "127.0.0.1" },
  enclavePort: { kind: wholeNumber(1, 65_535), variable: "ENCLAVE_PORT", standard: 8081 },
  metricsPort: { kind: TCP_PORT, variable: "METRICS_PORT" },
  credentials: {
    kind: oneOf("imds", "chain", "none"),
    variable: "CREDENTIALS_SOURCE",
    standard: "imds",
  },
  credentialsRole: { kind: NAME, variable: "CREDENTIALS_ROLE" },
  credentialsPort: { kind: PORT, variable: "AWS_CREDS_VSOCK_PORT", standard: SECRET_PORTS[0] ?? 7100 },
  credentialsTo: { kind: oneOf("auto", "port", "control"), variable: "CREDENTIALS_TO", standard: "auto" },
  credentialsAheadSeconds: {
    kind: wholeNumber(1, Math.floor(MAX_TIMEOUT_MS / 1000)),
    variable: "CREDENTIALS_AHEAD_SECONDS",
    standard: 600,
  },
  imdsEndpoint: {
    kind: text("a URL of http", /^http:\/\/[^\s\p{Cc}]{1,500}$/u),
    variable: "AWS_EC2_METADATA_SERVICE_ENDPOINT",
  },
  secrets: {
    kind: listOf(object<SecretSetting>({
      name: [NAME, "must"],
      port: [PORT, "must"],
      source: [text(), "must"],
      sha256: [text("64 hex digits", /^[0-9a-fA-F]{64}$/), "may"],
      versionId: [text(), "may"],
      maxBytes: [wholeNumber(1, 1 << 30), "may"],
    })),
    standard: [],
  },
  ageKeySource: { kind: text(), variable: "AGE_KEY_S3_URI" },
  ageKeyPort: { kind: PORT, variable: "AGE_KEY_VSOCK_PORT", standard: SECRET_PORTS[1] ?? 7101 },
  keySharesSource: { kind: text(), variable: "KEY_SHARES_S3_URI" },
  keySharesPort: { kind: PORT, variable: "KEY_SHARES_VSOCK_PORT", standard: SECRET_PORTS[2] ?? 7102 },
  s3Endpoint: { kind: text("a URL", /^https?:\/\/[^\s\p{Cc}]{1,500}$/u), variable: "AWS_ENDPOINT_URL_S3" },
  s3TrustedCertificatesFile: { kind: path() },
  kmsProxyEnable: { kind: onOrOff(), variable: "KMS_PROXY_ENABLE", standard: true },
  kmsProxyPorts: { kind: ports(), variable: "KMS_PROXY_PORT", standard: [5000, 8000] },
  kmsProxyDestHost: { kind: HOST, variable: "KMS_PROXY_DEST_HOST" },
  kmsProxyDestPort: { kind: wholeNumber(1, 65_535), variable: "KMS_PROXY_DEST_PORT", standard: 443 },
  tlsRelay: { kind: object<TlsRelaySetting>({ port: [PORT, "must"], allow: [words(), "must"] }) },
  ingress: {
    kind: listOf(object<IngressSetting>({
      port: [TCP_PORT, "must"],
      host: [HOST, "may"],
      enclavePort: [PORT, "must"],
    })),
    standard: [],
  },
  egress: {
    kind: listOf(object<EgressSetting>({
      port: [PORT, "must"],
      targetHost: [HOST, "may"],
      targetPort: [wholeNumber(1, 65_535), "must"],
    })),
    standard: [],
  },
  telemetryEndpoint: {
    kind: text("a URL", /^https?:\/\/[^\s\p{Cc}]{1,500}$/u),
    variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
  },
  telemetryPort: { kind: PORT, standard: 4318 },
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

/** Name of a setting. */
export type SettingName = keyof typeof SETTINGS;

type ValueOf<Name extends SettingName> = typeof SETTINGS[Name]["kind"] extends SettingKind<infer T>
  ? typeof SETTINGS[Name] extends { readonly standard: unknown } ? T : T | undefined
  : never;

/** Settings of the parent, after every check of their own. */
export type ParentSettings = { readonly [Name in SettingName]: ValueOf<Name> };

/** Every setting by its name, in the order of `--print-config`. */
export const SETTING_TABLE: Readonly<Record<SettingName, Setting<unknown>>> = SETTINGS;
