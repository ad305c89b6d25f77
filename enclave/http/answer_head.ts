import { STATUS_CODES } from "node:http";

/** Framing of an answer's body: its length, chunks, the end of the connection, or none to speak of. */
export type AnswerFraming = number | "chunked" | "to-end" | "none";

/** Head of an answer. */
export interface AnswerHead {
  readonly status: number;
  /** Header lines of the application: names in lowercase and values in turns, each character a byte. */
  readonly lines: readonly string[];
  readonly framing: AnswerFraming;
  /** Whether the connection ends with the answer. */
  readonly isLast: boolean;
}

/** Headers that say how the answer is carried, which is the listener's to say. */
const OURS: ReadonlySet<string> = new Set([
  ...["connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"],
]);

/** Length without a sign, in digits that a number holds exactly. */
const LENGTH = /^\d{1,15}$/;

/**
 * Writes the head of an answer.
 *
 * @param head Status, headers and framing
 * @returns Head with the empty line at its end, each character a byte
 */
export function answerHead({ status, lines, framing, isLast }: AnswerHead): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`;
  let isDated = false;
  for (let index = 0; index < lines.length; index += 2) {
    const name = lines[index] as string;
    if (OURS.has(name)) continue;
    isDated ||= name === "date";
    text += `${name}: ${lines[index + 1]}\r\n`;
  }
  if (!isDated) text += `date: ${dateText()}\r\n`;
  if (typeof framing === "number") text += `content-length: ${framing}\r\n`;
  else if (framing === "chunked") text += "transfer-encoding: chunked\r\n";
  return `${text}${isLast ? "connection: close\r\n" : ""}\r\n`;
}

/**
 * Reads the length that an application gives its answer.
 *
 * @param lines Header lines
 * @returns Length in bytes; undefined when there is none, or it is no length
 */
export function declaredLength(lines: readonly string[]): number | undefined {
  const value = valueOf(lines, "content-length");
  return value !== undefined && LENGTH.test(value) ? Number(value) : undefined;
}

/**
 * Tells whether an application wants the connection to end with its answer.
 *
 * @param lines Header lines
 */
export function endsConnection(lines: readonly string[]): boolean {
  return valueOf(lines, "connection")?.toLowerCase() === "close";
}

/**
 * Tells whether there is a line.
 *
 * @param lines Header lines
 * @param name Name of the header, in lowercase
 */
export function hasLine(lines: readonly string[], name: string): boolean {
  return valueOf(lines, name) !== undefined;
}

function valueOf(lines: readonly string[], name: string): string | undefined {
  for (let index = 0; index < lines.length; index += 2) if (lines[index] === name) return lines[index + 1];
  return undefined;
}

let [date, second] = ["", -1];

/** Gives the time as a header has it, which is made once a second. */
function dateText(): string {
  const now = Date.now();
  const nowSecond = Math.floor(now / 1000);
  if (nowSecond !== second) {
    second = nowSecond;
    date = new Date(now).toUTCString();
  }
  return date;
}
