import { type Logger as PinoLogger, pino } from "pino";
import { STDOUT, tryWriteAll } from "../../lib/core/write_all.ts";

/** What the server logs with. */
export type Logger = PinoLogger;

/** From little to nothing. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/**
 * A logger of JSON lines in printable ASCII: whatever a caller sends, it can neither begin a line of its own
 * nor reach a terminal as a control sequence. It starts no thread.
 *
 * @param level What is left out
 * @param write Gets each line, with its newline. Default: to the standard output
 */
export function createLogger(
  level: LogLevel,
  write: (line: string) => void = (line) => standardOutput.write(line),
): Logger {
  const options = {
    base: null,
    level,
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, { write: (line: string) => write(asciiOnly(line)) });
}

/** JSON's own escapes for what JSON lets through; a log reader sees the same text. */
function asciiOnly(line: string): string {
  return line.replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * A log whose lines may get lost: a full disk or a reader that has gone ends no server. The next line that can be
 * written comes after one that says how many were not.
 */
export class LogOutput {
  readonly #descriptor: number;
  #lost = 0;

  /** @param descriptor Where to */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** @param line With its newline */
  write(line: string): void {
    if (tryWriteAll(this.#descriptor, this.#lost === 0 ? line : this.#notice() + line)) this.#lost = 0;
    else this.#lost++;
  }

  /** On a line of its own: of the last that was lost, a part may have been written. */
  #notice(): string {
    const time = new Date().toISOString();
    const notice = { level: "warn", time, lost: this.#lost, msg: "lines of this log could not be written" };
    return `\n${JSON.stringify(notice)}\n`;
  }
}

const standardOutput = new LogOutput(STDOUT);
