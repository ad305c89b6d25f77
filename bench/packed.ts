import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle, ENTRIES } from "../tools/bundle.ts";

/** Within the repository, so that koffi, which is not bundled, would be found. */
const BUILD = fileURLToPath(new URL("../build/", import.meta.url));

/**
 * Packs what a call to KMS on the command line loads, as the npm package has it.
 *
 * @returns Script of the program; the caller removes its folder, which holds the cache of compiled code as well
 */
export async function packCommandLine(): Promise<string> {
  await mkdir(BUILD, { recursive: true });
  const folder = await mkdtemp(join(BUILD, "bench-"));
  const { cli = "", cli_kms = "" } = ENTRIES;
  await bundle("node", folder, { cli, cli_kms });
  return join(folder, "cli.js");
}
