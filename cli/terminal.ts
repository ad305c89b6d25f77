import { Buffer } from "node:buffer";
import process from "node:process";
import { isatty } from "node:tty";
import { STDERR, STDOUT, tryWriteAll, writeAll } from "../lib/core/write_all.ts";
import { reasonOf } from "./reason.ts";

/** Style of text. */
export type Style = "good" | "bad" | "odd" | "dim" | "strong";

/** Output and environment of the process, as a command sees them. */
export interface Terminal {
  /** Reads a variable; undefined when it is not set, is empty, or may not be read. */
  env(name: string): string | undefined;
  /**
   * Writes the result of a command to standard output and resolves when the system has taken it. Never
   * rejects: a failure is kept in {@link lostOutput}, and nothing more is written.
   *
   * @param data Text, or bytes. Bytes are not kept
   */
  write(data: string | Uint8Array): Promise<void>;
  /**
   * Writes text for a reader. A closed pipe does not count as {@link lostOutput}: the reader may have seen
   * enough, and the exit code holds the result.
   *
   * @param text The text
   */
  report(text: string): Promise<void>;
  /** System's name of the error that lost output, such as `ENOSPC`. Undefined when none was lost. */
  readonly lostOutput: string | undefined;
  /** Writes a line to standard error where possible, escaped by {@link oneLine}. */
  note(line: string): void;
  /** Colours text where standard output is a terminal that wants it. */
  paint(style: Style, text: string): string;
  /**
   * Shows on standard error what the command waits for, after a second of waiting.
   *
   * @param what Text, such as `waiting for KMS`
   * @returns Ends the display when disposed. Any other output ends it as well
   */
  progress(what: string): Disposable;
  /** Reads all of standard input, at most 1 MiB. */
  readInput(): Promise<Uint8Array>;
}

/** Time before progress is shown, in milliseconds. */
export const PROGRESS_AFTER_MS = 1000;

/** Longest standard input that is read, in bytes. */
export const MAX_INPUT_BYTES = 1 << 20;

/** Part of a stream that decides on colour. */
export interface Output {
  readonly isTTY?: boolean | undefined;
}

/**
 * Tells whether to colour output.
 *
 * @param output Stream that gets the output
 * @param env Reads a variable
 * @see https://no-color.org
 */
export function wantsColour(output: Output, env: (name: string) => string | undefined): boolean {
  return output.isTTY === true && env("NO_COLOR") === undefined && env("TERM") !== "dumb";
}

/**
 * Colours text with ECMA-48 sequences.
 *
 * @param style Style of the text
 * @param text The text
 */
export function colour(style: Style, text: string): string {
  return `\x1b[${SEQUENCES[style]}m${text}\x1b[0m`;
}

/**
 * Makes text safe for one line of a terminal: the names and contents of files may come from somebody else.
 *
 * @param text Any
 * @returns The text with control characters and direction marks escaped
 */
export function oneLine(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

const SEQUENCES: Readonly<Record<Style, string>> = {
  good: "32",
  bad: "31",
  odd: "33",
  dim: "2",
  strong: "1",
};

/** Terminal of this process. */
export class ProcessTerminal implements Terminal {
  readonly #coloured: boolean;
  #progress: Disposable | undefined;
  #lostOutput: string | undefined;

  /** Decides on colour once. */
  constructor() {
    this.#coloured = wantsColour({ isTTY: isatty(STDOUT) }, (name) => this.env(name));
  }

  /** See {@link Terminal.lostOutput}. */
  get lostOutput(): string | undefined {
    return this.#lostOutput;
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
    if (this.#lostOutput !== undefined) return;
    this.#lostOutput = await this.#failureToWrite(data);
  }

  /** See {@link Terminal.report}. */
  async report(text: string): Promise<void> {
    const failure = await this.#failureToWrite(text);
    if (failure !== "EPIPE") this.#lostOutput ??= failure;
  }

  /** See {@link Terminal.note}. */
  note(line: string): void {
    this.#endProgress();
    tryWriteAll(STDERR, `${oneLine(line)}\n`);
  }

  async #failureToWrite(data: string | Uint8Array): Promise<string | undefined> {
    this.#endProgress();
    try {
      await writeAll(STDOUT, data);
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  /** See {@link Terminal.paint}. */
  paint(style: Style, text: string): string {
    return this.#coloured ? colour(style, text) : text;
  }

  /** See {@link Terminal.progress}. */
  progress(what: string): Disposable {
    return this.#progress = showProgress(what, isatty(STDERR));
  }

  /** Ends the progress line: standard output and standard error may be the same terminal. */
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

/** Shows one line that counts the seconds on a terminal; elsewhere prints one line once. */
function showProgress(what: string, isTerminal: boolean): Disposable {
  const begun = performance.now();
  let shown = false;
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - begun) / 1000);
    if (isTerminal) tryWriteAll(STDERR, `\r${what} (${seconds} s) `);
    else if (!shown) tryWriteAll(STDERR, `${what}\n`);
    shown = true;
  }, PROGRESS_AFTER_MS);
  timer.unref?.();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      if (shown && isTerminal) tryWriteAll(STDERR, "\r\x1b[K");
      shown = false;
    },
  };
}
