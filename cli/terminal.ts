import { Buffer } from "node:buffer";
import process from "node:process";

/** How text may look. */
export type Style = "good" | "bad" | "odd" | "dim" | "strong";

/** What a command sees of the process: its output and its environment. */
export interface Terminal {
  /** A variable; undefined when it is not set, is empty, or may not be read. */
  env(name: string): string | undefined;
  /**
   * Writes to standard output; resolves once it is out of our hands.
   *
   * @param data Text, or bytes, which are not kept
   */
  write(data: string | Uint8Array): Promise<void>;
  /** Writes a line to standard error. */
  note(line: string): void;
  /** Colours text where standard output is a terminal that wants it. */
  paint(style: Style, text: string): string;
  /**
   * Says on standard error what is waited for, once it has taken a second.
   *
   * @param what Such as `waiting for KMS`
   * @returns What ends it; whatever is written ends it, too
   */
  progress(what: string): Disposable;
  /** Everything on standard input, at most 1 MiB. */
  readInput(): Promise<Uint8Array>;
}

/** What is waited for is said after this time, in milliseconds. */
export const PROGRESS_AFTER_MS = 1000;

/** The longest standard input that is read, in bytes. */
export const MAX_INPUT_BYTES = 1 << 20;

/** The part of a stream that decides on colour. */
export interface Output {
  readonly isTTY?: boolean | undefined;
}

/**
 * @param output Where to
 * @param env Reads a variable
 * @returns Whether to colour
 * @see https://no-color.org
 */
export function wantsColour(output: Output, env: (name: string) => string | undefined): boolean {
  return output.isTTY === true && env("NO_COLOR") === undefined && env("TERM") !== "dumb";
}

/**
 * @param style How
 * @param text What
 * @returns The text between ECMA-48 sequences
 */
export function colour(style: Style, text: string): string {
  return `\x1b[${SEQUENCES[style]}m${text}\x1b[0m`;
}

const SEQUENCES: Readonly<Record<Style, string>> = {
  good: "32",
  bad: "31",
  odd: "33",
  dim: "2",
  strong: "1",
};

/** This process's own. */
export class ProcessTerminal implements Terminal {
  readonly #coloured: boolean;
  #progress: Disposable | undefined;

  /** Decides on colour once. */
  constructor() {
    this.#coloured = wantsColour(process.stdout, (name) => this.env(name));
    // Whoever read our output may have seen enough.
    process.stdout.on("error", () => process.exit(0));
  }

  /** See {@link Terminal.env}. */
  env(name: string): string | undefined {
    try {
      return process.env[name] || undefined;
    } catch {
      return undefined; // Deno, without --allow-env
    }
  }

  /** See {@link Terminal.write}. */
  async write(data: string | Uint8Array): Promise<void> {
    this.#endProgress();
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(data, (error) => error ? reject(error) : resolve());
    });
  }

  /** See {@link Terminal.note}. */
  note(line: string): void {
    this.#endProgress();
    process.stderr.write(`${line}\n`);
  }

  /** See {@link Terminal.paint}. */
  paint(style: Style, text: string): string {
    return this.#coloured ? colour(style, text) : text;
  }

  /** See {@link Terminal.progress}. */
  progress(what: string): Disposable {
    return this.#progress = showProgress(what, process.stderr);
  }

  /** Both may be the same terminal: what comes must not stand behind what was waited for. */
  #endProgress(): void {
    this.#progress?.[Symbol.dispose]();
    this.#progress = undefined;
  }

  /** See {@link Terminal.readInput}. */
  async readInput(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > MAX_INPUT_BYTES) {
        throw new RangeError(`Standard input has more than ${MAX_INPUT_BYTES} bytes`);
      }
      chunks.push(chunk);
    }
    const all = Buffer.concat(chunks);
    for (const chunk of chunks) chunk.fill(0);
    return all;
  }
}

/** On a terminal one line that counts; elsewhere one line, once. */
function showProgress(what: string, output: Output & { write(text: string): unknown }): Disposable {
  const begun = performance.now();
  let shown = false;
  const timer = setInterval(() => {
    if (output.isTTY) output.write(`\r${what} (${Math.round((performance.now() - begun) / 1000)} s) `);
    else if (!shown) output.write(`${what}\n`);
    shown = true;
  }, PROGRESS_AFTER_MS);
  timer.unref?.();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      if (shown && output.isTTY) output.write("\r\x1b[K");
      shown = false;
    },
  };
}
