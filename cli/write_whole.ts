import { closeSync, fsyncSync, linkSync, lstatSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { reasonOf } from "./reason.ts";
import { OutputLostError, UsageError } from "./usage_error.ts";

/** File to write. */
export interface FileToWrite {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Errors after which nothing is wrong with the flag: the disk is full, or broken. */
const LOSSES: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG", "EIO"];

/**
 * Refuses files that are there, before work is done for nothing.
 *
 * @param paths Files that will be written
 * @throws {UsageError} When one is there, even as a link that leads nowhere
 */
export function refuseExisting(paths: readonly string[]): void {
  if (paths.some((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined)) throw isThere();
}

/**
 * Writes files that only their owner can read. Each appears whole, or not at all; of several, all appear or none. What
 * is there already is never changed without `force`, and then replaced file by file.
 *
 * @param files Files to write
 * @param force Whether to replace files that are there
 * @throws {UsageError} When a file is there, or its folder cannot be written
 * @throws {OutputLostError} When the disk is full, or broken
 */
export function writeWhole(files: readonly FileToWrite[], force: boolean): void {
  const made: string[] = [];
  try {
    const staged = files.map(({ path, bytes }) => {
      const place = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
      made.push(place);
      stage(place, bytes);
      return { place, path };
    });
    for (const { place, path } of staged) {
      if (force) renameSync(place, path);
      else {
        linkSync(place, path);
        made.push(path);
      }
    }
    if (!force) { for (const { place } of staged) rmSync(place); }
  } catch (error) {
    for (const path of made) rmSync(path, { force: true });
    throw describe(error);
  }
}

function stage(path: string, bytes: Uint8Array): void {
  const file = openSync(path, "wx", 0o600);
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function describe(error: unknown): Error {
  const reason = reasonOf(error);
  if (reason === "EEXIST" || reason === "AlreadyExists") return isThere();
  if (LOSSES.includes(reason)) return new OutputLostError(reason);
  return new UsageError(`--out must be a file that can be written: ${reason}`);
}

function isThere(): UsageError {
  return new UsageError("--out must be a file that is not there yet; --force replaces it");
}
