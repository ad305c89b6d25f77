/**
 * The C instruments of the tests: a supervisor that gives any program a `/dev/nsm`, and a double of
 * aws-nitro-enclaves-sdk-c. They are compiled on first use and kept by the hash of their sources.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { lstat, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** `nsm-supervisor` is a program, `sdk-double` a shared library. */
export type InstrumentName = "nsm-supervisor" | "sdk-double";

/** The variable that the supervisor sets for its program: the directory of the software NSMs' sockets. */
export const SUPERVISED_VARIABLE = "ENCLAVE_KMS_NSM_SUPERVISED";

/**
 * Compiles an instrument unless the same sources were compiled before; safe to call from many processes.
 *
 * @returns The path of the program or library; `undefined` when this machine has no C compiler
 * @throws {Error} When the compiler refuses the sources
 */
export async function compileInstrument(name: InstrumentName): Promise<string | undefined> {
  const cache = await openCache();
  const { path, sources } = locate(name);
  if (existsSync(path)) return path;
  const work = await mkdtemp(join(cache, "work-"));
  try {
    const built = join(work, "built");
    await mkdir(built);
    const options = RECIPES[name];
    const command = [...options.flags, "-o", join(built, options.output), ...sources, "-ldl"];
    if (!(await runCompiler(command))) return undefined;
    await publish(built, join(path, ".."));
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Makes the command line that runs `command` with a `/dev/nsm` answered by the software NSM that listens on
 * `<socketDirectory>/nsm-<pid>.sock`, where pid is the calling process or its nearest ancestor with one.
 * Inside a supervised process it is the command itself: two seccomp listeners cannot nest.
 *
 * @throws {Error} When `compileInstrument("nsm-supervisor")` has not succeeded before
 */
export function supervise(command: string[], socketDirectory: string): string[] {
  if (process.env[SUPERVISED_VARIABLE]) return command;
  const { path } = locate("nsm-supervisor");
  if (!existsSync(path)) throw new Error("Cannot supervise: compile the nsm-supervisor first");
  return [path, socketDirectory, ...command];
}

interface Recipe {
  sources: string;
  output: string;
  flags: string[];
}

const COMMON_FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];

const RECIPES: Record<InstrumentName, Recipe> = {
  "nsm-supervisor": { sources: "nsm_supervisor.c", output: "nsm-supervisor", flags: COMMON_FLAGS },
  "sdk-double": {
    sources: "sdk_double",
    output: "sdk-double.so",
    flags: [...COMMON_FLAGS, "-fPIC", "-shared"],
  },
};

const NATIVE_DIRECTORY = fileURLToPath(new URL("./native/", import.meta.url));

function compiler(): string {
  return process.env["CC"] || "cc";
}

/** Finds the path of a compiled instrument, and its C files. */
function locate(name: InstrumentName): { path: string; sources: string[] } {
  const { sources, output, flags } = RECIPES[name];
  const files = sourceFiles(join(NATIVE_DIRECTORY, sources));
  const hash = createHash("sha256").update(JSON.stringify([compiler(), process.arch, output, flags]));
  for (const file of files) hash.update(readFileSync(file));
  return {
    path: join(cacheDirectory(), hash.digest("hex"), output),
    sources: files.filter((file) => file.endsWith(".c")),
  };
}

function sourceFiles(path: string): string[] {
  if (path.endsWith(".c")) return [path];
  return readdirSync(path).filter((file) => /\.[ch]$/.test(file)).sort().map((file) => join(path, file));
}

function cacheDirectory(): string {
  return join(tmpdir(), `enclave-kms-instruments-${userInfo().uid}`);
}

/** Opens a private cache: another user must not be able to put a library there. */
async function openCache(): Promise<string> {
  const directory = cacheDirectory();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const status = await lstat(directory);
  if (!status.isDirectory() || status.uid !== userInfo().uid || (status.mode & 0o022) !== 0) {
    throw new Error(`Cannot use ${directory}: it is not a private directory of this user`);
  }
  return directory;
}

/** Runs the compiler; returns false when there is none. */
async function runCompiler(parameters: string[]): Promise<boolean> {
  try {
    await promisify(execFile)(compiler(), parameters);
    return true;
  } catch (error) {
    const failure = error as { code?: unknown; stderr?: unknown };
    if (failure.code === "ENOENT") return false;
    throw new Error(`Cannot compile: ${failure.stderr ?? failure}`);
  }
}

/** Renames the folder into place. Another process may have done so first, with the same content. */
async function publish(built: string, directory: string): Promise<void> {
  try {
    await rename(built, directory);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "EEXIST" && code !== "ENOTEMPTY") throw error;
  }
}
