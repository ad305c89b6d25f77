import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { ROOT } from "../support/documents.ts";

const COMMAND = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "-A", "--unstable-vsock"] : [];

/**
 * Runs an example on the runtime that runs this, as a reader does.
 *
 * @param path Path from the root
 * @returns Lines of its output
 * @throws When it ends with another code than 0
 */
export async function runExample(path: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...COMMAND, path], { cwd: ROOT });
  return stdout.trimEnd().split("\n");
}
