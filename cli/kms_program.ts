import { KMS_COMMANDS } from "./kms_commands.ts";
import { run } from "./run.ts";
import { ProcessTerminal } from "./terminal.ts";

/**
 * Runs one command line of this process whose command is among {@link KMS_COMMANDS}. The npm package has this file,
 * with everything that it imports, as one file for Node.js: finding sixty files takes longer than running them.
 *
 * @param words Words after the program's name, the command first
 * @returns The exit code; never throws
 */
export function runProgram(words: readonly string[]): Promise<number> {
  return run(words, new ProcessTerminal(), KMS_COMMANDS);
}
