import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Tells why processes cannot be pinned to cores here; undefined when they can. */
export async function missingPinning(): Promise<string | undefined> {
  if (availableParallelism() < 2) return "not measured: there is one core only";
  return await run("taskset", ["--version"]).then(() => undefined, () => {
    return "not measured: taskset is not installed";
  });
}

/**
 * Makes a command line whose process, with all its threads, runs on some cores only.
 *
 * @param cores Numbers of the cores, from 0
 * @param command Program and arguments
 */
export function pinned(cores: readonly number[], command: readonly string[]): string[] {
  return ["taskset", "-c", cores.join(","), ...command];
}

/**
 * Moves a running process, with all its threads, to some cores.
 *
 * @param pid Process id
 * @param cores Numbers of the cores, from 0
 */
export async function pin(pid: number, cores: readonly number[]): Promise<void> {
  await run("taskset", ["-a", "-c", "-p", cores.join(","), String(pid)]);
}
