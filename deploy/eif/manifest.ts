import { ImageError } from "../../lib/core/errors.ts";
import { checkFields, checkOneOf, checkText } from "../../lib/core/checks.ts";
import { parseStrictJson } from "../strict_json.ts";
import type { Architecture } from "./format.ts";

/** File of an image, as a manifest has it: the same content is the same image. */
export interface ManifestFile {
  /** Path of the content, from the folder of the manifest. */
  readonly from: string;
  /** SHA-256 of the content, 64 hex digits. */
  readonly sha256: string;
  /** Origin of the content for people, such as a package and its version. */
  readonly origin?: string | undefined;
}

/** Entry of a ramdisk, as a manifest has it. */
export type ManifestEntry =
  | ManifestFile & {
    /** Path in the ramdisk, without a leading slash. */
    readonly path: string;
    /** Permissions, four octal digits. Default: `0644`. */
    readonly mode?: string | undefined;
  }
  | {
    readonly path: string;
    /** Target of a symlink. */
    readonly symlink: string;
  }
  | {
    readonly path: string;
    /** An empty folder. Those that hold something need no entry. */
    readonly directory: true;
    readonly mode?: string | undefined;
  };

/** Description of an image in git: all that it is made of. */
export interface ImageManifest {
  /** Version of the manifest's own form. */
  readonly manifestVersion: 1;
  /** Name and version of the application, for the metadata. */
  readonly name: string;
  readonly version: string;
  readonly architecture: Architecture;
  readonly kernel: ManifestFile;
  readonly commandLine: string;
  /** First ramdisk: `init`, `nsm.ko`, and what else comes before the application. */
  readonly bootstrap: readonly ManifestEntry[];
  /** Files of the application, by their paths in the enclave. They come below `rootfs/` in the second ramdisk. */
  readonly application: readonly ManifestEntry[];
  /** Command that init runs: an absolute path, and its arguments. */
  readonly command: readonly string[];
  /** Environment of the command. */
  readonly environment: Readonly<Record<string, string>>;
  /** Configuration of the application that is checked before it becomes part of the image. Default: none is checked. */
  readonly configuration?: ManifestConfiguration | undefined;
}

/** Configuration of the application, and its schema. */
export interface ManifestConfiguration {
  /** Path of the configuration file in the enclave: one of the application's entries. Default: there is none. */
  readonly path?: string | undefined;
  /** JSON Schema of `--print-config-schema` that it and the environment are checked against. No part of the image. */
  readonly schema: ManifestFile;
}

/** Longest manifest, in bytes. */
export const MAX_MANIFEST_BYTES = 4_194_304;

const FIELDS: readonly (keyof ImageManifest)[] = [
  ...(["manifestVersion", "name", "version", "architecture", "kernel", "commandLine"] as const),
  ...(["bootstrap", "application", "command", "environment", "configuration"] as const),
];

const FILE_FIELDS = ["from", "sha256", "origin"];

/**
 * Reads a manifest.
 *
 * @param text JSON of the manifest
 * @returns The manifest, checked
 * @throws {ImageError} When it is not JSON, or a field is missing, unknown or wrong: the message names it
 */
export function parseManifest(text: string): ImageManifest {
  try {
    return checkManifest(parseStrictJson(text));
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError || cause instanceof RangeError)) {
      throw cause;
    }
    throw new ImageError(`Cannot read the manifest: ${cause.message}`, {
      hint: "docs/images.md has its form",
      cause,
    });
  }
}

function checkManifest(value: unknown): ImageManifest {
  const given = checkFields("manifest", value as ImageManifest, FIELDS);
  if (given.manifestVersion !== 1) throw new RangeError("manifestVersion must be 1");
  const architecture = checkOneOf("architecture", given.architecture, ["x86_64", "aarch64"]);
  if (architecture === undefined) throw new TypeError("architecture must be x86_64 or aarch64");
  const application = checkEntries("application", given.application);
  return {
    manifestVersion: 1,
    name: checkText("name", given.name, 64),
    version: checkText("version", given.version, 64),
    architecture,
    kernel: checkFile("kernel", given.kernel, FILE_FIELDS),
    commandLine: checkLine("commandLine", given.commandLine, 2047),
    bootstrap: checkEntries("bootstrap", given.bootstrap),
    application,
    command: checkCommand(given.command),
    environment: checkEnvironment(given.environment),
    ...(given.configuration === undefined ? {} : {
      configuration: checkConfiguration(given.configuration, application),
    }),
  };
}

function checkFile(field: string, value: unknown, fields: readonly string[]): ManifestFile {
  const given = checkFields(field, value as ManifestFile, fields);
  if (typeof given.sha256 !== "string" || !/^[0-9a-f]{64}$/.test(given.sha256)) {
    throw new TypeError(`${field}.sha256 must be 64 lowercase hex digits`);
  }
  return {
    from: checkText(`${field}.from`, given.from, 4096),
    sha256: given.sha256,
    ...(given.origin === undefined ? {} : { origin: checkText(`${field}.origin`, given.origin, 1024) }),
  };
}

function checkEntries(field: string, value: unknown): ManifestEntry[] {
  if (!Array.isArray(value) || value.length > 100_000) {
    throw new TypeError(`${field} must be a list of entries`);
  }
  return value.map((entry: unknown, index) => checkEntry(`${field}[${index}]`, entry));
}

function checkEntry(field: string, value: unknown): ManifestEntry {
  const { path, symlink, directory, mode } = checkFields(
    field,
    value as Partial<Record<string, unknown>>,
    ["path", "mode", "symlink", "directory", ...FILE_FIELDS],
  );
  const checkedPath = checkText(`${field}.path`, path, 4095);
  if (symlink !== undefined) {
    checkFields(field, value as object, ["path", "symlink"]);
    return { path: checkedPath, symlink: checkText(`${field}.symlink`, symlink, 4095) };
  }
  const checkedMode = mode === undefined ? {} : { mode: checkMode(`${field}.mode`, mode) };
  if (directory !== undefined) {
    checkFields(field, value as object, ["path", "directory", "mode"]);
    if (directory !== true) throw new TypeError(`${field}.directory must be true`);
    return { path: checkedPath, directory, ...checkedMode };
  }
  return { ...checkFile(field, value, ["path", "mode", ...FILE_FIELDS]), path: checkedPath, ...checkedMode };
}

function checkMode(field: string, value: unknown): string {
  if (typeof value === "string" && /^[0-7]{4}$/.test(value)) return value;
  throw new TypeError(`${field} must be four octal digits, such as "0755"`);
}

function checkCommand(value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new TypeError("command must be a list of at least one text");
  }
  const command = value.map((part, index) => checkLine(`command[${index}]`, part, 4096));
  if (!command[0]!.startsWith("/")) {
    throw new TypeError("command[0] must be an absolute path: init has no PATH");
  }
  return command;
}

function checkEnvironment(value: unknown): Record<string, string> {
  const given = checkFields("environment", value, Object.keys(value ?? {})) as Readonly<
    Record<string, unknown>
  >;
  return Object.fromEntries(
    Object.entries(given).map(([name, content]) => {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
        throw new TypeError("environment must have names of letters, digits and underscores");
      }
      return [name, content === "" ? "" : checkLine(`environment.${name}`, content, 32_768)];
    }),
  );
}

function checkConfiguration(value: unknown, application: readonly ManifestEntry[]): ManifestConfiguration {
  const given = checkFields("configuration", value as ManifestConfiguration, ["path", "schema"]);
  const schema = checkFile("configuration.schema", given.schema, FILE_FIELDS);
  if (given.path === undefined) return { schema };
  const path = checkText("configuration.path", given.path, 4095);
  if (!application.some((entry) => entry.path === path && "from" in entry)) {
    throw new TypeError("configuration.path must be the path of a file of application");
  }
  return { path, schema };
}

/** Init reads one of them from a line. */
function checkLine(field: string, value: unknown, maxLength: number): string {
  const line = checkText(field, value, maxLength);
  if (/[\n\r]/.test(line)) throw new TypeError(`${field} must be one line: init reads it as one`);
  return line;
}
