import { Agent, type ClientRequest, type IncomingMessage, request as startRequest } from "node:http";
import type { Duplex } from "node:stream";
import { ConnectionError, EnclaveKmsError, TimeoutError } from "../core/errors.ts";
import { byteStream } from "./byte_stream.ts";
import type { ConnectionStream } from "./connection.ts";
import { hasTooManyLines, MAX_HEADER_LINES, readHeaders } from "./http_headers.ts";
import { untilWritable } from "./until_writable.ts";

/** Number of looks for silence within the time-out for it. */
const LOOKS_PER_TIMEOUT = 4;

/** Connection that a request goes over. */
export interface HttpConnection {
  /** Stream of the connection, which counts its bytes where it is kept. A request that fails destroys it. */
  readonly stream: Duplex;
  /** Hands the stream to node:http. */
  readonly agent: Agent;
  /** Whether it may serve further requests. */
  readonly isKept: boolean;
  /** Whether it had a request before. */
  readonly isReused: boolean;
}

/** Limits of one request. */
export interface ExchangeLimits {
  /** Milliseconds without a byte in either direction; then the request fails. */
  readonly idleTimeoutMs: number;
  /** Largest headers of an answer together, in bytes. */
  readonly maxHeaderBytes: number;
}

/**
 * Makes a connection for one request.
 *
 * @param stream Stream that the request owns
 */
export function oneRequestConnection(stream: Duplex): HttpConnection {
  return { stream, agent: new StreamHttpAgent(stream), isKept: false, isReused: false };
}

/** One request on its connection. */
export class Exchange {
  readonly #connection: HttpConnection;
  readonly #request: Request;
  readonly #limits: ExchangeLimits;
  /** Aborts when this side ends the connection, with the reason. */
  readonly #ended = new AbortController();
  #silence: ReturnType<typeof setInterval> | undefined;
  /** Whether the answer has come to its end. */
  #hasEnded = false;
  /** Whether the request is over as well: the connection may serve another one from then on. */
  #isOver = false;

  /**
   * @param connection Connection without another request
   * @param request The request
   * @param limits Limits
   */
  constructor(connection: HttpConnection, request: Request, limits: ExchangeLimits) {
    this.#connection = connection;
    this.#request = request;
    this.#limits = limits;
  }

  /**
   * Sends the request.
   *
   * @param url URL of the request
   * @param bodyLength Length of its body in bytes, where it is known
   * @returns The answer, whose body comes as it is read
   * @throws {ConnectionError} When the connection breaks, or the answer is no HTTP
   * @throws {TimeoutError} When neither side sends a byte for too long
   * @throws {TypeError} When the answer is a redirect that is to be an error
   */
  async run(url: URL, bodyLength: number | undefined): Promise<Response> {
    const { signal } = this.#request;
    const abort = () => this.#fail(signal.reason);
    signal.addEventListener("abort", abort);
    const sent = this.#start(url, bodyLength);
    const end = () => {
      // A connection that changed its protocol closes its request, too, and must not be left open.
      this.#isOver = this.#hasEnded;
      clearInterval(this.#silence);
      signal.removeEventListener("abort", abort);
      this.#connection.stream.off("close", end);
    };
    this.#connection.stream.once("close", end);
    sent.once("close", end);
    void this.#sendBody(sent);
    try {
      return this.#translate(await this.#answerTo(sent));
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #start(url: URL, bodyLength: number | undefined): ClientRequest {
    const { idleTimeoutMs, maxHeaderBytes } = this.#limits;
    const { method, headers, body } = this.#request;
    const sent = startRequest({
      agent: this.#connection.agent,
      method,
      path: url.pathname + url.search,
      headers: {
        ...headersOf(headers, url.host, body === null ? 0 : bodyLength, method),
        connection: this.#connection.isKept ? "keep-alive" : "close",
      },
      maxHeaderSize: maxHeaderBytes,
    });
    if (this.#connection.isKept) this.#watchSilence(idleTimeoutMs);
    else sent.setTimeout(idleTimeoutMs, () => this.#fail(silent(idleTimeoutMs)));
    // A body may be long in coming, and depend on the answer.
    if (body !== null && bodyLength === undefined) sent.flushHeaders();
    return sent;
  }

  /** Fails after silence, a quarter later at most. A time-out of the stream would leave a listener for each request. */
  #watchSilence(idleTimeoutMs: number): void {
    const { stream } = this.#connection;
    let [byteCount, sinceMs] = [-1, performance.now()];
    this.#silence = setInterval(() => {
      const { bytesRead, bytesWritten } = stream as ConnectionStream;
      const isSilent = bytesRead + bytesWritten === byteCount;
      if (!isSilent) [byteCount, sinceMs] = [bytesRead + bytesWritten, performance.now()];
      else if (performance.now() - sinceMs >= idleTimeoutMs) this.#fail(silent(idleTimeoutMs));
    }, Math.ceil(idleTimeoutMs / LOOKS_PER_TIMEOUT));
  }

  #answerTo(sent: ClientRequest): Promise<IncomingMessage> {
    const { signal } = this.#ended;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      sent.once("response", resolve);
      sent.on("error", (cause) => reject(broken(cause)));
      sent.once("close", () => reject(broken(undefined)));
      sent.once("upgrade", () => reject(broken(new Error("The peer switched to another protocol"))));
    });
  }

  async #sendBody(sent: ClientRequest): Promise<void> {
    const reader = this.#request.body?.getReader();
    const cancel = () => void reader?.cancel().catch(() => {});
    sent.once("close", cancel);
    try {
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
        if (!sent.write(next.value)) await untilWritable(sent);
      }
      sent.end();
    } catch (error) {
      // Only the body itself throws here, and its error is the caller's.
      this.#fail(error);
    }
  }

  #translate(answer: IncomingMessage): Response {
    const { statusCode: status = 0, statusMessage: statusText = "", rawHeaders } = answer;
    const { redirect, method } = this.#request;
    answer.once("end", () => this.#hasEnded = true);
    if (hasTooManyLines(rawHeaders)) throw unreadable(`more than ${MAX_HEADER_LINES} header lines`);
    const headers = readHeaders(rawHeaders);
    if (redirect === "error" && status >= 300 && status < 400 && headers.has("location")) {
      throw new TypeError('The peer answers with a redirect, and redirect is "error"');
    }
    const hasBody = method !== "HEAD" && ![204, 205, 304].includes(status);
    const body = hasBody
      ? byteStream(answer, {
        broken: () => this.#ended.signal.reason ?? broken(undefined),
        signal: this.#ended.signal,
        onCancel: () => this.#connection.stream.destroy(),
      })
      : null;
    if (!hasBody) answer.resume();
    try {
      return new Response(body, { status, statusText, headers });
    } catch (cause) {
      throw unreadable("a malformed status line", cause);
    }
  }

  #fail(reason: unknown): void {
    this.#ended.abort(reason);
    if (!this.#isOver) this.#connection.stream.destroy();
  }
}

/** Gives requests the connection that was made for them. Deno takes one from an agent only. */
export class StreamHttpAgent extends Agent {
  readonly #stream: Duplex;
  readonly #onFree: (() => void) | undefined;

  /**
   * @param stream The connection
   * @param onFree Called when an answer has ended, and the connection may serve another request. Default: it serves one
   */
  constructor(stream: Duplex, onFree?: () => void) {
    super({ keepAlive: onFree !== undefined, maxSockets: 1 });
    this.#stream = stream;
    this.#onFree = onFree;
  }

  /** Called by node:http for a request, unless the connection waits for one. */
  override createConnection(): Duplex {
    return this.#stream;
  }

  /** Called by node:http with a connection that is idle from now on. */
  override keepSocketAlive(stream: Duplex): void {
    this.#onFree?.();
    // Not void at run time: false would close the connection.
    return super.keepSocketAlive(stream);
  }

  /** Called by node:http with a connection that was idle until now. */
  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    super.reuseSocket(stream, request);
    // By this, Deno would send the request once more when the socket closes, even when that was our own doing
    // because the time was up (https://github.com/denoland/deno/issues/36786).
    request.reusedSocket = false;
  }
}

/** Headers that belong to the connection: this side sets them. */
const OWN_HEADERS: readonly string[] = [
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

function headersOf(
  headers: Headers,
  host: string,
  bodyLength: number | undefined,
  method: string,
): Record<string, string> {
  const all = Object.fromEntries([...headers].filter(([name]) => !OWN_HEADERS.includes(name)));
  const isBodiless = bodyLength === 0 && (method === "GET" || method === "HEAD");
  const length = isBodiless || bodyLength === undefined ? {} : { "content-length": String(bodyLength) };
  return { host, ...all, ...length };
}

function broken(cause: unknown): unknown {
  if (cause instanceof EnclaveKmsError) return cause;
  const code = (cause as { code?: unknown } | undefined)?.code;
  const reason = typeof code === "string" ? ` (${code})` : "";
  return new ConnectionError(`Cannot fetch: the connection broke before the answer ended${reason}`, {
    hint: code === "HPE_HEADER_OVERFLOW"
      ? "The answer's headers are larger than maxHeaderBytes"
      : "Does the peer speak HTTP, and did it close the connection on purpose?",
    cause,
  });
}

function unreadable(what: string, cause?: unknown): ConnectionError {
  return new ConnectionError(`Cannot fetch: the answer has ${what}`, {
    hint: "Does the peer speak HTTP?",
    cause,
  });
}

function silent(idleTimeoutMs: number): TimeoutError {
  return new TimeoutError(`Cannot fetch: no byte was sent or received for ${idleTimeoutMs} ms`, {
    stage: "body",
    hint: "Is the peer still working on the answer? Raise idleTimeoutMs to wait longer",
  });
}
