import type { Arguments } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";

/** One flag of a command. Help, parsing and completion are made of it. */
export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What its value is, in capitals; a flag without is a switch. */
  readonly value?: string;
  /** Every value there is, where they are few. */
  readonly choices?: readonly string[];
  /** Whether the value is the path of a file, for completion. */
  readonly isFile?: boolean;
  /** Whether it may be given several times. */
  readonly isMany?: boolean;
  /** Whether the value is a secret, which other processes could read. */
  readonly isSecret?: boolean;
  /** A few words. */
  readonly help: string;
}

/** One command. */
export interface Command {
  /** One or two words: `decrypt`, `policy check`. */
  readonly name: string;
  /** What it does, in a few words. */
  readonly summary: string;
  /** What follows the flags, in capitals; undefined: nothing may. */
  readonly argument?: { readonly name: string; readonly choices?: readonly string[] };
  /** In the order of the help. */
  readonly flags: readonly Flag[];
  /** What follows `enclave-kms` in the help's example. */
  readonly example: string;
  /** Lines below the flags in the help. */
  readonly notes?: readonly string[];
  /** Loads what runs it, and nothing before that: what calls C is not loaded to print a help text. */
  load(): Promise<Run>;
}

/**
 * Runs a command.
 *
 * @returns The exit code
 * @throws Anything; whoever runs it says so in words
 */
export type Run = (args: Arguments, terminal: Terminal) => Promise<number>;

/** The user's mistake: a flag that is missing, unknown or malformed. Its message holds no value. */
export class UsageError extends Error {
  /** @param message Which flag, and what was expected */
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/**
 * A value that was given and is malformed. For `decrypt`, `genkey` and `genrandom` it ends with 255, as it does for
 * kmstool_enclave_cli, whose usage errors are of the flags themselves.
 */
export class MalformedValueError extends UsageError {}

/** The command did what it should, and what it had to write could not be written. */
export class OutputLostError extends Error {
  /** @param reason The system's name of the error */
  constructor(reason: string) {
    super(`Cannot write the output: ${reason}; what there is of it may be incomplete`);
    this.name = "OutputLostError";
  }
}

/** There on every command. */
export const HELP_FLAG: Flag = { name: "help", short: "h", help: "Show this text" };

/** In place of a command. */
export const VERSION_FLAG: Flag = { name: "version", short: "V", help: "Print the version" };
