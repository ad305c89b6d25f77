/**
 * Settings of the decrypt server.
 *
 * @module
 */
import * as v from "valibot";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { parseEndpoint } from "../lib/core/endpoint.ts";
import type { AttributeValue } from "../lib/policy/facts.ts";
import { DEFAULT_FUEL, MAX_FUEL } from "../lib/policy/policy.ts";
import { checkHostName, checkRegion } from "../lib/aws/region.ts";
import type { LogLevel } from "../enclave/telemetry/log.ts";
import { CALLERS, isCallers } from "../enclave/callers_setting.ts";
import { absolutePath, listenEndpoint, oneOf, text, textOr, wholeNumber } from "../enclave/setting_kinds.ts";
import { ConfigError, type Environment, type Settings, SettingsReader } from "../enclave/settings.ts";

/** Settings of the server, after every check. */
export interface Config {
  /** Region of the keys; with it set, kmstool messages may not name another. */
  readonly region: string | undefined;
  /** Endpoint that HTTP listens on; undefined when it is off. */
  readonly http: Endpoint | undefined;
  /** Endpoint that the kmstool protocol listens on; undefined when it is off. */
  readonly kmstool: Endpoint | undefined;
  /** Endpoint of the proxy to KMS. */
  readonly kms: Endpoint;
  /** Host name of KMS, where it is not the region's own. */
  readonly hostName: string | undefined;
  /** Engine that speaks to KMS. */
  readonly engine: "auto" | "direct" | "sdk" | "sdk-client";
  /** Absolute path of the C SDK. */
  readonly library: string | undefined;
  /** PEM file with the authorities that may vouch for KMS. */
  readonly trustedCertificatesFile: string | undefined;
  /** A `.cedar` or `.wasm` file; without it everything is refused. */
  readonly policyFile: string | undefined;
  /** Units of fuel that the policy may use for a decision. */
  readonly policyFuel: number;
  /** Callers that may set credentials: the parent alone, or those that the policy permits. */
  readonly credentialSetters: "parent" | "policy";
  /** Attributes that the operator assigns to callers, by CID. */
  readonly callers: Readonly<Record<string, Readonly<Record<string, AttributeValue>>>>;
  /** The CID that callers over TCP and unix sockets are taken for. */
  readonly developmentCid: number;
  /** Requests that run at once. */
  readonly maxConcurrent: number;
  /** Requests that may wait for their turn. */
  readonly maxWaiting: number;
  /** Connections at once, for each protocol. */
  readonly maxConnections: number;
  /** Milliseconds for one request. */
  readonly requestTimeoutMs: number;
  /** Milliseconds without a request after which a connection ends. */
  readonly idleTimeoutMs: number;
  /** Milliseconds for what runs when the server is told to stop. */
  readonly shutdownGraceMs: number;
  /** Seconds over which a policy's `recentCount` counts. */
  readonly rateWindowSeconds: number;
  /** Least level of the log. */
  readonly logLevel: LogLevel;
}

/** Settings as they are read: null stands for a listener that is off. */
interface ReadConfig extends Omit<Config, "http" | "kmstool"> {
  readonly http: Endpoint | null;
  readonly kmstool: Endpoint | null;
}

const SETTINGS: Settings<ReadConfig> = {
  // Where ours are not set, kmstool's own variables count.
  region: { ...text("a region such as eu-central-1", checkRegion), otherVariable: "REGION" },
  http: listenEndpoint("vsock:8080"),
  kmstool: listenEndpoint("vsock:3000"),
  kms: textOr("vsock:<cid>:<port>, tcp:<host>:<port> or unix:<path>", parseEndpoint, "vsock:3:8000"),
  hostName: { ...text("a DNS name", checkHostName), otherVariable: "ENDPOINT" },
  engine: oneOf(["auto", "direct", "sdk", "sdk-client"], "auto"),
  library: absolutePath(),
  trustedCertificatesFile: absolutePath(),
  policyFile: absolutePath(),
  policyFuel: wholeNumber({ min: 1000, max: MAX_FUEL, default: DEFAULT_FUEL }),
  credentialSetters: oneOf(["parent", "policy"], "parent"),
  callers: { schema: v.optional(v.custom<Config["callers"]>(isCallers, CALLERS), {}), isFileOnly: true },
  developmentCid: wholeNumber({ min: 0, max: 0xffff_ffff, default: 1 }),
  maxConcurrent: wholeNumber({ min: 1, max: 10_000, default: 64 }),
  maxWaiting: wholeNumber({ min: 0, max: 100_000, default: 512 }),
  maxConnections: wholeNumber({ min: 1, max: 100_000, default: 1024 }),
  requestTimeoutMs: wholeNumber({ min: 100, max: 600_000, default: 10_000 }),
  idleTimeoutMs: wholeNumber({ min: 1000, max: 3_600_000, default: 60_000 }),
  shutdownGraceMs: wholeNumber({ min: 0, max: 600_000, default: 15_000 }),
  rateWindowSeconds: wholeNumber({ min: 1, max: 86_400, default: 60 }),
  logLevel: oneOf(["debug", "info", "warn", "error", "silent"], "info"),
};

const READER = new SettingsReader<ReadConfig>("ENCLAVE_KMS_", SETTINGS);

/** Variable that names the JSON file. */
export const CONFIG_FILE_VARIABLE: string = READER.fileVariable;

/**
 * Reads the configuration: a JSON file if one is named, and over it the environment.
 *
 * @param env Environment of the process
 * @param readFile Reads a text file
 * @throws {ConfigError} With everything that is wrong
 */
export function readConfig(env: Environment, readFile?: (path: string) => string): Config {
  const { http, kmstool, ...rest } = READER.read(env, readFile);
  const config = { ...rest, http: http ?? undefined, kmstool: kmstool ?? undefined };
  const problems = checkTogether(config);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/**
 * Names the variable of a setting.
 *
 * @param name Name of a setting, such as `requestTimeoutMs`
 * @returns Its variable, such as `ENCLAVE_KMS_REQUEST_TIMEOUT_MS`
 */
export function variableOf(name: string): string {
  return READER.variableOf(name);
}

/**
 * Looks for variables that look like settings and are none: a misspelt safeguard is no safeguard.
 *
 * @param env Environment of the process
 * @returns One sentence for each, with the name that was most likely meant, and never a value
 */
export function unknownVariables(env: Environment): string[] {
  return READER.unknownVariables(env);
}

function checkTogether({ region, http, kmstool, idleTimeoutMs, requestTimeoutMs }: Config): string[] {
  return [
    ...(http !== undefined && region === undefined ? ["region (ENCLAVE_KMS_REGION): must be set"] : []),
    ...(http === undefined && kmstool === undefined ? ["http, kmstool: one of them must listen"] : []),
    ...(idleTimeoutMs <= requestTimeoutMs ? ["idleTimeoutMs: must be longer than requestTimeoutMs"] : []),
  ];
}
