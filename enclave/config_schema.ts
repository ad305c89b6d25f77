/**
 * JSON Schema of an application's configuration, and the flag that writes it.
 *
 * @module
 */
import { writeSync } from "node:fs";
import process from "node:process";
import type { JsonObject } from "./json.ts";
import type { Setting, SettingsReader } from "./settings.ts";

/** Flag of a program that writes its configuration's schema and ends. */
export const SCHEMA_FLAG = "--print-config-schema";

/**
 * Makes the JSON Schema (2020-12) of a configuration: of the values that result from the JSON file and the environment.
 * Everything that the reader takes fits the schema. What it refuses may fit as well, where JSON Schema cannot tell.
 *
 * `x-env` of a setting is the variable that counts first, `x-env-others` has those that count after it; a setting without
 * `x-env` can be set in the file only. On the whole `x-env` is the variable that names the file, and `x-env-prefix` the
 * prefix of variables each of which must be a setting.
 *
 * @param reader Reader of the settings
 * @returns The schema
 */
export function configSchema<Config extends object>(reader: SettingsReader<Config>): JsonObject {
  const settings = [...reader.settings];
  const properties = settings.map(([name, setting]) =>
    [name, propertyOf(setting, reader.variablesOf(name))] as const
  );
  const required = settings.filter(([, { isRequired }]) => isRequired === true).map(([name]) => name);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: Object.fromEntries(properties),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
    "x-env": reader.fileVariable,
    "x-env-prefix": reader.prefix,
  };
}

function propertyOf({ jsonSchema }: Setting<unknown>, [first, ...others]: readonly string[]): JsonObject {
  return {
    ...jsonSchema,
    ...(first === undefined ? {} : { "x-env": first }),
    ...(others.length > 0 ? { "x-env-others": others } : {}),
  };
}

/**
 * Writes a schema to standard output and ends the process with 0, if the program was started with
 * {@link SCHEMA_FLAG}. Ends it with 1 when the output is closed or full.
 *
 * @param makeSchema Makes the schema
 */
export function printSchemaIfAsked(makeSchema: () => JsonObject): void {
  if (!process.argv.slice(2).includes(SCHEMA_FLAG)) return;
  process.exit(writeWhole(`${JSON.stringify(makeSchema(), undefined, 2)}\n`) ? 0 : 1);
}

/** Waits for a reader who is slow, and gives up where there is none. */
function writeWhole(text: string): boolean {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") return false;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
  return true;
}
