import { COMMANDS } from "./command_table.ts";
import { run } from "./run.ts";
import { ProcessTerminal } from "./terminal.ts";

/**
 * Runs one command line of this process, whatever its command.
 *
 * @param words Words after the program's name
 * @returns The exit code; never throws
 */
export function runProgram(words: readonly string[]): Promise<number> {
  return run(words, new ProcessTerminal(), COMMANDS);
}
