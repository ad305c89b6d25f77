/**
 * Settings of an application that `startEnclave()` runs.
 *
 * @module
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Endpoint, parseEndpoint } from "../lib/core/endpoint.ts";
import { ANY_CID } from "../lib/transport/listen.ts";
import { BASE_SETTINGS, type BaseConfig, checkBaseTogether } from "./base_config.ts";
import { DEFAULT_CONTROL_PORT, DEFAULT_ENCLAVE_CID, SECRET_PORTS } from "../lib/transport/enclave_ports.ts";
import { absolutePath, ENDPOINT_PATTERNS, oneOf, onlySwitch, textOr, wholeNumber } from "./setting_kinds.ts";
import { ConfigError, type Environment, type Setting, type Settings, SettingsReader } from "./settings.ts";

/** Settings of an application in the enclave, after every check. */
export interface EnclaveConfig extends BaseConfig {
  /** Place of the process: inside a Nitro Enclave, or a simulation on a developer's machine. */
  readonly envSetup: "NITRO" | "SIM";
  /** Vsock port of HTTP, in an enclave. */
  readonly vsockPort: number;
  /** Host name or address of HTTP, in a simulation. */
  readonly enclaveHost: string;
  /** TCP port of HTTP, in a simulation; 0 takes a free one. */
  readonly enclavePort: number;
  /**
   * Vsock port of the control listener, which only the parent reaches; 0 for none. In a simulation it is a unix socket
   * with the number in its name.
   */
  readonly controlPort: number;
  /** Unix socket of the control listener, in a simulation. Default: one in the temporary folder, by `controlPort`. */
  readonly controlSocket: string | undefined;
  /** Vsock port on which the parent sends credentials; 0 for none. */
  readonly credentialsPort: number;
  /** Vsock port of the secret `age-key`, unless its declaration has another. */
  readonly ageKeyPort: number;
  /** Vsock port of the secret `key-shares`, unless its declaration has another. */
  readonly keySharesPort: number;
  /** Milliseconds from the start until a declared secret that has not come fails it. */
  readonly secretsWindowMs: number;
  /** Milliseconds for one connection that brings a secret, however slowly. */
  readonly secretTimeoutMs: number;
  /** Folder of the unix sockets that stand for vsock ports, in a simulation: `<cid>-<port>.sock`. */
  readonly simulationFolder: string | undefined;
  /** Whether the log has more lines; never a secret. */
  readonly debug: boolean;
  /** Unix socket of a simulated NSM, in a simulation. */
  readonly simulatedNsm: string | undefined;
}

/** Endpoints of an application. */
export interface EnclaveEndpoints {
  /** Endpoint of HTTP. */
  readonly http: Endpoint;
  /** Endpoint of the control listener; undefined when there is none. */
  readonly control: Endpoint | undefined;
}

const MAX_VSOCK_PORT = 0xffff_fffe;

function vsockPort(standard: number, firstVariable: string, min = 1): Setting<number> {
  return { ...wholeNumber({ min, max: MAX_VSOCK_PORT, default: standard }), firstVariable };
}

/** Settings of every application that `startEnclave()` runs. */
export const ENCLAVE_SETTINGS: Settings<EnclaveConfig> = {
  ...BASE_SETTINGS,
  envSetup: { ...oneOf(["NITRO", "SIM"], "NITRO"), firstVariable: "ENV_SETUP" },
  vsockPort: { ...wholeNumber({ min: 1, max: MAX_VSOCK_PORT, default: 8080 }), firstVariable: "VSOCK_PORT" },
  enclaveHost: {
    ...textOr("a host name or an address", (host) => endpointOn(host, 0) && host, "127.0.0.1", {
      pattern: ENDPOINT_PATTERNS.host,
    }),
    firstVariable: "ENCLAVE_HOST",
  },
  enclavePort: { ...wholeNumber({ min: 0, max: 65_535, default: 8081 }), firstVariable: "ENCLAVE_PORT" },
  controlPort: {
    ...wholeNumber({ min: 0, max: MAX_VSOCK_PORT, default: DEFAULT_CONTROL_PORT }),
    firstVariable: "CONTROL_PORT",
  },
  credentialsPort: vsockPort(SECRET_PORTS[0], "AWS_CREDS_VSOCK_PORT", 0),
  ageKeyPort: vsockPort(SECRET_PORTS[1], "AGE_KEY_VSOCK_PORT"),
  keySharesPort: vsockPort(SECRET_PORTS[2], "KEY_SHARES_VSOCK_PORT"),
  secretsWindowMs: wholeNumber({ min: 100, max: 3_600_000, default: 120_000 }),
  secretTimeoutMs: wholeNumber({ min: 100, max: 600_000, default: 10_000 }),
  simulationFolder: absolutePath(),
  debug: { ...onlySwitch(), firstVariable: "DEBUG" },
  controlSocket: absolutePath(),
  simulatedNsm: absolutePath(),
};

/** Reader of the settings of an application that has none of its own. */
export const ENCLAVE_READER: SettingsReader<EnclaveConfig> = enclaveReader({});

/**
 * Makes a reader of the settings of an application.
 *
 * @param own Settings of the application's own
 */
export function enclaveReader<Own extends object>(own: Settings<Own>): SettingsReader<EnclaveConfig & Own> {
  return new SettingsReader("ENCLAVE_KMS_", { ...ENCLAVE_SETTINGS, ...own } as Settings<EnclaveConfig & Own>);
}

/**
 * Reads the configuration of an application: a JSON file if `ENCLAVE_KMS_CONFIG` names one, over it `ENCLAVE_KMS_*`, and
 * over those `ENV_SETUP`, `VSOCK_PORT`, `ENCLAVE_HOST`, `ENCLAVE_PORT`, `CONTROL_PORT`, `AWS_CREDS_VSOCK_PORT`,
 * `AGE_KEY_VSOCK_PORT`, `KEY_SHARES_VSOCK_PORT` and `DEBUG`.
 *
 * @param env Environment of the process
 * @param options `needsTls`: whether the application ends TLS where the settings have no endpoint for it. Default: false.
 *   `reader`: reader of the settings. Default: that of an application without any of its own. `readFile`: reads a text
 *   file. Default: from the disk
 * @throws {ConfigError} With everything that is wrong
 */
export function readEnclaveConfig(
  env: Environment,
  options: {
    readonly needsTls?: boolean;
    readonly reader?: SettingsReader<EnclaveConfig>;
    readonly readFile?: (path: string) => string;
  } = {},
): EnclaveConfig {
  const config = readSettings(env, options.reader ?? ENCLAVE_READER, options.readFile);
  const problems = [
    ...checkBaseTogether(config, options.needsTls),
    ...(["simulatedNsm", "controlSocket", "simulationFolder"] as const)
      .filter((name) => config[name] !== undefined && config.envSetup !== "SIM")
      .map((name) => `${name}: must not be set unless envSetup (ENV_SETUP) is SIM`),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  return config.debug ? { ...config, logLevel: "debug" } : config;
}

/**
 * Reads settings, and lists misspelt variables beside what is wrong: one may be the reason of the other.
 *
 * @param env Environment of the process
 * @param reader Reader of the settings
 * @param readFile Reads a text file. Default: from the disk
 * @throws {ConfigError} With everything that is wrong
 */
export function readSettings<Config extends object>(
  env: Environment,
  reader: SettingsReader<Config>,
  readFile?: (path: string) => string,
): Config {
  try {
    return reader.read(env, readFile);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError([...error.problems, ...reader.unknownVariables(env)]);
  }
}

/**
 * Names the variable of a setting.
 *
 * @param name Name of a setting, such as `requestTimeoutMs`
 * @returns Its variable, such as `ENCLAVE_KMS_REQUEST_TIMEOUT_MS`
 */
export function enclaveVariableOf(name: string): string {
  return ENCLAVE_READER.variableOf(name);
}

/**
 * Looks for variables that look like settings and are none: a misspelt safeguard is no safeguard.
 *
 * @param env Environment of the process
 * @param reader Reader of the settings. Default: that of an application without any of its own
 * @returns One sentence for each, with the name that was most likely meant, and never a value
 */
export function unknownEnclaveVariables(
  env: Environment,
  reader: SettingsReader<EnclaveConfig> = ENCLAVE_READER,
): string[] {
  return reader.unknownVariables(env);
}

/**
 * Chooses the endpoints: vsock in an enclave, and TCP with a unix socket for control in a simulation.
 *
 * @param config The settings
 */
export function endpointsOf(
  { envSetup, vsockPort, enclaveHost, enclavePort, controlPort, controlSocket, simulationFolder }:
    EnclaveConfig,
): EnclaveEndpoints {
  if (envSetup === "NITRO") {
    const on = (port: number): Endpoint => ({ transport: "vsock", cid: ANY_CID, port });
    return { http: on(vsockPort), control: controlPort === 0 ? undefined : on(controlPort) };
  }
  const inFolder = simulationFolder && join(simulationFolder, `${DEFAULT_ENCLAVE_CID}-${controlPort}.sock`);
  const path = controlSocket ?? inFolder ?? join(tmpdir(), `enclave-kms-control-${controlPort}.sock`);
  return {
    http: { transport: "tcp", host: enclaveHost, port: enclavePort },
    control: controlPort === 0 ? undefined : { transport: "unix", path },
  };
}

function endpointOn(host: string, port: number): Endpoint | undefined {
  return parseEndpoint(`tcp:${host}:${port}`, 0);
}
