/**
 * Settings of the decrypt server.
 *
 * @module
 */
import type { Endpoint } from "../lib/core/endpoint.ts";
import { ANY_CID } from "../lib/transport/listen.ts";
import { BASE_SETTINGS, type BaseConfig, checkBaseTogether } from "../enclave/base_config.ts";
import { DEFAULT_CONTROL_PORT, SECRET_PORTS } from "../lib/transport/enclave_ports.ts";
import { tokenClaims } from "../enclave/callers/token_settings.ts";
import type { AttributeTypes } from "../lib/policy/attributes.ts";
import { controlEndpoint, listenEndpoint, oneOf } from "../enclave/setting_kinds.ts";
import { configSchema } from "../enclave/config_schema.ts";
import type { JsonObject } from "../enclave/json.ts";
import { ConfigError, type Environment, type Settings, SettingsReader } from "../enclave/settings.ts";

/** Settings of the server, after every check. */
export interface Config extends BaseConfig {
  /** Endpoint that HTTP listens on; undefined when it is off. */
  readonly http: Endpoint | undefined;
  /** Endpoint that the kmstool protocol listens on; undefined when it is off. */
  readonly kmstool: Endpoint | undefined;
  /** Endpoint of the control listener, which only the parent may reach; undefined when it is off. */
  readonly control: Endpoint | undefined;
  /** Endpoint on which the parent sends credentials as JSON, without HTTP; undefined when it is off. */
  readonly credentials: Endpoint | undefined;
  /** Callers that may set credentials: the parent alone, or those that the policy permits. */
  readonly credentialSetters: "parent" | "policy";
  /**
   * Channels over which the routes answer that have secrets in their answers: those that the parent cannot read, or any.
   */
  readonly answers: "sealed" | "any";
  /** Claims of tokens that the policy sees, with their types. */
  readonly claims: AttributeTypes;
}

/** Settings as they are read: null stands for a listener that is off. */
interface ReadConfig extends Omit<Config, "http" | "kmstool" | "control" | "credentials"> {
  readonly http: Endpoint | null;
  readonly control: Endpoint | null | undefined;
  readonly credentials: Endpoint | null | undefined;
  readonly kmstool: Endpoint | null;
}

const SETTINGS: Settings<ReadConfig> = {
  ...BASE_SETTINGS,
  http: listenEndpoint("vsock:8080"),
  kmstool: listenEndpoint("vsock:3000"),
  control: controlEndpoint(),
  credentials: controlEndpoint(),
  credentialSetters: oneOf(["parent", "policy"], "parent"),
  answers: oneOf(["sealed", "any"], "any"),
  claims: tokenClaims(),
};

/** Endpoint of the control listener on vsock. */
const CONTROL_ENDPOINT: Endpoint = { transport: "vsock", cid: ANY_CID, port: DEFAULT_CONTROL_PORT };

/** Endpoint for credentials on vsock. */
const CREDENTIALS_ENDPOINT: Endpoint = { transport: "vsock", cid: ANY_CID, port: SECRET_PORTS[0] };

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
  const { http, kmstool, control, credentials, ...rest } = READER.read(env, readFile);
  const isOnVsock = http?.transport === "vsock" || kmstool?.transport === "vsock";
  // Whoever switches control off leaves the parent no right to set credentials.
  const isControlled = isOnVsock && control !== null;
  const config = {
    ...rest,
    http: http ?? undefined,
    kmstool: kmstool ?? undefined,
    control: control === undefined && isControlled ? CONTROL_ENDPOINT : control ?? undefined,
    credentials: credentials === undefined && isControlled ? CREDENTIALS_ENDPOINT : credentials ?? undefined,
  };
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

/** Makes the JSON Schema of the configuration. */
export function serverConfigSchema(): JsonObject {
  return configSchema(READER);
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

function checkTogether(config: Config): string[] {
  const { region, http, kmstool, tls, answers, sealed } = config;
  const needsRegion = http !== undefined || tls !== null;
  return [
    ...(needsRegion && region === undefined ? ["region (ENCLAVE_KMS_REGION): must be set"] : []),
    ...(http === undefined && kmstool === undefined && tls === null
      ? ["http, tls, kmstool: one of them must listen"]
      : []),
    ...(answers === "sealed" && sealed === "off" && tls === null
      ? ["answers: must not be sealed while both sealed and tls are off"]
      : []),
    ...checkBaseTogether(config),
  ];
}
