import { lstatSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { readWhole } from "../eif/file_source.ts";
import { BUNDLE_FILE, MAX_DESCRIPTION_BYTES, parseBundle } from "./bundle_description.ts";
import { listPaths } from "./bundle_files.ts";

/**
 * Checks that a bundle may be put in a place: nothing is there, an empty folder, or a bundle with no other files. The path
 * may be somebody's home.
 *
 * @param place Path of the folder
 * @param name Path for messages. Default: the same
 * @throws {ImageError} When something else is there
 */
export async function checkReplaceable(place: string, name: string = place): Promise<void> {
  if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return;
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw notReplaceable(name, "it is no folder");
  }
  if (readdirSync(place).length === 0) return;
  const { paths, files } = await readOld(place).catch((cause) => {
    throw notReplaceable(name, "it holds something that is no bundle", cause);
  });
  const other = paths.find((path) => path !== BUNDLE_FILE && !Object.hasOwn(files, path));
  if (other !== undefined) throw notReplaceable(name, `it holds ${other}, which is no part of the bundle`);
}

async function readOld(place: string) {
  const paths = listPaths(place);
  const bytes = await readWhole(join(place, BUNDLE_FILE), MAX_DESCRIPTION_BYTES, BUNDLE_FILE);
  return { paths, files: parseBundle(new TextDecoder().decode(bytes)).files };
}

/**
 * Puts a finished bundle in its place, and removes the one that was there. What is there is moved aside and checked once
 * more, since it may have changed while the new one was made; what is no bundle is moved back.
 *
 * @param draft Folder of the new bundle, beside the place
 * @param place Path that it is to have
 * @throws {ImageError} When something that is no bundle is there
 */
export async function replaceBundle(draft: string, place: string): Promise<void> {
  const old = `${place}.${crypto.randomUUID()}.old`;
  if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return renameSync(draft, place);
  renameSync(place, old);
  try {
    await checkReplaceable(old, place);
    renameSync(draft, place);
  } catch (error) {
    renameSync(old, place);
    throw error;
  }
  rmSync(old, { recursive: true });
}

function notReplaceable(place: string, why: string, cause?: unknown): ImageError {
  return new ImageError(`Cannot bundle into ${basename(place)}: ${why}`, {
    hint: "Name another folder, or remove it yourself",
    cause,
  });
}
