import { didYouMean } from "../../lib/core/did_you_mean.ts";
import { placeOfJsonError } from "../../lib/core/json_place.ts";
import { parseStrictJson } from "../strict_json.ts";
import { findSecretValues } from "./find_secret_values.ts";
import { checkSchema, type JsonSchema, validate } from "./json_schema.ts";

/** Configuration that is to become part of an image. */
export interface ConfigurationParts {
  /** JSON Schema of the application's configuration, as `--print-config-schema` wrote it. */
  readonly schema: string;
  /** Configuration file and its path in the enclave, with a leading slash; undefined when there is none. */
  readonly file: { readonly path: string; readonly text: string } | undefined;
  /** Environment of the application. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Texts of variables that are values of another type in a file, as the application reads them. */
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, 1: true, false: false, 0: false };

/**
 * Checks a configuration as the application will: its file and, over it, its environment.
 *
 * @param parts Schema, file and environment
 * @returns One sentence for each problem. They name the setting or the variable, and never a value
 * @throws {TypeError} When the schema is none, or has a keyword that is not known here
 */
export function checkConfiguration({ schema: text, file, environment }: ConfigurationParts): string[] {
  const schema = readSchema(text);
  const properties = propertiesOf(schema);
  const names = Object.keys(properties);
  const settings = parseFile(file?.text ?? "{}");
  if (typeof settings === "string") return [`${file?.path} ${settings}`];
  const values = new Map(
    Object.entries(settings).map(([name, value]) => [name, { value, place: "in the file" }]),
  );
  for (const [name, property] of Object.entries(properties)) {
    const variable = variablesOf(property).find((one) => environment[one]);
    if (variable === undefined) continue;
    values.set(name, { value: valueOf(property, environment[variable] ?? ""), place: variable });
  }
  const unknown = [...values.keys()].filter((name) => !names.includes(name));
  const known = [...values].filter(([name]) => names.includes(name)).map((
    [name, { value }],
  ) => [name, value]);
  return [
    ...checkFileVariable(schema, file?.path, environment),
    ...unknown.map((name) => `${quoted(name)} (in the file): is no setting${suggestion(name, names)}`),
    ...validate(schema, Object.fromEntries(known)).map(({ path, expected }) => {
      const name = /^\w*/.exec(path)?.[0] ?? "";
      const place = values.get(name)?.place ?? variablesOf(properties[name] ?? {})[0] ?? "in the file";
      return `${path} (${place}): expected ${expected}`;
    }),
    ...unknownVariables(schema, environment),
    ...findSecretValues(settings).map(({ path, kind }) => `${path} (in the file): looks like ${kind}`),
  ];
}

function readSchema(text: string): JsonSchema {
  const schema = checkSchema(parseStrictJson(text, (why) => new TypeError(why)));
  if (schema["type"] !== "object" || schema["properties"] === undefined) {
    throw new TypeError("it is not the schema of a configuration: expected type object, and properties");
  }
  return schema;
}

function propertiesOf(schema: JsonSchema): Readonly<Record<string, JsonSchema>> {
  return schema["properties"] as Readonly<Record<string, JsonSchema>>;
}

function variablesOf(property: JsonSchema): string[] {
  const { "x-env": first, "x-env-others": others } = property;
  return [first, Array.isArray(others) ? others : []].flat().filter((one) => typeof one === "string");
}

/** Reads the value out of a variable, as the application does. */
function valueOf({ type }: JsonSchema, text: string): unknown {
  if (type === "integer" || type === "number") return Number(text);
  return type === "boolean" && Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : text;
}

function parseFile(text: string): Readonly<Record<string, unknown>> | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const { line, column } = placeOfJsonError(text) ?? { line: 1, column: 1 };
    return `is not JSON (line ${line}, column ${column})`;
  }
  try {
    parseStrictJson(text);
  } catch (error) {
    return `cannot be taken: ${(error as Error).message}`;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "must hold a JSON object";
  return value as Readonly<Record<string, unknown>>;
}

/** A file that no variable names is not read, and with it no safeguard in it. */
function checkFileVariable(
  { "x-env": variable }: JsonSchema,
  path: string | undefined,
  environment: Readonly<Record<string, string>>,
): string[] {
  if (typeof variable !== "string") return [];
  const named = environment[variable] || undefined;
  if (named === path) return [];
  return [
    path === undefined
      ? `${variable}: names a file, and configuration.path of the manifest does not`
      : `${variable}: must be ${path}, or the file is not read`,
  ];
}

/** Finds variables that look like settings and are none. */
function unknownVariables(schema: JsonSchema, environment: Readonly<Record<string, string>>): string[] {
  const { "x-env-prefix": prefix, "x-env": fileVariable } = schema;
  const properties = Object.entries(propertiesOf(schema));
  const known = [
    ...(typeof fileVariable === "string" ? [fileVariable] : []),
    ...properties.flatMap(([, property]) => variablesOf(property)),
  ];
  const hasPrefix = (name: string) => typeof prefix === "string" && name.toUpperCase().startsWith(prefix);
  const ownPart = (name: string) => hasPrefix(name) ? name.slice(String(prefix).length) : name;
  return Object.keys(environment).filter((name) => !known.includes(name)).flatMap((name) => {
    if (!hasPrefix(name)) {
      const meant = didYouMean(
        name,
        known.filter((one) => !hasPrefix(one) && environment[one] === undefined),
      );
      return meant === undefined ? [] : [`${quoted(name)} is no setting; did you mean ${meant}?`];
    }
    const fileOnly = properties.find(([setting]) => `${prefix}${snake(setting)}` === name);
    if (fileOnly !== undefined) return [`${name} is not read: ${fileOnly[0]} can be set in the file only`];
    const meant = didYouMean(ownPart(name), known.filter(hasPrefix).map(ownPart));
    return [`${quoted(name)} is no setting${meant === undefined ? "" : `; did you mean ${prefix}${meant}?`}`];
  });
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

function suggestion(name: string, known: readonly string[]): string {
  const meant = didYouMean(name, known);
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}

function quoted(name: string): string {
  return /^\w{1,64}$/.test(name) ? name : "a name of other characters than letters, digits and _";
}
