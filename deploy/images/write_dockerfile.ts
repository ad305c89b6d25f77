import { parseStrictJson } from "../strict_json.ts";
import { DENO_FLAGS } from "../init/make_manifest.ts";
import { DOCKERFILE } from "./dockerfile_text.ts";

/** Options of {@link writeDockerfile}. */
export interface DockerfileOptions {
  /** JSON Schema of the application's configuration, as `--print-config-schema` wrote it. */
  readonly schema: string;
  /** First file of the application, from the folder of the build. */
  readonly entry: string;
  /** Runtime of the application. */
  readonly runtime: "node" | "deno";
  /**
   * Configuration file, JSON, from the folder of the build: it becomes `app/config.json`. The arguments of the build have no
   * defaults then, since variables count before the file. Default: there is none.
   */
  readonly config?: string | undefined;
  /** Further files by their place in the image, without a leading slash: `app/policy.cedar` and `policy.cedar`. */
  readonly files?: readonly (readonly [place: string, from: string])[] | undefined;
  /** File of the command line, from the folder of the build. Default: that of the installed package. */
  readonly cli?: string | undefined;
}

/** Setting of an application that a variable can give it. */
export interface DockerSetting {
  /** The variable. */
  readonly variable: string;
  /** Default; undefined when there is none. */
  readonly standard: string | undefined;
  /** Whether the application does not start without it. */
  readonly isRequired: boolean;
  /** Meaning, in words. */
  readonly holds: string;
}

/** Path in the folder of the build: it becomes a word of a shell, and of COPY. */
const PATH = /^(?!\/)[\w./@+-]{1,255}$/;

const VARIABLE = /^[A-Z][A-Z0-9_]{0,63}$/;

/** Images of the runtimes. Their digests are asked for when an image is built. */
const RUNTIMES = {
  node: {
    image: "docker.io/library/node:24.21.0-bookworm-slim@${NODE_DIGEST}",
    binary: "/usr/local/bin/node",
  },
  deno: { image: "docker.io/denoland/deno:debian-2.9.5@${DENO_DIGEST}", binary: "/usr/bin/deno" },
} as const;

/** Programs that run a file of the command line. */
const RUN = { node: "node", deno: "deno run --quiet --no-prompt --allow-all" } as const;

/** Words that run the application. */
const COMMANDS = { node: ["node"], deno: ["deno", ...DENO_FLAGS] } as const;

/**
 * Reads the settings that variables can give, from the schema of an application's configuration.
 *
 * @param schema JSON Schema, as `--print-config-schema` wrote it
 * @returns Settings with a variable, in the order of the schema
 * @throws {TypeError} When it is no such schema
 */
export function dockerSettings(schema: string): readonly DockerSetting[] {
  const { properties, required = [] } = parse(schema);
  if (typeof properties !== "object" || properties === null || !Array.isArray(required)) throw notASchema();
  return Object.entries(properties as Readonly<Record<string, unknown>>).flatMap(([name, property]) => {
    const { "x-env": variable, default: standard, ...others } = (property ?? {}) as Readonly<
      Record<string, unknown>
    >;
    if (variable === undefined) return [];
    if (typeof variable !== "string" || !VARIABLE.test(variable)) throw notASchema();
    // A line feed would end the instruction that the default is written in, and begin another.
    if (typeof standard === "string" && /\p{Cc}/u.test(standard)) throw notASchema();
    return [{
      variable,
      standard: ["string", "number", "boolean"].includes(typeof standard) ? String(standard) : undefined,
      isRequired: required.includes(name),
      holds: meaningOf(others),
    }];
  });
}

/** One line of words, whatever the schema has. */
function meaningOf(
  { description, enum: values, minimum, maximum }: Readonly<Record<string, unknown>>,
): string {
  const range = minimum === undefined || maximum === undefined ? "" : `${minimum} to ${maximum}`;
  const text = description ?? (Array.isArray(values) ? values.join(", ") : range);
  return String(text).replaceAll(/[\p{Cc}\s]+/gu, " ").trim();
}

/**
 * Writes the Dockerfile of an enclave's image. Each setting is an argument of the build and a variable of the image, so that
 * it is measured; what a file alone can set comes with `config`.
 *
 * The bases have no digest in it: whoever builds must give them, with the hash of AWS's kernel and init.
 *
 * @param options Schema, entry, runtime and files
 * @returns Text of the Dockerfile. The same options make the same text
 * @throws {TypeError} When the schema is none, or a path has other characters than letters, digits and `._/@+-`
 */
export function writeDockerfile(options: DockerfileOptions): string {
  const { entry, runtime, config, files = [], cli = "node_modules/enclave-kms/cli.js" } = options;
  for (const path of [entry, cli, ...config === undefined ? [] : [config], ...files.flat()]) checkPath(path);
  const settings = dockerSettings(options.schema);
  const variables = settings.map(({ variable }) => variable);
  const copies = [...config === undefined ? [] : [["app/config.json", config] as const], ...files];
  const flags = [
    ...config === undefined ? [] : ["--config /app/config.json"],
    ...files.map(([place]) => `--file ${place}=/${place}`),
    ...variables.map((name) => `--env "${name}=$${name}"`),
  ];
  const parts: Readonly<Record<string, string>> = {
    ENTRY: entry,
    RUNTIME: runtime,
    BASE: RUNTIMES[runtime].image,
    BINARY: RUNTIMES[runtime].binary,
    DIGESTS: runtime === "deno" ? "ARG NODE_DIGEST\nARG DENO_DIGEST" : "ARG NODE_DIGEST",
    CLI: `node ${cli}`,
    CLI_OF_IMAGE: `${RUN[runtime]} /src/${cli}`,
    COMMAND: JSON.stringify([...COMMANDS[runtime], "/app/app.js"]).replaceAll(",", ", "),
    COPIES: copies.map(([place, from]) => `COPY ${from} /${place}\n`).join(""),
    TABLE: tableOf(settings),
    REQUIRED: requiredOf(settings),
    ARGS: settings.map((setting) => argOf(setting, config !== undefined)).join("\n"),
    ENV: envOf(config, variables),
    FLAGS: flags.map((flag) => `      ${flag} \\\n`).join(""),
  };
  return DOCKERFILE.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => parts[name] ?? "");
}

function checkPath(path: string): void {
  if (PATH.test(path) && !path.split("/").includes("..")) return;
  throw new TypeError("paths must be below the folder of the build, of letters, digits and ._/@+-");
}

/** A default would count before the file's value: with a file there is none. */
function argOf({ variable, standard = "", isRequired }: DockerSetting, hasFile: boolean): string {
  return isRequired ? `ARG ${variable}` : `ARG ${variable}=${hasFile ? "" : quote(standard)}`;
}

function envOf(config: string | undefined, variables: readonly string[]): string {
  const pairs = variables.map((name) => `${name}=$${name}`);
  const all = config === undefined ? pairs : ["ENCLAVE_KMS_CONFIG=/app/config.json", ...pairs];
  return all.length === 0 ? "" : `ENV ${all.join(" \\\n    ")}\n`;
}

/** Refuses a build without what the application needs. */
function requiredOf(settings: readonly DockerSetting[]): string {
  const names = settings.filter(({ isRequired }) => isRequired).map(({ variable }) => variable);
  if (names.length === 0) return "";
  return `RUN ${
    names.map((name) => `: "\${${name}:?must be given with --build-arg}"`).join(" && \\\n    ")
  }\n`;
}

function tableOf(settings: readonly DockerSetting[]): string {
  const rows = settings.map(({ variable, standard, isRequired, holds }) => {
    const value = isRequired ? "(required)" : standard ?? "";
    return [variable, value, holds.length > 60 ? `${holds.slice(0, 57)}...` : holds] as const;
  });
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map(([variable, value, holds]) =>
    `#   ${variable.padEnd(widths[0] ?? 0)}  ${value.padEnd(widths[1] ?? 0)}  ${holds}`.trimEnd()
  ).join("\n");
}

function quote(text: string): string {
  return /^[\w./:@-]*$/.test(text) ? text : `"${text.replaceAll(/["\\$]/g, "\\$&")}"`;
}

function parse(schema: string): Readonly<Record<string, unknown>> {
  const value = parseStrictJson(schema, notASchema);
  if (typeof value !== "object" || value === null) throw notASchema();
  return value as Readonly<Record<string, unknown>>;
}

function notASchema(): TypeError {
  return new TypeError("the schema must be what the application writes with --print-config-schema");
}
