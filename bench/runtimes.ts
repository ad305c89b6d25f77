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
 * @param runtime Which
 * @param script Beside this file
 * @param args For the script
 * @param flags For the runtime
 * @returns A command line
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
