import type { Command } from "./command.ts";
import { describeAttestationExits } from "./exit_codes.ts";
import { type Flag, HELP_FLAG } from "./flags.ts";

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

/** Makes the table of `help exit-codes`: those of `verify` and `attest`, on one screen. */
export function exitCodesHelp(): string {
  return toText([
    "enclave-kms: exit codes of verify and attest",
    "",
    "  0 verified, or written; 1 usage; 2 no answer, or TLS that ends elsewhere",
    "By the check that failed:",
    ...describeAttestationExits(),
    "",
    "docs/troubleshooting.md says what each means, and what to do.",
  ]);
}

/** Subjects of the commands of two words, by their first. */
const SUBJECTS: Readonly<Record<string, string>> = {
  policy: "Cedar policies of the enclave",
  secret: "secrets that arrive at boot",
  image: "images",
  "key-policy": "policies of KMS keys",
  init: "new projects",
};

/**
 * Makes the overview of all commands, on one screen.
 *
 * @param commands The whole table
 */
export function overview(commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }) => {
    const [first = name, second] = name.split(" ");
    return second === undefined ? [name, summary] as const : [first, familyOf(first, commands)] as const;
  });
  const summaries = new Map(rows);
  const width = Math.max(...[...summaries.keys()].map(({ length }) => length));
  return toText([
    "enclave-kms: AWS KMS and attestation from inside a Nitro Enclave",
    "",
    ...[...summaries].map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "`enclave-kms COMMAND --help` shows a command's flags, --version the version.",
    "decrypt, genkey and genrandom have the flags and output of kmstool_enclave_cli.",
    "Secrets do not belong in flags: every process can read another's command line.",
    "Use AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the flags that end in -file.",
  ]);
}

/** Lists the second words of commands with the same first one, and their subject. */
function familyOf(first: string, commands: readonly Command[]): string {
  const seconds = commands.map(({ name }) => name.split(" ")).filter(([one]) => one === first).map((
    [, two],
  ) => two);
  return `${seconds.join(", ")}: ${SUBJECTS[first]}`;
}

function usageOf({ argument, flags }: Command): string {
  const { name, choices, isOptional } = argument ?? {};
  const words = choices?.join("|") ?? name;
  const shown = words === undefined ? "" : isOptional === true ? ` [${words}]` : ` ${words}`;
  return `${flags.length > 0 ? " [FLAGS]" : ""}${shown}`;
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
