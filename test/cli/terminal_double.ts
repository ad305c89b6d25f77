import { COMMANDS } from "../../cli/command_table.ts";
import { run } from "../../cli/run.ts";
import type { Style, Terminal } from "../../cli/terminal.ts";

/** Keeps what a command writes. */
export class TerminalDouble implements Terminal {
  stdout = "";
  stderr = "";
  readonly lostOutput: undefined = undefined;
  readonly #env: Readonly<Record<string, string>>;
  readonly #input: Uint8Array;

  constructor(env: Readonly<Record<string, string>> = {}, input: Uint8Array | string = "") {
    this.#env = env;
    this.#input = typeof input === "string" ? new TextEncoder().encode(input) : input;
  }

  env(name: string): string | undefined {
    return this.#env[name];
  }

  write(data: string | Uint8Array): Promise<void> {
    this.stdout += typeof data === "string" ? data : new TextDecoder().decode(data);
    return Promise.resolve();
  }

  report(text: string): Promise<void> {
    return this.write(text);
  }

  note(line: string): void {
    this.stderr += `${line}\n`;
  }

  paint(_style: Style, text: string): string {
    return text;
  }

  progress(): Disposable {
    return { [Symbol.dispose]() {} };
  }

  readInput(): Promise<Uint8Array> {
    return Promise.resolve(this.#input);
  }
}

/** Exit code and output of a command line. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process. */
export async function runHere(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input: Uint8Array | string = "",
): Promise<Outcome> {
  const terminal = new TerminalDouble(env, input);
  const code = await run(words, terminal, COMMANDS);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}
