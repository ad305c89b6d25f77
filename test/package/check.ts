import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";

/** Why a check cannot be made on this machine. */
export class Skip extends Error {}

/** A runtime that the package is tried on. */
export interface Runtime {
  readonly name: string;
  /** Runs a script in the folder. */
  readonly command: readonly string[];
  readonly folder: string;
}

/** Flags with which npm installs the packages of the checks. */
export const NPM_FLAGS: readonly string[] = [
  "--prefer-offline",
  "--no-audit",
  "--no-fund",
  "--loglevel=error",
];

/** Number of failed checks. */
export let failures = 0;

/** Makes one check, and prints one line about it. */
export async function check(name: string, body: () => Promise<string | void>): Promise<void> {
  const begun = performance.now();
  try {
    const detail = await body();
    console.log(`ok    ${name}${detail ? `: ${detail}` : ""} (${seconds(begun)} s)`);
  } catch (error) {
    if (error instanceof Skip) return console.log(`skip  ${name}: ${error.message}`);
    failures++;
    console.log(`FAIL  ${name}\n${(error as Error).message}`);
  }
}

/**
 * Runs a program to its end.
 *
 * @returns Its standard output; that of errors when there is none
 * @throws {Error} With everything the program said
 */
export async function run(program: string, args: readonly string[], cwd = "."): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, {
      cwd,
      env: { ...process.env, NO_COLOR: "1" },
      timeout: TIMEOUT_MS,
      maxBuffer: 8 << 20,
    });
    return stdout === "" ? stderr : stdout;
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    throw new Error([message.split("\n", 1)[0], stdout, stderr].filter(Boolean).join("\n"));
  }
}

/** For a program that does not end; a busy machine takes a minute for what takes ten seconds. */
const TIMEOUT_MS = 240_000;

/** @returns The seconds since then, with one decimal */
export function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}
