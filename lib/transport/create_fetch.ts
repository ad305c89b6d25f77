import type { Duplex } from "node:stream";
import type { CallOptions } from "../core/call_options.ts";
import { checkFields, checkInteger } from "../core/checks.ts";
import { MAX_TIMEOUT_MS } from "../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import { ConnectionError } from "../core/errors.ts";
import { connect } from "./connect.ts";
import { Exchange, type HttpConnection, oneRequestConnection } from "./exchange.ts";

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
  /** Largest headers of an answer together, in bytes, 1024 to 1048576; at most 100 lines. Default: 16384. */
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
 * cookies and no cache. Failures are {@link ConnectionError} and `TimeoutError`, where the standard has a
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
  return fetchOver({ protocol: "http:", open: (_url, call) => connect(endpoint, call) }, options);
}

/** Way to the peers of a {@link fetchOver} function. */
export interface FetchRoute {
  /** Protocol that URLs must have: `https:` when the streams are TLS. */
  readonly protocol: "http:" | "https:";
  /** Opens the stream of one request, which it owns. */
  readonly open: (url: URL, call: CallOptions) => Promise<Duplex>;
}

/**
 * Makes a `fetch` over streams of any kind, as {@link createFetch} does over endpoints.
 *
 * @param route Way to the peers
 * @param options Limits
 * @throws {TypeError} When an option is of a wrong type
 * @throws {RangeError} When a number is out of range
 */
export function fetchOver({ protocol, open }: FetchRoute, options: CreateFetchOptions = {}): Fetch {
  return fetchThrough({
    protocol,
    take: async (url, call) => oneRequestConnection(await open(url, call)),
  }, options);
}

/** Way to the peers of a {@link fetchThrough} function. */
export interface ConnectionRoute {
  /** Protocol that URLs must have: `https:` when the streams are TLS. */
  readonly protocol: "http:" | "https:";
  /** Gives the connection of one request. With `isFresh` it must be one that had no request yet. */
  readonly take: (url: URL, call: TakeOptions) => Promise<HttpConnection>;
}

/** Limits of taking a connection. */
export interface TakeOptions extends CallOptions {
  /** Whether the connection must have had no request yet. Default: false. */
  readonly isFresh?: boolean | undefined;
}

/**
 * Makes a `fetch` over connections that may be kept. When one that was kept breaks before its answer, a request of GET,
 * HEAD or OPTIONS without a body goes over a new one, once; any other may have been served, and is not sent again.
 *
 * @param route Way to the peers
 * @param options Limits
 * @throws {TypeError} When an option is of a wrong type
 * @throws {RangeError} When a number is out of range
 */
export function fetchThrough({ protocol, take }: ConnectionRoute, options: CreateFetchOptions = {}): Fetch {
  const limits = checkOptions(options);
  return async (input: string | URL | Request, init?: RequestInit) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.protocol !== protocol) throw new TypeError(WRONG_PROTOCOL[protocol]);
    const { signal } = request;
    signal.throwIfAborted();
    const call = { signal, timeoutMs: limits.connectTimeoutMs };
    const send = (connection: HttpConnection) =>
      new Exchange(connection, request, limits).run(url, lengthOf(init?.body));
    const connection = await take(url, call);
    try {
      return await send(connection);
    } catch (error) {
      const isStale = connection.isReused && error instanceof ConnectionError && !signal.aborted;
      if (!isStale || !isRepeatable(request)) throw error;
      return await send(await take(url, { ...call, isFresh: true }));
    }
  };
}

const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];

function isRepeatable({ method, body }: Request): boolean {
  return body === null && SAFE_METHODS.includes(method);
}

/** Length of a body in bytes, where it is known before the body is read. */
function lengthOf(body: RequestInit["body"]): number | undefined {
  if (typeof body === "string") return new TextEncoder().encode(body).length;
  if (body instanceof URLSearchParams) return String(body).length;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return body instanceof Blob ? body.size : undefined;
}

const WRONG_PROTOCOL = {
  "http:": "The URL must begin with http: this fetch has no TLS, so https would be sent unencrypted",
  "https:": "The URL must begin with https: there is TLS here, and nothing else",
} as const;

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
