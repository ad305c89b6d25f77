import { join } from "node:path";
import {
  type Bundle,
  BUNDLE_FILE,
  MAX_DESCRIPTION_BYTES,
  notABundle,
  parseBundle,
} from "../bundle/bundle_description.ts";
import { listFiles } from "../bundle/bundle_files.ts";
import { readWhole } from "../eif/file_source.ts";

/**
 * Reads the description of a bundle, and compares it with the files that are there.
 *
 * @param folder Folder of the bundle
 * @returns The description
 * @throws {ImageError} When there is none, a file is missing, was added or has changed since it was made, or something is
 *   neither file nor folder
 */
export async function readBundle(folder: string): Promise<Bundle> {
  const name = `${BUNDLE_FILE} of the bundle`;
  const bytes = await readWhole(join(folder, BUNDLE_FILE), MAX_DESCRIPTION_BYTES, name);
  const bundle = parseBundle(new TextDecoder().decode(bytes));
  const { [BUNDLE_FILE]: _, ...there } = listFiles(folder);
  for (const path of new Set([...Object.keys(bundle.files), ...Object.keys(there)])) {
    const what = !Object.hasOwn(there, path)
      ? "is missing"
      : !Object.hasOwn(bundle.files, path)
      ? "is new"
      : there[path]?.sha256 !== bundle.files[path]?.sha256
      ? "has changed"
      : undefined;
    if (what !== undefined) throw notABundle(`${path} ${what} since it was made`);
  }
  return bundle;
}
