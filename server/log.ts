import process from "node:process";
import { type Logger as PinoLogger, pino } from "pino";

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
export function createLogger(level: LogLevel, write: (line: string) => void = writeToStdout): Logger {
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

function writeToStdout(line: string): void {
  process.stdout.write(line);
}
