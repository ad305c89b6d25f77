import { type Logger as PinoLogger, pino } from "pino";
import { STDOUT, tryWriteAll } from "../../lib/core/write_all.ts";
import { asciiOnly } from "./ascii_only.ts";

/** Logger of the server. */
export type Logger = PinoLogger;

/** Level of the log, from most lines to none. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/**
 * Creates a logger of JSON lines in printable ASCII: no input of a caller can begin a line of its own or reach a
 * terminal as a control sequence. It starts no thread.
 *
 * @param level Least level that is logged
 * @param write Called with each line and its newline. Default: writes to the standard output
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
  const readers = new Set([write]);
  const logger = pino(options, {
    write: (line: string) => {
      const safe = asciiOnly(line);
      for (const read of readers) read(safe);
    },
  });
  taps.set(logger, readers);
  return logger;
}

/** Further readers of the lines of loggers made here. */
const taps = new WeakMap<Logger, Set<(line: string) => void>>();

/**
 * Has one more reader get each line of a logger, from now on.
 *
 * @param logger Logger that {@link createLogger} made
 * @param read Called with each line and its newline
 * @returns Whether it was made there; one of somebody else's cannot be read
 */
export function tapLogger(logger: Logger, read: (line: string) => void): boolean {
  return taps.get(logger)?.add(read) !== undefined;
}

/**
 * Log that may lose lines: a full disk or a lost reader must not end the server. Before the next line that can be
 * written, another one has the number of those that were lost.
 */
export class LogOutput {
  readonly #descriptor: number;
  #lost = 0;

  /**
   * Opens nothing: the descriptor is open.
   *
   * @param descriptor Descriptor to write to
   */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Writes a line, which has its newline. */
  write(line: string): void {
    if (tryWriteAll(this.#descriptor, this.#lost === 0 ? line : this.#notice() + line)) this.#lost = 0;
    else this.#lost++;
  }

  /** Makes the line about lost lines. It begins on a line of its own: part of a lost one may have been written. */
  #notice(): string {
    const time = new Date().toISOString();
    const notice = { level: "warn", time, lost: this.#lost, msg: "lines of this log could not be written" };
    return `\n${JSON.stringify(notice)}\n`;
  }
}

const standardOutput = new LogOutput(STDOUT);
