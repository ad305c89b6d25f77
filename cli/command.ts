import type { Arguments, CommandSyntax } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";

/** One command of the command line. */
export interface Command extends CommandSyntax {
  /** Effect of the command in a few words. */
  readonly summary: string;
  /** Words after `enclave-kms` in the example of the help. */
  readonly example: string;
  /** Lines below the flags in the help. */
  readonly notes?: readonly string[];
  /**
   * Loads the code that runs the command. Nothing loads it earlier: a help text must not load the code that
   * calls C.
   */
  load(): Promise<Run>;
}

/**
 * Runs a command.
 *
 * @returns The exit code
 * @throws Anything; the caller reports it in words
 */
export type Run = (args: Arguments, terminal: Terminal) => Promise<number>;
