import { toHex } from "../lib/core/bytes.ts";
import { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { Arguments } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import { readFile } from "./values.ts";
import { refuseExisting } from "./write_whole.ts";

/**
 * Reads what a command works on: the file of `--in`, or standard input.
 *
 * @param args Flags of the command
 * @param terminal Has standard input
 * @returns All bytes, at most 1 MiB; they are wiped on dispose
 * @throws {UsageError} When there is nothing, or the file cannot be read
 */
export async function readIn(args: Arguments, terminal: Terminal): Promise<SecretBytes> {
  const path = args.get("in") ?? "-";
  const bytes = path === "-" ? await terminal.readInput() : readFile("in", path);
  const secret = new SecretBytes(bytes as Uint8Array<ArrayBuffer>);
  if (secret.length > 0) return secret;
  throw new UsageError("--in must be a file that is not empty, or standard input must have something");
}

/**
 * Reads `--out`, and refuses files that are there unless `--force` is given.
 *
 * @param args Flags of the command
 * @param pathsOf Files that will be written. Default: the one of the flag
 * @returns The value of the flag
 * @throws {UsageError} When it is missing, or a file is there
 */
export function requireOut(
  args: Arguments,
  pathsOf: (out: string) => readonly string[] = (out) => [out],
): string {
  const out = args.require("out");
  if (out === "") throw new UsageError("--out must be a file");
  if (!args.has("force")) refuseExisting(pathsOf(out));
  return out;
}

/**
 * Prints the results of a command, for a reader or as JSON.
 *
 * @param args Flags of the command
 * @param terminal Gets the output
 * @param results Names and values, none of them a secret
 */
export async function printResults(
  args: Arguments,
  terminal: Terminal,
  results: Readonly<Record<string, string | readonly string[] | undefined>>,
): Promise<void> {
  if (args.has("json")) return await terminal.write(`${JSON.stringify(results)}\n`);
  const lines = Object.entries(results).flatMap(([name, value]) =>
    [value ?? []].flat().map((one) => `${name}: ${one}\n`)
  );
  await terminal.write(lines.join(""));
}

/** Computes SHA-256, in hex. */
export async function sha256Of(bytes: Uint8Array): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)));
}
