import type { Command } from "./command.ts";
import { type Flag, HELP_FLAG } from "./flags.ts";
import { COMMANDS } from "./command_table.ts";

/**
 * Makes the help of a command.
 *
 * @param command A command of the table
 * @returns At most 24 lines of at most 80 columns
 */
export function helpOf(command: Command): string {
  const flags = [...command.flags, HELP_FLAG];
  const labels = flags.map(labelOf);
  const width = Math.max(...labels.map(({ length }) => length));
  return toText([
    `enclave-kms ${command.name}${usageOf(command)}: ${command.summary}`,
    "",
    ...flags.map((flag, index) => `${labels[index]?.padEnd(width)}  ${helpWithChoices(flag)}`),
    ...command.notes ?? [],
    "",
    `Example: enclave-kms ${command.example}`,
  ]);
}

/** Makes the overview of all commands, on one screen. */
export function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return toText([
    "enclave-kms: AWS KMS and attestation from inside a Nitro Enclave",
    "",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "`enclave-kms COMMAND --help` shows a command's flags and an example, --version",
    "the version. decrypt, genkey and genrandom take kmstool_enclave_cli's flags,",
    "print what it prints and end as it ends.",
    "",
    "Secrets do not belong in flags: every process can read another's command line.",
    "Use AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the flags that end in -file.",
  ]);
}

function usageOf({ argument, flags }: Command): string {
  const { name, choices } = argument ?? {};
  return `${flags.length > 0 ? " [FLAGS]" : ""}${name === undefined ? "" : ` ${choices?.join("|") ?? name}`}`;
}

function labelOf({ name, short, value }: Flag): string {
  return `${short === undefined ? "   " : `-${short},`} --${name}${value === undefined ? "" : ` ${value}`}`;
}

function helpWithChoices({ help, choices }: Flag): string {
  return choices === undefined ? help : `${help}: ${choices.join(", ")}`;
}

function toText(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
