import { didYouMean } from "../lib/core/did_you_mean.ts";
import { type Arguments, parseArguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { HELP_FLAG, VERSION_FLAG } from "./flags.ts";
import { OutputLostError, UsageError } from "./usage_error.ts";
import { EXIT } from "./exit_codes.ts";
import { describeFailure, exitCodeOf } from "./failure.ts";
import { exitCodesHelp, helpOf, overview } from "./help.ts";
import type { Terminal } from "./terminal.ts";
import { VERSION } from "../lib/core/version.ts";

/**
 * Runs one command line.
 *
 * @param words Words after the program's name
 * @param terminal Terminal for the output
 * @param commands Commands to choose from
 * @returns The exit code; never throws
 */
export async function run(
  words: readonly string[],
  terminal: Terminal,
  commands: readonly Command[],
): Promise<number> {
  const command = findCommand(words, commands);
  const code = command === undefined
    ? await runNone(words, terminal, commands)
    : await runCommand(command, words, terminal);
  // A failure stays what it is; a success whose output got lost is none.
  if (code !== EXIT.ok || terminal.lostOutput === undefined) return code;
  const prefix = ["enclave-kms", ...command === undefined ? [] : [command.name]].join(" ");
  const lost = new OutputLostError(terminal.lostOutput);
  for (const line of describeFailure(prefix, lost)) terminal.note(line);
  return EXIT.outputLost;
}

async function runCommand(command: Command, words: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const args: Arguments = parseArguments(command, words.slice(command.name.split(" ").length));
    if (args.has("help")) {
      await terminal.report(helpOf(command));
      return EXIT.ok;
    }
    const [complete, simulated] = args.inSimulation((name) => terminal.env(name));
    if (simulated.length > 0) {
      const flags = simulated.map((name) => `--${name}`).join(", ");
      terminal.note(`simulation: ENV_SETUP is SIM, and the environment stands for ${flags}`);
    }
    const execute = await command.load();
    return await execute(complete, terminal);
  } catch (error) {
    for (const line of describeFailure(`enclave-kms ${command.name}`, error)) terminal.note(line);
    if (error instanceof UsageError) terminal.note(`Try: enclave-kms ${command.name} --help`);
    return exitCodeOf(command, error);
  }
}

function findCommand(words: readonly string[], commands: readonly Command[]): Command | undefined {
  return commands.find(({ name }) => name.split(" ").every((word, index) => words[index] === word));
}

/** Handles words that name no known command: version, help, or a list of the commands. */
async function runNone(
  words: readonly string[],
  terminal: Terminal,
  commands: readonly Command[],
): Promise<number> {
  const [first, second] = words;
  if (first === `--${VERSION_FLAG.name}` || first === `-${VERSION_FLAG.short}`) {
    await terminal.report(`enclave-kms ${VERSION}\n`);
    return EXIT.ok;
  }
  if ([first, second].some(isHelp) || first === "help") {
    if (first === "help" && second === "exit-codes") {
      await terminal.report(exitCodesHelp());
      return EXIT.ok;
    }
    const command = first === "help" ? findCommand(words.slice(1), commands) : undefined;
    await terminal.report(command === undefined ? overview(commands) : helpOf(command));
    return EXIT.ok;
  }
  terminal.note(`enclave-kms: ${expectation(words, commands)}`);
  terminal.note("Try: enclave-kms --help");
  return EXIT.usage;
}

function isHelp(word: string | undefined): boolean {
  return word === `--${HELP_FLAG.name}` || word === `-${HELP_FLAG.short}`;
}

/** Names the expected commands. It does not repeat the given word, which may be a secret. */
function expectation(
  [first = "", second = ""]: readonly string[],
  commands: readonly Command[],
): string {
  const names = commands.map(({ name }) => name);
  const single = names.map((name) => name.split(" ")[0] ?? "");
  const family = names.filter((name) => name.startsWith(`${first} `));
  const expected = `expected a command: ${(family.length > 0 ? family : names).join(", ")}`;
  const meant = didYouMean(`${first} ${second}`, names.filter((name) => name.includes(" "))) ??
    didYouMean(first, single);
  return meant === undefined || meant === first ? expected : `${expected}; is ${meant} meant?`;
}
