import type { Command, Run } from "../command.ts";
import { type Flag, HELP_FLAG, VERSION_FLAG } from "../flags.ts";
import { EXIT } from "../exit_codes.ts";

/**
 * Makes the command `completions`: it prints a script that completes commands, flags and their values.
 *
 * @param commands Every command, in the order of the overview
 */
export function completionsOf(commands: readonly Command[]): Run {
  return async (args, terminal) => {
    const script = SCRIPTS[args.argument ?? ""];
    if (script !== undefined) await terminal.write(script(commands));
    return EXIT.ok;
  };
}

/** Flags that stand in place of a command. */
const GLOBAL_FLAGS: readonly Flag[] = [HELP_FLAG, VERSION_FLAG];

const SCRIPTS: Readonly<Record<string, (commands: readonly Command[]) => string>> = { bash, zsh, fish };

function bash(commands: readonly Command[]): string {
  return `# bash completion of enclave-kms
_enclave_kms() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="" command="\${COMP_WORDS[1]}" first=2
  ((COMP_CWORD > 0)) && previous="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    local first_words="${words(firstWords(commands))}"
    [[ "$current" == -* ]] && first_words="${words(GLOBAL_FLAGS.map(longOf))}"
    mapfile -t COMPREPLY < <(compgen -W "$first_words" -- "$current")
    return
  fi
  case "$command" in
${families(commands).map(bashFamily).join("")}  esac
  local flags="" arguments="" values=""
  case "$command" in
${commands.map(bashCommand).join("")}  esac
  case "$values" in
    "") ;;
    FILE) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    ANY) return ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current"); return ;;
  esac
  if [[ "$current" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
  elif [[ "$arguments" == FILE ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$arguments" -- "$current")
  fi
}
complete -F _enclave_kms enclave-kms
`;
}

function bashFamily([family, members]: readonly [string, readonly string[]]): string {
  return `    ${family})
      if ((COMP_CWORD == 2)); then
        mapfile -t COMPREPLY < <(compgen -W "${words(members)}" -- "$current")
        return
      fi
      command="$command \${COMP_WORDS[2]}" ;;
`;
}

function bashCommand({ name, flags, argument }: Command): string {
  const all = [...flags, HELP_FLAG];
  const valued = all.filter(({ value }) => value !== undefined)
    .map((flag) => `        ${spellings(flag).join("|")}) values="${valuesOf(flag)}" ;;\n`);
  return `    ${JSON.stringify(name)})
      flags="${words(all.map((flag) => `--${flag.name}`))}"
      arguments="${argumentsOf(argument)}"
      case "$previous" in
${valued.join("")}        *) ;;
      esac ;;
`;
}

function zsh(commands: readonly Command[]): string {
  return `#compdef enclave-kms
_enclave_kms() {
  if (( CURRENT == 2 )); then
    compadd -- ${words(firstWords(commands))}
    [[ "$words[2]" == -* ]] && compadd -- ${words(GLOBAL_FLAGS.map(longOf))}
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT -= 1 ))
  case "$command" in
${families(commands).map(zshFamily).join("")}  esac
  case "$command" in
${commands.map(zshCommand).join("")}  esac
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _enclave_kms enclave-kms
`;
}

function zshFamily([family, members]: readonly [string, readonly string[]]): string {
  return `    ${family})
      if (( CURRENT == 2 )); then
        compadd -- ${words(members)}
        return
      fi
      command="$command $words[2]"
      shift words
      (( CURRENT -= 1 )) ;;
`;
}

function zshCommand({ name, flags, argument }: Command): string {
  const specs = [...flags, HELP_FLAG].flatMap((flag) =>
    spellings(flag).map((spelling) => `      ${quote(zshFlag(flag, spelling))}`)
  );
  const values = argument?.choices === undefined ? "_files" : `(${words(argument.choices)})`;
  const rest = argument === undefined ? [] : [`      '1:${argument.name}:${values}'`];
  return `    ${JSON.stringify(name)}) _arguments \\\n${[...specs, ...rest].join(" \\\n")} ;;\n`;
}

function zshFlag({ help, value, choices, isFile, isMany }: Flag, spelling: string): string {
  const described = `${isMany ? "*" : ""}${spelling}[${help.replaceAll(/[[\]:\\]/g, "\\$&")}]`;
  if (value === undefined) return described;
  const action = choices === undefined ? isFile ? "_files" : "" : `(${words(choices)})`;
  return `${described}:${value}:${action}`;
}

function fish(commands: readonly Command[]): string {
  const lines = ["# fish completion of enclave-kms", "complete -c enclave-kms -f"];
  for (const { name, summary } of commands) {
    const [first = "", second] = name.split(" ");
    const condition = second === undefined
      ? "__fish_use_subcommand"
      : `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${second}`;
    lines.push(`complete -c enclave-kms -n ${quote(condition)} -a ${second ?? first} -d ${quote(summary)}`);
  }
  for (const [family] of families(commands)) {
    lines.push(`complete -c enclave-kms -n __fish_use_subcommand -a ${family}`);
  }
  for (const { name, short, help } of GLOBAL_FLAGS) {
    lines.push(
      `complete -c enclave-kms -n __fish_use_subcommand -l ${name} -s ${short} -d ${quote(help)}`,
    );
  }
  for (const command of commands) lines.push(...fishFlags(command));
  return `${lines.join("\n")}\n`;
}

function fishFlags({ name, flags, argument }: Command): readonly string[] {
  const condition = quote(
    name.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`).join("; and "),
  );
  const begin = `complete -c enclave-kms -n ${condition}`;
  const values = argument?.choices === undefined
    ? argument === undefined ? [] : [`${begin} -F`]
    : [`${begin} -a ${quote(words(argument.choices))}`];
  return [
    ...values,
    ...[...flags, HELP_FLAG].map((flag) => {
      const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
      const choices = flag.choices === undefined ? "" : ` -a ${quote(words(flag.choices))}`;
      const value = flag.value === undefined ? "" : flag.isFile ? " -r -F" : " -x";
      return `${begin} -l ${flag.name}${short}${value}${choices} -d ${quote(flag.help)}`;
    }),
  ];
}

/** Groups the commands of two words by the first word. */
function families(commands: readonly Command[]): readonly (readonly [string, readonly string[]])[] {
  const found = new Map<string, string[]>();
  for (const { name } of commands) {
    const [first = "", second] = name.split(" ");
    if (second !== undefined) found.set(first, [...found.get(first) ?? [], second]);
  }
  return [...found];
}

function firstWords(commands: readonly Command[]): readonly string[] {
  return [...new Set(commands.map(({ name }) => name.split(" ")[0] ?? ""))];
}

function longOf({ name }: Flag): string {
  return `--${name}`;
}

function spellings({ name, short }: Flag): readonly string[] {
  return [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
}

function valuesOf({ choices, isFile }: Flag): string {
  return choices === undefined ? isFile ? "FILE" : "ANY" : words(choices);
}

function argumentsOf(argument: Command["argument"]): string {
  if (argument === undefined) return "";
  return argument.choices === undefined ? "FILE" : words(argument.choices);
}

function words(list: readonly string[]): string {
  return list.join(" ");
}

/**
 * Quotes text for fish and zsh. Both let a single quote end the quoting, stand between double quotes, and
 * begin it again.
 */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}
