import { checkFields, checkRecord } from "../../lib/core/checks.ts";
import { ImageError } from "../../lib/core/errors.ts";
import { parseStrictJson } from "../strict_json.ts";
import type { BundleArchitecture, BundleFiles } from "./bundle_files.ts";

/** Runtime of a bundle. */
export type BundleRuntime = "node" | "deno";

/** Bundle of an application, as `bundle.json` in its folder describes it. */
export interface Bundle {
  /** Version of the description's own form. */
  readonly bundleVersion: 1;
  readonly runtime: BundleRuntime;
  readonly architectures: readonly BundleArchitecture[];
  /** File to run. */
  readonly entry: string;
  /** Optional packages that are not installed: what needs them fails when it is used. */
  readonly leftOut: readonly string[];
  /** Files but the description itself. */
  readonly files: BundleFiles;
}

/** Name of the description in a bundle's folder. */
export const BUNDLE_FILE = "bundle.json";

/** Longest description of a bundle, in bytes. */
export const MAX_DESCRIPTION_BYTES = 4_194_304;

const FIELDS: readonly (keyof Bundle)[] = [
  "bundleVersion",
  "runtime",
  "architectures",
  "entry",
  "leftOut",
  "files",
];

/**
 * Reads the description of a bundle that others may have written.
 *
 * @param text JSON of its `bundle.json`
 * @returns The description. Each of its files has a hash; whether they are there is not looked at
 * @throws {ImageError} When it is none
 */
export function parseBundle(text: string): Bundle {
  try {
    const given = checkFields("bundle", parseStrictJson(text) as Bundle, FIELDS);
    if (given.bundleVersion !== 1) throw new TypeError("bundleVersion must be 1");
    if (given.runtime !== "node" && given.runtime !== "deno") {
      throw new TypeError("runtime must be node or deno");
    }
    if (!Array.isArray(given.architectures)) throw new TypeError("architectures must be a list");
    for (const [path, record] of checkRecord("files", given.files)) checkFile(path, record);
    if (typeof given.entry !== "string" || !Object.hasOwn(given.files, given.entry)) {
      throw new TypeError("entry must be one of files");
    }
    return given;
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause;
    throw notABundle(cause.message);
  }
}

function checkFile(path: string, record: unknown): void {
  const { bytes, sha256 } = Object.fromEntries(checkRecord(`${path} of files`, record));
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new TypeError(`${path} of files must have a sha256 of 64 lower-case hex digits`);
  }
  if (!Number.isSafeInteger(bytes) || Number(bytes) < 0) {
    throw new TypeError(`${path} of files must have its bytes, a whole number`);
  }
}

/**
 * Makes the error for a bundle that cannot be used.
 *
 * @param why Reason, as the end of a sentence
 */
export function notABundle(why: string): ImageError {
  return new ImageError(`Cannot use the bundle: ${why}`, {
    hint: "Make it again with enclave-kms bundle; other files are added to the image with --file",
  });
}
