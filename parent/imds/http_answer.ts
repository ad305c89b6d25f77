/** Answer of the metadata service. Its body lies in memory that is wiped on dispose. */
export interface MetadataAnswer extends Disposable {
  /** HTTP status, 100 to 599. */
  readonly status: number;
  /** Headers by name in lowercase. */
  readonly headers: ReadonlyMap<string, string>;
  /** Body, at most 64 KiB with the headers; valid until dispose. */
  readonly body: Uint8Array;
}

/** Head of an answer, and where its body begins and ends. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Offset of the body, in bytes. */
  readonly bodyStart: number;
  /** Offset after the body; undefined when the end of the connection ends it. */
  readonly bodyEnd: number | undefined;
}

/** Longest head, in bytes. */
const MAX_HEAD_BYTES = 8192;

/** Most header lines. */
const MAX_LINES = 64;

/**
 * Reads the head of an answer in HTTP/1.0 or 1.1. An allow-list: the body's length is told by one Content-Length or by
 * the end of the connection, and never by a transfer coding.
 *
 * @param bytes Bytes that have arrived so far
 * @returns The head; "incomplete" while its end is not there, and a reason when it is not HTTP as expected
 */
export function readAnswerHead(bytes: Uint8Array): AnswerHead | "incomplete" | { readonly reason: string } {
  const end = endOfHead(bytes);
  if (end === undefined) {
    if (!isPlausible(bytes)) return { reason: "the answer is not HTTP" };
    return bytes.length > MAX_HEAD_BYTES ? { reason: "the answer's headers are too long" } : "incomplete";
  }
  const [statusLine = "", ...lines] = latin1(bytes.subarray(0, end)).split("\r\n");
  const status = /^HTTP\/1\.[01] ([1-5]\d\d)(?: [\t -~\x80-\xff]*)?$/.exec(statusLine)?.[1];
  if (status === undefined) return { reason: "the answer is not HTTP" };
  const headers = readHeaders(lines);
  if (headers === undefined) return { reason: "the answer's headers are malformed" };
  if (headers.has("transfer-encoding")) return { reason: "the answer has a transfer coding" };
  const length = headers.get("content-length");
  if (length !== undefined && !/^\d{1,9}$/.test(length)) {
    return { reason: "the answer's length is malformed" };
  }
  const bodyStart = end + 4;
  const bodyEnd = length === undefined ? undefined : bodyStart + Number(length);
  return { status: Number(status), headers, bodyStart, bodyEnd };
}

const STATUS_START = new TextEncoder().encode("HTTP/1.");

/** Tells whether bytes may be the start of an answer: what is not HTTP is not waited for. */
function isPlausible(bytes: Uint8Array): boolean {
  return STATUS_START.every((byte, index) => index >= bytes.length || bytes[index] === byte);
}

function endOfHead(bytes: Uint8Array): number | undefined {
  for (let at = 0; at + 3 < bytes.length && at <= MAX_HEAD_BYTES; at++) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  }
  return undefined;
}

/** Reads header lines; undefined when one is malformed, or a name comes twice that may not. */
function readHeaders(lines: readonly string[]): ReadonlyMap<string, string> | undefined {
  if (lines.length > MAX_LINES) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = "", value = ""] =
      /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*$/.exec(line) ?? [];
    if (name === "") return undefined;
    const key = name.toLowerCase();
    if (key === "content-length" && headers.has(key)) return undefined;
    headers.set(key, value);
  }
  return headers;
}

/** Decodes a head, which holds no secret. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
