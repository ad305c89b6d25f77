import process from "node:process";
import { checkFields } from "../../lib/core/checks.ts";
import { didYouMean } from "../../lib/core/did_you_mean.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import type { ConnectorOptions, EnclaveConnector } from "./enclave_connector.ts";
import { CONNECTOR_FIELDS } from "./http_connector.ts";
import { NitroConnector } from "./nitro_connector.ts";
import { SimulationConnector } from "./simulation_connector.ts";

/** Environment and limits of {@link createConnector}; all have defaults. */
export interface CreateConnectorOptions extends ConnectorOptions {
  /** Environment that the settings are read from. Default: the process's. */
  readonly environment?: Environment | undefined;
  /** Called with one sentence for each variable that is almost one of ours. Default: a warning of the process. */
  readonly onWarning?: ((sentence: string) => void) | undefined;
}

/** Settings of a connector, as the environment has them. */
export interface ConnectorSettings {
  /** Place of the enclave: a Nitro Enclave, or a simulation on a developer's machine. */
  readonly envSetup: "NITRO" | "SIM";
  /** CID of the enclave. */
  readonly enclaveCid?: number | undefined;
  /** Vsock port of the application. */
  readonly vsockPort?: number | undefined;
  /** Host of the application, in a simulation. */
  readonly enclaveHost?: string | undefined;
  /** TCP port of the application, in a simulation. */
  readonly enclavePort?: number | undefined;
}

/**
 * Makes the connector that the environment asks for: `ENV_SETUP` is `NITRO` (the default) or `SIM`. The others are
 * `ENCLAVE_CID` (16) and `VSOCK_PORT` (8080), or `ENCLAVE_HOST` (127.0.0.1) and `ENCLAVE_PORT` (8081). An empty variable
 * counts as one that is not set.
 *
 * @param options Environment and limits
 * @returns The connector, which connects with the first request. Dispose it with `await using`, or close it
 * @throws {TypeError} When a variable or an option is malformed. The message names everything that is wrong
 * @throws {RangeError} When an option is out of range
 * @example
 * ```ts
 * import { createConnector } from "enclave-kms/parent";
 *
 * await using connector = createConnector({ environment: { ENV_SETUP: "NITRO", ENCLAVE_CID: "17" } });
 * connector.endpoint; // { transport: "vsock", cid: 17, port: 8080 }
 * ```
 */
export function createConnector(options: CreateConnectorOptions = {}): EnclaveConnector {
  const { environment = process.env, onWarning = emitWarning, ...limits } = checkFields(
    "connector options",
    options,
    ["environment", "onWarning", ...CONNECTOR_FIELDS],
  );
  const settings = readConnectorSettings(environment);
  for (const sentence of misspeltVariables(environment)) onWarning(sentence);
  const { envSetup, enclaveCid, vsockPort, enclaveHost, enclavePort } = settings;
  if (envSetup === "NITRO") return new NitroConnector({ ...limits, enclaveCid, vsockPort });
  return new SimulationConnector({ ...limits, host: enclaveHost, port: enclavePort });
}

const SETUPS = ["NITRO", "SIM"] as const;

const NAMES = ["ENV_SETUP", "ENCLAVE_CID", "VSOCK_PORT", "ENCLAVE_HOST", "ENCLAVE_PORT"] as const;

/**
 * Reads the settings of a connector.
 *
 * @param env Environment
 * @throws {TypeError} When a variable is malformed. The message names everything that is wrong, and no value
 */
export function readConnectorSettings(env: Environment): ConnectorSettings {
  const problems: string[] = [];
  const setting = <T>(
    name: typeof NAMES[number],
    expected: string,
    read: (text: string) => T | undefined,
  ) => {
    const given = env[name] || undefined;
    const value = given === undefined ? undefined : read(given);
    if (given !== undefined && value === undefined) problems.push(`${name}: expected ${expected}`);
    return value;
  };
  const whole = (name: typeof NAMES[number], min: number, max: number) =>
    setting(name, `a whole number from ${min} to ${max}`, (text) => {
      const number = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
      return number >= min && number <= max ? number : undefined;
    });
  const settings = {
    envSetup: setting("ENV_SETUP", expectedSetup(env), (text) => SETUPS.find((word) => word === text)) ??
      "NITRO",
    enclaveCid: whole("ENCLAVE_CID", 4, 0xffff_fffe),
    vsockPort: whole("VSOCK_PORT", 1, 0xffff_fffe),
    enclaveHost: setting(
      "ENCLAVE_HOST",
      "a host name or an address",
      (text) =>
        /^(?:[^\s:[\]]{1,253}|\[?[0-9a-f:]{2,45}\]?)$/i.test(text) ? text.replace(/^\[|\]$/g, "") : undefined,
    ),
    enclavePort: whole("ENCLAVE_PORT", 1, 65_535),
  } as const;
  if (problems.length === 0) return settings;
  // One may be the reason of the other.
  const all = [...problems, ...misspeltVariables(env)];
  throw new TypeError(`The connector's environment has ${all.length} problem(s):\n  ${all.join("\n  ")}`);
}

function expectedSetup(env: Environment): string {
  const meant = didYouMean(env["ENV_SETUP"] ?? "", SETUPS);
  return `NITRO or SIM${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}

/** Looks for variables whose names are almost those of settings that are not set. */
function misspeltVariables(env: Environment): string[] {
  const unset = NAMES.filter((name) => !env[name]);
  return Object.keys(env).flatMap((name) => {
    const isOurs = (NAMES as readonly string[]).includes(name) || !/^\w{1,64}$/.test(name);
    const meant = isOurs ? undefined : didYouMean(name, unset);
    return meant === undefined ? [] : [`${name} is no setting; did you mean ${meant}?`];
  });
}

function emitWarning(sentence: string): void {
  process.emitWarning(sentence, { code: "ENCLAVE_KMS_SETTING" });
}
