import { fileURLToPath } from "node:url";

/** The runtimes that are measured. */
export const RUNTIMES = ["Node", "Deno"] as const;

/** One of {@link RUNTIMES}. */
export type Runtime = (typeof RUNTIMES)[number];

const COMMANDS: Readonly<Record<Runtime, readonly string[]>> = {
  Node: ["node"],
  Deno: ["deno", "run", "--quiet", "--no-prompt", "--allow-all", "--unstable-vsock"],
};

/** The runtime that runs this. */
export const OWN_RUNTIME: Runtime = "Deno" in globalThis ? "Deno" : "Node";

/**
 * Makes a command line.
 *
 * @param runtime Runtime of the process
 * @param script Path of the script, relative to this folder or absolute
 * @param args Arguments of the script
 * @param flags Flags of the runtime
 */
export function commandOf(
  runtime: Runtime,
  script: string,
  args: readonly string[] = [],
  flags: readonly string[] = [],
): string[] {
  const path = script.startsWith("/") ? script : fileURLToPath(new URL(script, import.meta.url));
  return [...COMMANDS[runtime], ...flags, path, ...args];
}
