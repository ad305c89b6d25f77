import { Agent, type ClientRequest, type IncomingMessage, request as startRequest } from "node:http";
import type { Duplex } from "node:stream";
import { checkFields, checkInteger } from "../core/checks.ts";
import { MAX_TIMEOUT_MS } from "../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import { ConnectionError, EnclaveKmsError, TimeoutError } from "../core/errors.ts";
import { byteStream } from "./byte_stream.ts";
import { connect } from "./connect.ts";
import { readHeaders } from "./http_headers.ts";
import { untilWritable } from "./until_writable.ts";

/** A vsock address without its transport. */
export interface VsockAddress {
  /** Context id of the peer, 0 to 2^32 - 1. */
  readonly cid: number;
  /** Port, 0 to 2^32 - 1. */
  readonly port: number;
}

/** Limits of a {@link createFetch} function. */
export interface CreateFetchOptions {
  /** Milliseconds to connect, 1 to 2^31 - 1. Default: 10000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds without a byte in either direction, 10 to 2^31 - 1; then the call fails. Default: 60000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Largest headers of an answer together, in bytes, 1024 to 1048576. Default: 16384. */
  readonly maxHeaderBytes?: number | undefined;
}

/** The standard `fetch`, as far as its signature goes. */
export type Fetch = typeof globalThis.fetch;

/**
 * Makes a `fetch` whose requests go to one endpoint, whatever host their URLs name: on the parent, into an enclave.
 *
 * Each request has a connection of its own (no keep-alive), so nothing is left open and no request meets a connection
 * that its peer is just closing. Bodies are streams in both directions. Redirects are not followed: the answer is
 * returned as it is, and with `redirect: "error"` it is an error. Bodies are not decompressed, and there are no
 * cookies and no cache. Failures are {@link ConnectionError} and {@link TimeoutError}, where the standard has a
 * `TypeError`; an aborted call rejects with the signal's reason.
 *
 * Not guaranteed: privacy. URLs must begin with `http:`, for there is no TLS: bytes travel in the clear.
 *
 * @param target Endpoint, or CID and port on vsock
 * @param options Limits
 * @returns A function with the signature of `fetch`
 * @throws {TypeError} When the target or an option is of a wrong type
 * @throws {RangeError} When a number is out of range
 */
export function createFetch(target: Endpoint | VsockAddress, options: CreateFetchOptions = {}): Fetch {
  const endpoint = checkEndpoint(withTransport(target));
  const limits = checkOptions(options);
  return async (input: string | URL | Request, init?: RequestInit) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.protocol !== "http:") {
      throw new TypeError(
        "The URL must begin with http: there is no TLS here, and https would go in the clear",
      );
    }
    request.signal.throwIfAborted();
    const connecting = { signal: request.signal, timeoutMs: limits.connectTimeoutMs };
    const stream = await connect(endpoint, connecting);
    return await new Exchange(stream, request, limits).run(url, lengthOf(init?.body));
  };
}

/** One request on its connection. */
class Exchange {
  readonly #stream: Duplex;
  readonly #request: Request;
  readonly #limits: CheckedFetchOptions;
  /** Aborts when this side ends the connection, with the reason. */
  readonly #ended = new AbortController();

  constructor(stream: Duplex, request: Request, limits: CheckedFetchOptions) {
    this.#stream = stream;
    this.#request = request;
    this.#limits = limits;
  }

  async run(url: URL, bodyLength: number | undefined): Promise<Response> {
    const { signal } = this.#request;
    const abort = () => this.#fail(signal.reason);
    signal.addEventListener("abort", abort);
    this.#stream.once("close", () => signal.removeEventListener("abort", abort));
    const sent = this.#start(url, bodyLength);
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
      agent: new OneConnectionAgent(this.#stream),
      method,
      path: url.pathname + url.search,
      headers: headersOf(headers, url.host, body === null ? 0 : bodyLength, method),
      maxHeaderSize: maxHeaderBytes,
    });
    sent.setTimeout(idleTimeoutMs, () => this.#fail(silent(idleTimeoutMs)));
    // A body may be long in coming, and depend on the answer.
    if (body !== null && bodyLength === undefined) sent.flushHeaders();
    return sent;
  }

  #answerTo(sent: ClientRequest): Promise<IncomingMessage> {
    const { signal } = this.#ended;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      sent.once("response", resolve);
      sent.on("error", (cause) => reject(broken(cause)));
      sent.once("close", () => reject(broken(undefined)));
      sent.once("upgrade", () => reject(broken(new Error("The peer wants another protocol"))));
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
    const headers = readHeaders(rawHeaders);
    if (redirect === "error" && status >= 300 && status < 400 && headers.has("location")) {
      throw new TypeError('The peer answers with a redirect, and redirect is "error"');
    }
    const hasBody = method !== "HEAD" && ![204, 205, 304].includes(status);
    const body = hasBody
      ? byteStream(answer, {
        broken: () => this.#ended.signal.reason ?? broken(undefined),
        signal: this.#ended.signal,
        onCancel: () => this.#stream.destroy(),
      })
      : null;
    if (!hasBody) answer.resume();
    return new Response(body, { status, statusText, headers });
  }

  #fail(reason: unknown): void {
    this.#ended.abort(reason);
    this.#stream.destroy();
  }
}

/** Gives a request the connection that was made for it. Deno takes one from an agent only. */
class OneConnectionAgent extends Agent {
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    super({ keepAlive: false, maxSockets: 1 });
    this.#stream = stream;
  }

  override createConnection(): Duplex {
    return this.#stream;
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
  return { host, ...all, ...length, connection: "close" };
}

/** Length of a body in bytes, where it is known before the body is read. */
function lengthOf(body: RequestInit["body"]): number | undefined {
  if (typeof body === "string") return new TextEncoder().encode(body).length;
  if (body instanceof URLSearchParams) return String(body).length;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return body instanceof Blob ? body.size : undefined;
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

function silent(idleTimeoutMs: number): TimeoutError {
  return new TimeoutError(`Cannot fetch: no byte went either way within ${idleTimeoutMs} ms`, {
    stage: "body",
    hint: "Is the peer still working on the answer? A longer idleTimeoutMs waits for it",
  });
}

type CheckedFetchOptions = ReturnType<typeof checkOptions>;

function checkOptions(given: CreateFetchOptions) {
  const options = checkFields("fetch options", given, [
    "connectTimeoutMs",
    "idleTimeoutMs",
    "maxHeaderBytes",
  ]);
  const integer = (name: keyof CreateFetchOptions, min: number, max: number, fallback: number) =>
    checkInteger(name, options[name], { min, max, default: fallback });
  return {
    connectTimeoutMs: integer("connectTimeoutMs", 1, MAX_TIMEOUT_MS, 10_000),
    idleTimeoutMs: integer("idleTimeoutMs", 10, MAX_TIMEOUT_MS, 60_000),
    maxHeaderBytes: integer("maxHeaderBytes", 1024, 1 << 20, 16_384),
  };
}

function withTransport(target: Endpoint | VsockAddress): unknown {
  const isAddress = typeof target === "object" && target !== null && !("transport" in target);
  return isAddress ? { ...target, transport: "vsock" } : target;
}
