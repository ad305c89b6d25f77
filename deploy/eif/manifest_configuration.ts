import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { checkConfiguration } from "../configuration/check_configuration.ts";
import { readWhole } from "./file_source.ts";
import type { ImageManifest, ManifestFile } from "./manifest.ts";

/** Longest configuration file, and longest schema, in bytes. */
const MAX_BYTES = 1_048_576;

/**
 * Checks the configuration of a manifest, if it names one: the file and the environment against the schema.
 *
 * @param manifest The manifest
 * @param folder Folder of the manifest
 * @throws {ImageError} With everything that is wrong, when a file is not the one of the manifest, or the schema is none
 */
export async function checkManifestConfiguration(
  { configuration, application, environment }: ImageManifest,
  folder: string,
): Promise<void> {
  if (configuration === undefined) return;
  const { path, schema } = configuration;
  const entry = application.find((one) => one.path === path && "from" in one) as ManifestFile | undefined;
  const file = entry && { path: `/${path}`, text: await readPinned(folder, entry) };
  const parts = { schema: await readPinned(folder, schema), file, environment };
  const problems = checkParts(parts, schema.from);
  if (problems.length === 0) return;
  throw new ImageError(
    `Cannot build the image: its configuration has ${problems.length} problem(s):\n${
      problems.map((problem) => `  ${problem}`).join("\n")
    }`,
    { hint: "The application would not start with it, or not as it was meant. docs/images.md has more" },
  );
}

function checkParts(parts: Parameters<typeof checkConfiguration>[0], from: string): string[] {
  try {
    return checkConfiguration(parts);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new ImageError(`Cannot use the schema ${from}: ${cause.message}`, {
      hint: "Is it what the application wrote with --print-config-schema?",
      cause,
    });
  }
}

/** Reads a text whose hash the manifest has, so that what is checked is what becomes part of the image. */
async function readPinned(folder: string, { from, sha256 }: ManifestFile): Promise<string> {
  const bytes = await readWhole(resolve(folder, from), MAX_BYTES, from);
  try {
    const found = createHash("sha256").update(bytes).digest("hex");
    if (found === sha256) return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    throw new ImageError(`Cannot read ${from}: its SHA-256 is ${found}, and ${sha256} was expected`, {
      hint:
        "Has it changed since the manifest was written? Write the new hash into the manifest if it was meant to",
    });
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new ImageError(`Cannot read ${from}: it is not UTF-8`, {
      hint: "Is it a configuration, or its schema?",
      cause,
    });
  }
}
