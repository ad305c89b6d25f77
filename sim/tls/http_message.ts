import { Buffer } from "node:buffer";

/** A request with its body. */
export interface HttpRequest {
  /** `POST`. */
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Headers by name in lowercase; values of repeated headers are joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  /** The body. */
  readonly body: Uint8Array;
}

/** An answer with its body. */
export interface HttpAnswer {
  /** Status code, such as 200. */
  readonly status: number;
  /** Besides those of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body. */
  readonly body: Uint8Array;
}

/** Bytes that are not a request as the simulated KMS reads them. */
export class HttpError extends Error {
  /** Status code of the answer. */
  readonly status: number;

  /** @param status Status code of the answer */
  constructor(status: number) {
    super(`Cannot read request: status ${status}`);
    this.status = status;
  }
}

/**
 * Reader of HTTP/1.1 requests from a stream of bytes. The runtimes' own servers would not let the simulator
 * break an answer off at any byte.
 */
export class HttpReader {
  #pending = Buffer.alloc(0);

  /**
   * Reads the next bytes.
   *
   * @param chunk Bytes that have arrived
   * @returns The requests that are now complete
   * @throws {HttpError} When it is not HTTP, too large, or chunked
   */
  read(chunk: Uint8Array): HttpRequest[] {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const requests: HttpRequest[] = [];
    for (let request = this.#next(); request !== undefined; request = this.#next()) requests.push(request);
    return requests;
  }

  #next(): HttpRequest | undefined {
    const headEnd = this.#pending.indexOf(END_OF_HEAD);
    if (headEnd < 0 && this.#pending.length > MAX_HEAD_LENGTH) throw new HttpError(431);
    if (headEnd < 0) return undefined;
    const { method, target, headers } = parseHead(this.#pending.toString("latin1", 0, headEnd));
    const bodyStart = headEnd + END_OF_HEAD.length;
    const bodyEnd = bodyStart + bodyLength(headers);
    if (this.#pending.length < bodyEnd) return undefined;
    const body = new Uint8Array(this.#pending.subarray(bodyStart, bodyEnd));
    this.#pending = this.#pending.subarray(bodyEnd);
    return { method, target, headers, body };
  }
}

/**
 * Encodes an answer.
 *
 * @param answer Status, headers and body
 * @param keepAlive Whether the connection stays open
 */
export function encodeAnswer({ status, headers, body }: HttpAnswer, keepAlive: boolean): Uint8Array {
  const all = {
    ...headers,
    "content-length": String(body.length),
    connection: keepAlive ? "keep-alive" : "close",
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n${lines.join("")}\r\n`),
    body,
  ]);
}

const END_OF_HEAD = "\r\n\r\n";
const MAX_HEAD_LENGTH = 16_384;
const MAX_BODY_LENGTH = 1_048_576;

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  411: "Length Required",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

function parseHead(head: string): Pick<HttpRequest, "method" | "target" | "headers"> {
  const [requestLine = "", ...lines] = head.split("\r\n");
  const match = /^([A-Z]+) (\/\S*) HTTP\/1\.1$/.exec(requestLine);
  if (match === null) throw new HttpError(400);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = "", value = ""] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === "") throw new HttpError(400);
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before},${value}`);
  }
  return { method: match[1] ?? "", target: match[2] ?? "", headers };
}

function bodyLength(headers: ReadonlyMap<string, string>): number {
  const text = headers.get("content-length") ?? "0";
  if (headers.has("transfer-encoding")) throw new HttpError(411);
  if (!/^\d{1,9}$/.test(text)) throw new HttpError(400);
  if (Number(text) > MAX_BODY_LENGTH) throw new HttpError(413);
  return Number(text);
}
