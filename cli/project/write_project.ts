import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { reasonOf } from "../reason.ts";
import { OutputLostError, UsageError } from "../usage_error.ts";

/** File of a new project. */
export interface ProjectFile {
  /** Path below its folder. */
  readonly path: string;
  readonly content: string | Uint8Array;
}

/** Names that a package, an image and an enclave can have. */
const NAME = /^[a-z][a-z0-9-]{0,62}$/;

const LOSSES: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG", "EIO"];

/**
 * Checks the folder of a new project.
 *
 * @param folder Path that the user gave
 * @returns Absolute path, and the project's name
 * @throws {UsageError} When the name is not one, or something is there
 */
export function checkFolder(folder: string): { readonly path: string; readonly name: string } {
  const path = resolve(folder);
  const name = basename(path);
  if (!NAME.test(name)) {
    throw new UsageError(
      "The folder's name must be a-z, 0-9 and -, begin with a letter, and have at most 63",
    );
  }
  refuseTaken(path);
  return { path, name };
}

/** Refuses what is there, even a link that leads nowhere; an empty folder may be replaced. */
function refuseTaken(path: string): void {
  const taken = new UsageError("The folder must be new, or empty: nothing that is there is changed");
  let there;
  try {
    there = lstatSync(path, { throwIfNoEntry: false });
    if (there === undefined) return;
    if (!there.isDirectory() || readdirSync(path).length > 0) throw taken;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`The folder must be one that can be made: ${reasonOf(error)}`);
  }
  const here = statSync(".");
  if (here.ino === there.ino && here.dev === there.dev) {
    throw new UsageError("The folder must be another one than the shell is in: it is replaced as a whole");
  }
}

/**
 * Writes a project beside its place, and then moves it there: it appears whole, or not at all.
 *
 * @param path Absolute path of a folder that is not there, or is empty
 * @param files Its files
 * @throws {UsageError} When it cannot be written, or something has come in its place
 * @throws {OutputLostError} When the disk is full, or broken
 */
export function writeProject(path: string, files: readonly ProjectFile[]): void {
  const staging = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  let isMade = false;
  try {
    mkdirSync(staging);
    isMade = true;
    for (const { path: file, content } of files) {
      mkdirSync(dirname(join(staging, file)), { recursive: true });
      writeFileSync(join(staging, file), content, { flag: "wx" });
    }
    // It replaces nothing but an empty folder, and follows no link.
    renameSync(staging, path);
  } catch (error) {
    if (isMade) rmSync(staging, { recursive: true, force: true });
    const reason = reasonOf(error);
    if (LOSSES.includes(reason)) throw new OutputLostError(reason);
    throw new UsageError(`The folder must be one that can be made: ${reason}`);
  }
}
