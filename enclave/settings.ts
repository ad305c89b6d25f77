/**
 * Settings of an application: a JSON file, and environment variables over it, read into checked values. An application
 * describes each setting once, with the kinds of `setting_kinds.ts`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { didYouMean } from "../lib/core/did_you_mean.ts";
import { placeOfJsonError } from "../lib/core/json_place.ts";
import type { JsonObject } from "./json.ts";
import { describeIssue } from "./parse.ts";

/** Environment of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One setting. */
export interface Setting<T> {
  /** Check of the value, with its default. */
  readonly schema: v.GenericSchema<unknown, T>;
  /** The same check as JSON Schema, as far as that can say it: it accepts whatever `schema` accepts. */
  readonly jsonSchema: JsonObject;
  /** Whether it must be set. */
  readonly isRequired?: boolean | undefined;
  /** Whether its variable holds a number. */
  readonly isNumber?: boolean | undefined;
  /** Whether its variable holds `true` or `1`, `false` or `0`. */
  readonly isBoolean?: boolean | undefined;
  /** Whether it can be set in the file only. */
  readonly isFileOnly?: boolean | undefined;
  /** Variable that counts before the setting's own. */
  readonly firstVariable?: string | undefined;
  /** Variable of another program that counts when the setting's own is not there. */
  readonly otherVariable?: string | undefined;
}

/** Settings by name. */
export type Settings<Config> = { readonly [Name in keyof Config]-?: Setting<Config[Name]> };

/** Everything that is wrong with the configuration, at once. */
export class ConfigError extends Error {
  /** One sentence each; they name the setting and what was expected, never the value. */
  readonly problems: readonly string[];

  /**
   * Makes the error.
   *
   * @param problems One sentence each
   */
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  ${p}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** Reads the settings of one application. */
export class SettingsReader<Config extends object> {
  readonly #prefix: string;
  readonly #settings: ReadonlyMap<string, Setting<unknown>>;

  /**
   * @param prefix Prefix of the variables, such as `ENCLAVE_KMS_`; that with `CONFIG` names the JSON file
   * @param settings Settings by name
   */
  constructor(prefix: string, settings: Settings<Config>) {
    this.#prefix = prefix;
    this.#settings = new Map(Object.entries<Setting<unknown>>(settings));
  }

  /** Prefix of the variables. */
  get prefix(): string {
    return this.#prefix;
  }

  /** Settings by name. */
  get settings(): ReadonlyMap<string, Setting<unknown>> {
    return this.#settings;
  }

  /** Variable that names the JSON file. */
  get fileVariable(): string {
    return `${this.#prefix}CONFIG`;
  }

  /**
   * Reads the configuration: a JSON file if one is named, and over it the environment.
   *
   * @param env Environment of the process
   * @param readFile Reads a text file
   * @throws {ConfigError} With everything that is wrong
   */
  read(env: Environment, readFile: (path: string) => string = (path) => readFileSync(path, "utf8")): Config {
    const path = env[this.fileVariable];
    const file = path === undefined || path === "" ? {} : this.#readFile(path, readFile);
    const unknown = Object.keys(file).filter((name) => !this.#settings.has(name));
    const known = Object.entries(file).filter(([name]) => this.#settings.has(name));
    const schemas = [...this.#settings].map(([name, { schema }]) => [name, schema] as const);
    const input = { ...Object.fromEntries(known), ...this.#readEnvironment(env) };
    const result = v.safeParse(v.object(Object.fromEntries(schemas)), input);
    const missing = [...this.#settings].filter(([name, { isRequired }]) => isRequired && !(name in input))
      .map(([name]) => name);
    const wrong = [
      ...unknown.map((name) => this.#describeUnknown(name)),
      ...missing.map((name) => `${name} (${this.variablesOf(name)[0] ?? "in the file"}): must be set`),
      ...(result.issues ?? []).filter((issue) => !missing.includes(nameOf(issue)))
        .map((issue) => this.#describe(issue, env)),
    ];
    if (!result.success || wrong.length > 0) throw new ConfigError(wrong);
    return result.output as Config;
  }

  /**
   * Names the variable of a setting.
   *
   * @param name Name of a setting, such as `requestTimeoutMs`
   * @returns Its variable, such as `ENCLAVE_KMS_REQUEST_TIMEOUT_MS`
   */
  variableOf(name: string): string {
    return `${this.#prefix}${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
  }

  /**
   * Lists the variables of a setting.
   *
   * @param name Name of a setting
   * @returns Its variables, the one that counts first before the others; none for one that can be set in the file only
   */
  variablesOf(name: string): string[] {
    const { isFileOnly, firstVariable, otherVariable } = this.#settings.get(name) ?? {};
    if (isFileOnly === true) return [];
    return [firstVariable, this.variableOf(name), otherVariable].filter((variable) => variable !== undefined);
  }

  /**
   * Looks for variables that look like settings and are none: a misspelt safeguard is no safeguard.
   *
   * @param env Environment of the process
   * @returns One sentence for each, with the name that was most likely meant, and never a value
   */
  unknownVariables(env: Environment): string[] {
    const settable = [...this.#settings].filter(([, { isFileOnly }]) => isFileOnly !== true);
    const known = [this.fileVariable, ...settable.map(([name]) => this.variableOf(name))];
    const unknown = Object.keys(env).filter((name) =>
      name.toUpperCase().startsWith(this.#prefix) && !known.includes(name)
    );
    // The prefix that all have in common would make any two names alike.
    const ownPart = (name: string) => name.slice(this.#prefix.length);
    const sentences = unknown.map((name) => {
      const inFile = [...this.#settings.keys()].find((setting) => this.variableOf(setting) === name);
      if (inFile !== undefined) return `${name} is not read: ${inFile} can be set in the file only`;
      return `${quoted(name)} is no setting${suggestion(ownPart(name), known.map(ownPart), this.#prefix)}`;
    });
    return [...sentences, ...this.#misspeltVariables(env)];
  }

  /** Looks for variables whose names are almost those that count first, which share no prefix: `ENV_SETP`. */
  #misspeltVariables(env: Environment): string[] {
    const first = [...this.#settings.values()].flatMap(({ firstVariable }) => firstVariable ?? []);
    const unset = first.filter((name) => env[name] === undefined);
    return Object.keys(env).flatMap((name) => {
      const isOther = !first.includes(name) && !name.toUpperCase().startsWith(this.#prefix);
      const meant = isOther ? didYouMean(name, unset) : undefined;
      return meant === undefined ? [] : [`${quoted(name)} is no setting; did you mean ${meant}?`];
    });
  }

  /** An empty variable counts as unset: images set variables to empty texts to override others. */
  #readEnvironment(env: Environment): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const [name, setting] of this.#settings) {
      const value = this.variablesOf(name).map((variable) => env[variable]).find((text) => text);
      if (value !== undefined) values[name] = valueOf(value, setting);
    }
    return values;
  }

  #readFile(path: string, readFile: (path: string) => string): Record<string, unknown> {
    const problem = (what: string) => new ConfigError([`${this.fileVariable}: ${path} ${what}`]);
    let text: string;
    try {
      text = readFile(path);
    } catch (error) {
      throw problem(`cannot be read (${reasonOf(error)})`);
    }
    const value = parseJson(text, problem);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
    throw problem("must hold a JSON object");
  }

  #describe(issue: v.BaseIssue<unknown>, env: Environment): string {
    const name = nameOf(issue);
    // Names below a setting are the operator's own.
    const { expected } = describeIssue(issue);
    const place = this.variablesOf(name).find((variable) => env[variable]) ?? "in the file";
    return `${name} (${place}): expected ${expected}`;
  }

  #describeUnknown(name: string): string {
    return `${quoted(name)} (in the file): is no setting${suggestion(name, [...this.#settings.keys()])}`;
  }
}

const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, 1: true, false: false, 0: false };

/** Reads the value out of a variable's text. A text that is none stays one, which the check refuses. */
function valueOf(text: string, { isNumber, isBoolean }: Setting<unknown>): unknown {
  if (isBoolean === true) return Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : text;
  return isNumber === true ? Number(text) : text;
}

function nameOf(issue: v.BaseIssue<unknown>): string {
  return String(issue.path?.[0]?.key ?? "");
}

/**
 * Says why a file cannot be used, in the words of an operator.
 *
 * @param error Thrown by reading it
 * @returns The system's code, such as ENOENT, or the runtime's name for it
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unreadable";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}

/** The runtimes' own messages quote the text. */
function parseJson(text: string, problem: (what: string) => ConfigError): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const { line, column } = placeOfJsonError(text) ?? { line: 1, column: 1 };
    throw problem(`is not JSON (line ${line}, column ${column})`);
  }
}

function suggestion(name: string, known: readonly string[], prefix = ""): string {
  const meant = didYouMean(name, known);
  return meant === undefined ? "" : `; did you mean ${prefix}${meant}?`;
}

/** Shows a name that an operator can find again; one of another form may be a value in the wrong place. */
function quoted(name: string): string {
  return /^\w{1,64}$/.test(name) ? name : "a name of other characters than letters, digits and _";
}
