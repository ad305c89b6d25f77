/** Framing of a request's body: its length in bytes, or chunks that tell their own. */
export type BodyFraming = number | "chunked";

/** Head of a request. */
export interface RequestHead {
  /** Method in capital letters. */
  readonly method: string;
  /** Target as it was sent, in printable ASCII. */
  readonly target: string;
  /** Whether the request is of HTTP/1.0, which has no interim answers, chunks or kept connections. */
  readonly isOld: boolean;
  /** Header lines: names in lowercase and values in turns, each character a byte. */
  readonly lines: readonly string[];
  /** Framing of the body; 0 where there is none. */
  readonly framing: BodyFraming;
  /** Whether the connection ends with the answer. */
  readonly isLast: boolean;
  /** Whether the client waits for an interim answer before it sends the body. */
  readonly expectsContinue: boolean;
}

/** Header lines of a request, at most. */
const MAX_LINES = 100;

/** First line of a request. Methods and targets are bounded by the head. */
const REQUEST_LINE = /^([A-Z][A-Z-]*) ([\x21-\x7e]+) HTTP\/1\.([01])\r\n/;

/** Header line: no space ahead of the colon, no folded lines, no control characters, no bare end of a line. */
const HEADER_LINE = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n/y;

/** Length without a sign, in digits that a number holds exactly. */
const LENGTH = /^\d{1,15}$/;

/** Headers that say where a request ends and what becomes of the connection. */
interface Framing {
  length: string | undefined;
  encoding: string | undefined;
  connection: string;
  expect: string | undefined;
  hosts: number;
}

/**
 * Parses the head of a request, by RFC 9112 without its leniency: what two readers could understand in two ways is
 * refused, so that nothing in front of the enclave can be made to see another request than it does.
 *
 * @param text Head with the empty line at its end, each character a byte
 * @returns The head; undefined when it is none
 */
export function parseRequestHead(text: string): RequestHead | undefined {
  const first = REQUEST_LINE.exec(text);
  if (first === null) return undefined;
  const [start, method = "", target = "", minor] = first;
  const framing: Framing = {
    length: undefined,
    encoding: undefined,
    connection: "",
    expect: undefined,
    hosts: 0,
  };
  const lines = parseLines(text, start.length, framing);
  if (lines === undefined) return undefined;
  const isOld = minor === "0";
  const body = framingOf(framing, isOld);
  if (body === undefined || (!isOld && framing.hosts !== 1)) return undefined;
  const { connection, expect } = framing;
  return {
    method,
    target,
    isOld,
    lines,
    framing: body,
    isLast: isOld || (connection !== "" && /(?:^|[,\s])close(?:$|[,\s])/i.test(connection)),
    expectsContinue: expect !== undefined && !isOld && body !== 0,
  };
}

function parseLines(text: string, from: number, framing: Framing): string[] | undefined {
  const lines: string[] = [];
  const end = text.length - 2;
  for (let at = from; at < end;) {
    HEADER_LINE.lastIndex = at;
    const line = HEADER_LINE.exec(text);
    if (line === null || lines.length === 2 * MAX_LINES) return undefined;
    const [all, name = "", value = ""] = line;
    at += all.length;
    const lowerName = name.toLowerCase();
    const trimmed = trim(value);
    lines.push(lowerName, trimmed);
    if (!note(framing, lowerName, trimmed)) return undefined;
  }
  return lines;
}

/** Notes what a line says about the framing; returns false for one that must not be there. */
function note(framing: Framing, name: string, value: string): boolean {
  switch (name) {
    case "host":
      return ++framing.hosts === 1;
    case "content-length":
      if (framing.length !== undefined || !LENGTH.test(value)) return false;
      framing.length = value;
      return true;
    case "transfer-encoding":
      if (framing.encoding !== undefined || value.toLowerCase() !== "chunked") return false;
      framing.encoding = value;
      return true;
    case "connection":
      framing.connection += `${value},`;
      return true;
    case "expect":
      if (value.toLowerCase() !== "100-continue") return false;
      framing.expect = value;
      return true;
    default:
      return true;
  }
}

function framingOf({ length, encoding }: Framing, isOld: boolean): BodyFraming | undefined {
  if (encoding === undefined) return length === undefined ? 0 : Number(length);
  return length === undefined && !isOld ? "chunked" : undefined;
}

/** Removes spaces and tabs. No regular expression: one would look at each of many spaces again. */
function trim(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && isSpace(value.charCodeAt(start))) start++;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
