/**
 * Settings of an application's own, beside those of every application.
 *
 * @module
 */
import process from "node:process";
import * as v from "valibot";
import { checkFields, checkInteger, checkRecord, checkText } from "../lib/core/checks.ts";
import { configSchema, printSchemaIfAsked } from "./config_schema.ts";
import { ENCLAVE_READER, type EnclaveConfig, enclaveReader, readSettings } from "./enclave_config.ts";
import type { JsonObject } from "./json.ts";
import { wholeNumberCheck } from "./setting_kinds.ts";
import type { Environment, Setting, Settings, SettingsReader } from "./settings.ts";

/** Part of every declaration of a setting. */
export interface CommonSetting {
  /** Variable that sets it: capital letters, digits and `_`. Default: the name, such as `S3_BUCKET` for `s3Bucket`. */
  readonly variable?: string | undefined;
  /** Meaning of the setting in one line, for its JSON Schema. Default: none. */
  readonly description?: string | undefined;
  /** Whether it may be left out without having a default. Default: false, and one without a default must be set. */
  readonly optional?: boolean | undefined;
}

/** Declaration of a text. */
export interface TextSetting extends CommonSetting {
  /** Type of the value. */
  readonly type: "string";
  /** Regular expression with the flag `u` that the text must match. Default: none. */
  readonly pattern?: string | undefined;
  /** Words to choose from. Default: every text. */
  readonly enum?: readonly string[] | undefined;
  /** Text where none is set. Default: none. */
  readonly default?: string | undefined;
}

/** Declaration of a whole number. */
export interface IntegerSetting extends CommonSetting {
  /** Type of the value. */
  readonly type: "integer";
  /** Least value. */
  readonly minimum: number;
  /** Greatest value. */
  readonly maximum: number;
  /** Number where none is set. Default: none. */
  readonly default?: number | undefined;
}

/** Declaration of a switch: `true` and `false`, in a variable also `1` and `0`. */
export interface BooleanSetting extends CommonSetting {
  /** Type of the value. */
  readonly type: "boolean";
  /** State where none is set. Default: none. */
  readonly default?: boolean | undefined;
}

/** Declaration of one setting, in the words of JSON Schema. */
export type SettingDeclaration = TextSetting | IntegerSetting | BooleanSetting;

/** Declarations by the names of the settings, at most 64. */
export type SettingDeclarations = Readonly<Record<string, SettingDeclaration>>;

/** Value of one setting, by its declaration. */
export type SettingValue<D> =
  | (D extends { readonly enum: readonly (infer Word)[] } ? Word
    : D extends { readonly type: "integer" } ? number
    : D extends { readonly type: "boolean" } ? boolean
    : string)
  | (D extends { readonly optional: true } ? undefined : never);

/** Values of settings by their names. */
export type SettingValues<D extends SettingDeclarations> = {
  readonly [Name in keyof D]: SettingValue<D[Name]>;
};

/** Settings of an application's own, as {@link declareSettings} makes them. */
export class ApplicationSettings<out Values extends object> {
  readonly #names: readonly string[];
  readonly #reader: SettingsReader<EnclaveConfig & Values>;

  /** @internal */
  constructor(settings: Settings<Values>) {
    this.#names = Object.keys(settings);
    this.#reader = enclaveReader(settings);
  }

  /** @internal */
  get reader(): SettingsReader<EnclaveConfig> {
    return this.#reader;
  }

  /**
   * Reads the settings, before the start or after it: from their variables, below them from `ENCLAVE_KMS_<NAME>`, and below
   * those from the JSON file that `ENCLAVE_KMS_CONFIG` names.
   *
   * In a program that was started with `--print-config-schema` it writes the JSON Schema of all settings to standard output
   * and ends the process, as `startEnclave()` does, unless an environment is given.
   *
   * @param environment Environment to read from. Default: the process's
   * @returns The values by name
   * @throws {ConfigError} With everything that is wrong, also with the settings that every application has
   */
  read(environment?: Environment): Values {
    if (environment === undefined) printSchemaIfAsked(() => configSchema(this.#reader));
    const config = readSettings(environment ?? process.env, this.#reader);
    const own = this.#names.map((name) => [name, config[name as keyof typeof config]]);
    return Object.fromEntries(own) as Values;
  }
}

/**
 * Declares settings of an application's own. Hand the result to `startEnclave()`, so that it knows their names, and
 * {@link ApplicationSettings.read} the values. On hardware they come from the image, and are part of what is measured: none
 * of them may be a secret.
 *
 * @param declarations Declarations by name; a name has letters and digits, a small letter first
 * @returns The settings
 * @throws {TypeError} When a declaration has an unknown or a wrong part, or a name or a variable is taken
 * @throws {RangeError} When there are more than 64, or a number is out of range
 * @example
 * ```ts
 * import { declareSettings } from "enclave-kms/enclave";
 *
 * const settings = declareSettings({
 *   s3Bucket: { type: "string", pattern: "^[a-z0-9.-]{3,63}$", description: "Bucket of the schemas" },
 *   refreshSeconds: { type: "integer", minimum: 1, maximum: 86400, default: 300 },
 * });
 * const { s3Bucket, refreshSeconds } = settings.read({ S3_BUCKET: "schemas" }); // in an enclave: nothing
 * s3Bucket; // "schemas"
 * refreshSeconds; // 300
 * // … startEnclave(app, { name: "schemas", settings })
 * ```
 */
export function declareSettings<const D extends SettingDeclarations>(
  declarations: D,
): ApplicationSettings<SettingValues<D>> {
  const entries = checkRecord("settings", declarations);
  if (entries.length > MAX_SETTINGS) {
    throw new RangeError(`settings must have at most ${MAX_SETTINGS} entries`);
  }
  const taken = new Set([
    ENCLAVE_READER.fileVariable,
    ...[...ENCLAVE_READER.settings.keys()].flatMap((name) => ENCLAVE_READER.variablesOf(name)),
  ]);
  const settings = entries.map(([name, declaration]) => {
    const setting = checkDeclaration(name, declaration as SettingDeclaration);
    if (taken.has(setting.firstVariable)) {
      throw new TypeError(`settings.${name} has a variable that is taken`);
    }
    taken.add(setting.firstVariable);
    return [name, setting] as const;
  });
  return new ApplicationSettings(Object.fromEntries(settings) as unknown as Settings<SettingValues<D>>);
}

const MAX_SETTINGS = 64;

const COMMON_FIELDS = ["type", "default", "variable", "description", "optional"];

const FIELDS: Readonly<Record<SettingDeclaration["type"], readonly string[]>> = {
  string: [...COMMON_FIELDS, "pattern", "enum"],
  integer: [...COMMON_FIELDS, "minimum", "maximum"],
  boolean: COMMON_FIELDS,
};

function checkDeclaration(
  name: string,
  declaration: SettingDeclaration,
): Setting<unknown> & { readonly firstVariable: string } {
  const field = `settings.${name}`;
  if (!/^[a-z][A-Za-z0-9]{0,63}$/.test(name)) {
    throw new TypeError("settings must have names of letters and digits, a small letter first");
  }
  if (ENCLAVE_READER.settings.has(name)) throw new TypeError(`${field} is a setting of every application`);
  const type = declaration?.type;
  if (!Object.hasOwn(FIELDS, type)) throw new TypeError(`${field}.type must be string, integer or boolean`);
  const given = checkFields(field, declaration, FIELDS[type]);
  const { description, default: standard, optional = false } = given;
  const { json, check } = checkValue(field, given);
  if (standard !== undefined && !v.is(check, standard)) throw new TypeError(`${field}.default does not fit`);
  if (typeof optional !== "boolean") throw new TypeError(`${field}.optional must be a boolean`);
  return {
    schema: v.optional(check, standard),
    jsonSchema: {
      ...json,
      ...(standard === undefined ? {} : { default: standard }),
      ...(description === undefined
        ? {}
        : { description: checkText(`${field}.description`, description, 512) }),
    },
    isRequired: standard === undefined && !optional,
    isNumber: type === "integer",
    isBoolean: type === "boolean",
    firstVariable: checkVariable(field, given.variable ?? variableOf(name)),
  };
}

function checkValue(
  field: string,
  given: SettingDeclaration,
): { json: JsonObject; check: v.GenericSchema<unknown> } {
  if (given.type === "boolean") return { json: { type: "boolean" }, check: v.boolean() };
  if (given.type === "string") return checkTextSetting(field, given);
  const { MIN_SAFE_INTEGER: least, MAX_SAFE_INTEGER: most } = Number;
  const minimum = checkInteger(`${field}.minimum`, given.minimum, { min: least, max: most });
  const maximum = checkInteger(`${field}.maximum`, given.maximum, { min: minimum, max: most });
  return { json: { type: "integer", minimum, maximum }, check: wholeNumberCheck(minimum, maximum) };
}

function checkTextSetting(
  field: string,
  { pattern, enum: words }: TextSetting,
): { json: JsonObject; check: v.GenericSchema<unknown> } {
  if (words !== undefined) {
    if (pattern !== undefined) throw new TypeError(`${field} must not have both pattern and enum`);
    if (!Array.isArray(words) || words.length === 0) {
      throw new TypeError(`${field}.enum must be a list of words`);
    }
    const checked = words.map((word, index) => checkText(`${field}.enum[${index}]`, word, 256));
    return { json: { type: "string", enum: checked }, check: v.picklist(checked) };
  }
  if (pattern === undefined) return { json: { type: "string" }, check: v.string() };
  const expression = compilePattern(field, checkText(`${field}.pattern`, pattern, 1024));
  const matches = (value: unknown) => typeof value === "string" && expression.test(value);
  return {
    json: { type: "string", pattern },
    check: v.custom<string>(matches, `a text that matches ${pattern}`),
  };
}

function compilePattern(field: string, pattern: string): RegExp {
  try {
    return new RegExp(pattern, "u");
  } catch {
    throw new TypeError(`${field}.pattern must be a regular expression`);
  }
}

function checkVariable(field: string, variable: unknown): string {
  if (typeof variable === "string" && /^(?!ENCLAVE_KMS_)[A-Z][A-Z0-9_]{0,127}$/.test(variable)) {
    return variable;
  }
  throw new TypeError(
    `${field}.variable must have capital letters, digits and _, and not begin with ENCLAVE_KMS_`,
  );
}

function variableOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
