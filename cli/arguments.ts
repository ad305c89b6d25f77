import { parseArgs } from "node:util";
import { didYouMean } from "../lib/core/did_you_mean.ts";
import { type Flag, HELP_FLAG } from "./flags.ts";
import { UsageError } from "./usage_error.ts";

/** Words that a command takes. */
export interface CommandSyntax {
  /** One or two words: `decrypt`, `policy check`. */
  readonly name: string;
  /** Argument after the flags, named in capitals. Undefined when the command takes none. */
  readonly argument?: {
    readonly name: string;
    readonly choices?: readonly string[];
    /** Whether it may be left out. */
    readonly isOptional?: boolean;
  };
  /** Flags in the order of the help. */
  readonly flags: readonly Flag[];
}

/** Flags and argument that a command was given, by their names in its table. */
export class Arguments {
  readonly #command: CommandSyntax;
  readonly #values: ReadonlyMap<string, readonly string[]>;
  /** Word after the flags. */
  readonly argument: string | undefined;

  /**
   * @param command The command they were given to
   * @param values Values of each flag, by its name
   * @param argument The word after the flags
   */
  constructor(command: CommandSyntax, values: ReadonlyMap<string, readonly string[]>, argument?: string) {
    this.#command = command;
    this.#values = values;
    this.argument = argument;
  }

  /** Tells whether a switch was given. */
  has(name: string): boolean {
    return this.all(name).length > 0;
  }

  /** Reads the last value of a flag; undefined when it was not given. */
  get(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /**
   * Reads a flag that must be given.
   *
   * @throws {UsageError} When it was not given
   */
  require(name: string): string {
    const value = this.get(name);
    if (value === undefined) throw new UsageError(`--${name} must be set`);
    return value;
  }

  /** Reads all values of a flag, in order. */
  all(name: string): readonly string[] {
    if (![...this.#command.flags, HELP_FLAG].some((flag) => flag.name === name)) {
      throw new Error(`${this.#command.name} has no flag ${name}`);
    }
    return this.#values.get(name) ?? [];
  }

  /**
   * Fills in the places of a simulator, where the environment says that there is one (`ENV_SETUP` is `SIM`).
   *
   * @param env Reads a variable
   * @returns The completed arguments, and the names of the flags that were filled in. A flag that was given stays
   */
  inSimulation(env: (name: string) => string | undefined): readonly [Arguments, readonly string[]] {
    if (env("ENV_SETUP") !== "SIM") return [this, []];
    const filled = this.#command.flags.flatMap(({ name, simulated }) => {
      const value = simulated === undefined ? undefined : env(simulated);
      // They name a place of KMS each.
      const isOpen = name !== "endpoint" || !this.#values.has("proxy-port");
      return value === undefined || this.#values.has(name) || !isOpen ? [] : [[name, [value]] as const];
    });
    const values = new Map([...this.#values, ...filled]);
    return [new Arguments(this.#command, values, this.argument), filled.map(([name]) => name)];
  }

  /** Names of the flags that were given and hold a secret. */
  get secretsGiven(): readonly string[] {
    return this.#command.flags.filter(({ name, isSecret }) => isSecret === true && this.#values.has(name))
      .map(({ name }) => name);
  }
}

/**
 * Reads the words after a command's name.
 *
 * @param command The command they belong to
 * @param words Words as the shell gave them
 * @throws {UsageError} Names the flag and the values it takes; never the given value, which may be a secret
 */
export function parseArguments(command: CommandSyntax, words: readonly string[]): Arguments {
  const flags = [...command.flags, HELP_FLAG];
  const { tokens } = parseArgs({
    args: [...words],
    options: Object.fromEntries(
      flags.flatMap((flag) => spellingsOf(flag).map((name) => [name, optionOf(flag, name)])),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const loose: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") loose.push(token.value);
    if (token.kind !== "option") continue;
    const flag = flags.find((flag) => spellingsOf(flag).includes(token.name));
    if (flag === undefined) throw unknownFlag(command, token.rawName);
    const index = token.name.slice(flag.name.length);
    const value = `${index === "" ? "" : `${index}=`}${checkValue(flag, token.value)}`;
    values.set(flag.name, flag.isMany ? [...values.get(flag.name) ?? [], value] : [value]);
  }
  return new Arguments(command, values, checkArgument(command, loose, values.has(HELP_FLAG.name)));
}

/** Lists the names of a flag: of one with registers, `pcr` and `pcr0` to `pcr31`. */
function spellingsOf({ name, isIndexed }: Flag): readonly string[] {
  return isIndexed === true ? [name, ...Array.from({ length: 32 }, (_, index) => `${name}${index}`)] : [name];
}

function optionOf(
  { name, value, short }: Flag,
  spelling: string,
): { type: "string" | "boolean"; short?: string; multiple: true } {
  return {
    type: value === undefined ? "boolean" : "string",
    ...(short === undefined || spelling !== name ? {} : { short }),
    multiple: true,
  };
}

function checkValue({ name, value: expected, choices }: Flag, value: string | undefined): string {
  if (expected === undefined) {
    if (value !== undefined) throw new UsageError(`--${name} takes no value`);
    return "";
  }
  if (value === undefined) {
    throw new UsageError(`--${name} needs a value: ${choices?.join(", ") ?? expected}`);
  }
  if (choices === undefined || choices.includes(value)) return value;
  throw new UsageError(`--${name} must be one of ${choices.join(", ")}`);
}

function checkArgument(
  command: CommandSyntax,
  loose: readonly string[],
  isHelp: boolean,
): string | undefined {
  const { argument } = command;
  if (argument === undefined) {
    if (loose.length === 0) return undefined;
    throw new UsageError("Only flags are expected: there is a word without one");
  }
  if (loose.length > 1) throw new UsageError(`One ${argument.name} is expected, and not ${loose.length}`);
  const [value] = loose;
  if (value === undefined && !isHelp && argument.isOptional !== true) {
    throw new UsageError(`A ${argument.name} is expected`);
  }
  if (value === undefined || argument.choices?.includes(value) !== false) return value;
  throw new UsageError(`${argument.name} must be one of ${argument.choices.join(", ")}`);
}

/** Repeats an unknown flag only when it looks like one: it may be a misplaced value. */
function unknownFlag(command: CommandSyntax, rawName: string): UsageError {
  const shown = /^-(?:[a-zA-Z]|-[a-z][a-z-]{0,30})$/.test(rawName) ? ` ${rawName}` : " of that name";
  const close = didYouMean(rawName.replace(/^-+/, ""), [...command.flags, HELP_FLAG].map(({ name }) => name));
  const meant = close === undefined ? "" : `; is --${close} meant?`;
  return new UsageError(`There is no flag${shown}${meant}`);
}
