import { type Arguments, parseArguments } from "./arguments.ts";
import { type Command, UsageError } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { EXIT } from "./exit_codes.ts";
import { describeFailure, exitCodeOf } from "./failure.ts";
import { helpOf, overview } from "./help.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Runs one command line.
 *
 * @param words After the program's name
 * @param terminal Where output goes
 * @returns The exit code; never throws
 */
export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const command = findCommand(words);
  if (command === undefined) return await runNone(words, terminal);
  try {
    const args: Arguments = parseArguments(command, words.slice(command.name.split(" ").length));
    if (args.has("help")) {
      await terminal.write(helpOf(command));
      return EXIT.ok;
    }
    const execute = await command.load();
    return await execute(args, terminal);
  } catch (error) {
    for (const line of describeFailure(`enclave-kms ${command.name}`, error)) terminal.note(line);
    if (error instanceof UsageError) terminal.note(`Try: enclave-kms ${command.name} --help`);
    return exitCodeOf(command, error);
  }
}

function findCommand(words: readonly string[]): Command | undefined {
  return COMMANDS.find(({ name }) => name.split(" ").every((word, index) => words[index] === word));
}

/** No command, or none that is known: what there is. */
async function runNone([first, second]: readonly string[], terminal: Terminal): Promise<number> {
  if ([first, second].some((word) => word === "--help" || word === "-h") || first === "help") {
    const command = findCommand([second ?? ""]);
    await terminal.write(command === undefined ? overview() : helpOf(command));
    return EXIT.ok;
  }
  const family = COMMANDS.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  const expected = (family.length > 0 ? family : COMMANDS.map(({ name }) => name)).join(", ");
  terminal.note(`enclave-kms: expected a command: ${expected}`);
  terminal.note("Try: enclave-kms --help");
  return EXIT.usage;
}
