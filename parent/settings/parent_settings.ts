/**
 * Settings of the program `enclave-kms parent`: one JSON file, and variables over it.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { didYouMean } from "../../lib/core/did_you_mean.ts";
import { placeOfJsonError } from "../../lib/core/json_place.ts";
import type { Environment } from "../kms_proxy_settings.ts";
import { type ParentSettings, type SecretSetting, SETTING_TABLE, type SettingName } from "./setting_table.ts";

/** Variable that names the file. */
export const PARENT_CONFIG_VARIABLE = "ENCLAVE_KMS_PARENT_CONFIG";

/**
 * Reads the settings of the parent: a JSON file if there is one, and variables over it. An empty variable counts as one
 * that is not set.
 *
 * @param env Environment
 * @param file Path of the file. Default: that in `ENCLAVE_KMS_PARENT_CONFIG`, or none
 * @throws {TypeError} With everything that is wrong. It names settings and variables, and no values
 * @example
 * ```ts
 * import { readParentSettings } from "enclave-kms/parent";
 *
 * const settings = readParentSettings({ EIF_PATH: "/srv/app.eif", AWS_REGION: "eu-central-1", CPU_COUNT: "4" });
 * settings.cpuCount; // 4
 * settings.enclaveCid; // 16
 * ```
 */
export function readParentSettings(env: Environment, file?: string): ParentSettings {
  const place = file ?? (env[PARENT_CONFIG_VARIABLE] || undefined);
  const given = place === undefined ? {} : readFile(place);
  const problems = Object.keys(given).filter((name) => !Object.hasOwn(SETTING_TABLE, name)).map(
    unknownSetting,
  );
  const settings: Partial<Record<SettingName, unknown>> = {};
  for (const [name, setting] of Object.entries(SETTING_TABLE)) {
    const { kind, variable, standard } = setting;
    const text = variable === undefined ? undefined : env[variable] || undefined;
    const isGiven = text !== undefined || Object.hasOwn(given, name);
    const value = isGiven ? kind.read(text ?? given[name], text !== undefined) : standard;
    if (isGiven && value === undefined) {
      problems.push(`${text === undefined ? name : variable}: expected ${kind.expected}`);
    }
    settings[name as SettingName] = value;
  }
  const read = settings as ParentSettings;
  if (problems.length === 0) problems.push(...checkTogether(read));
  if (problems.length === 0) return read;
  throw new TypeError(
    `The parent's configuration has ${problems.length} problem(s):\n${
      problems.map((p) => `  ${p}`).join("\n")
    }`,
  );
}

/**
 * Names the variable of each setting that has one, for help texts and documents.
 *
 * @returns Pairs of setting and variable
 */
export function parentVariables(): readonly (readonly [setting: string, variable: string])[] {
  return Object.entries(SETTING_TABLE).flatMap(([name, { variable }]) =>
    variable === undefined ? [] : [[name, variable] as const]
  );
}

function readFile(place: string): Readonly<Record<string, unknown>> {
  let content: string;
  try {
    content = readFileSync(place, "utf8");
  } catch {
    throw new TypeError(`The parent's configuration ${place} cannot be read`);
  }
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch {
    const { line = 1, column = 1 } = placeOfJsonError(content) ?? {};
    throw new TypeError(`The parent's configuration ${place} is not JSON at ${line}:${column}`);
  }
  throw new TypeError(`The parent's configuration ${place} must be a JSON object`);
}

function unknownSetting(name: string): string {
  const meant = didYouMean(name, Object.keys(SETTING_TABLE));
  const shown = /^\w{1,40}$/.test(name) ? name : "a setting";
  return `${shown}: is no setting${meant === undefined ? "" : `; is ${meant} meant?`}`;
}

/** Lists what is missing, or contradicts itself. */
function checkTogether(settings: ParentSettings): string[] {
  const { envSetup, region, secrets, ageKeySource, keySharesSource } = settings;
  const needs = (name: SettingName, when: string) =>
    settings[name] === undefined ? [`${name} (${variableOf(name)}): must be set ${when}`] : [];
  const sources = [...secrets.map(({ source }) => source), ageKeySource, keySharesSource];
  const needsRegion = settings.kmsProxyEnable && settings.kmsProxyDestHost === undefined ||
    sources.some((source) => source?.startsWith("s3:"));
  const names = allSecrets(settings).map(({ name }) => name);
  const taken = [...secretPortsOf(settings), settings.controlPort];
  const bridged = settings.ingress.filter(({ enclavePort }) => taken.includes(enclavePort));
  return [
    ...envSetup === "NITRO" ? needs("eifPath", "unless envSetup (ENV_SETUP) is SIM") : [
      ...needs("command", "when envSetup (ENV_SETUP) is SIM"),
      ...needs("simulationFolder", "when envSetup (ENV_SETUP) is SIM"),
    ],
    ...envSetup === "NITRO" && settings.simulationFolder !== undefined
      ? ["simulationFolder: must not be set unless envSetup (ENV_SETUP) is SIM"]
      : [],
    ...needsRegion && region === undefined ? needs("region", "for KMS's host name, or for S3") : [],
    ...new Set(names).size < names.length ? ["secrets: must not have a name twice"] : [],
    ...new Set(taken).size < taken.length
      ? ["secrets: must not have a port twice, nor one of another use"]
      : [],
    ...bridged.map(({ enclavePort }) =>
      `ingress: must not lead to ${enclavePort}, where the enclave takes whoever comes for the parent`
    ),
  ];
}

/**
 * Lists the vsock ports on which the enclave takes secrets and credentials.
 *
 * @param settings The settings
 */
export function secretPortsOf(settings: ParentSettings): readonly number[] {
  return [...allSecrets(settings).map(({ port }) => port), settings.credentialsPort];
}

/**
 * Lists the secrets of the settings: those of the default recipe first.
 *
 * @param settings The settings
 */
export function allSecrets(settings: ParentSettings): readonly SecretSetting[] {
  const { ageKeySource, ageKeyPort, keySharesSource, keySharesPort, secrets } = settings;
  return [
    ...ageKeySource === undefined ? [] : [{ name: "age-key", port: ageKeyPort, source: ageKeySource }],
    ...keySharesSource === undefined
      ? []
      : [{ name: "key-shares", port: keySharesPort, source: keySharesSource }],
    ...secrets,
  ];
}

function variableOf(name: SettingName): string {
  return SETTING_TABLE[name].variable ?? "in the file";
}
