import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether the `openssl` command is here. */
export const HAS_OPENSSL: boolean = hasOpenssl();

/** Why tests with openssl are skipped, for their names. */
export const NO_OPENSSL: string = HAS_OPENSSL ? "" : " (skipped: no openssl command here)";

/**
 * Runs openssl in a folder of its own.
 *
 * @param args Its arguments, with the names of the files
 * @param files Files for the folder, by name
 * @returns Output of the program
 * @throws With openssl's own words, when it fails
 */
export function openssl(
  args: readonly string[],
  files: Readonly<Record<string, Uint8Array | string>>,
): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return execFileSync("openssl", [...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error((error as { stderr?: Uint8Array }).stderr?.toString() ?? String(error));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
