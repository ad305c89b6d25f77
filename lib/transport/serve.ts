import { createServer, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { checkFields, checkInteger } from "../core/checks.ts";
import { MAX_TIMEOUT_MS } from "../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import { fetchListener } from "./fetch_listener.ts";
import type { ServeHandler, ServeInfo } from "./serve_handler.ts";
import { ANY_CID } from "./listen.ts";
import { type HttpListener, peerOf, serveHttp } from "./serve_http.ts";

/** Address and limits of a server. One of `port` and `endpoint` must be given; the rest has defaults. */
export interface ServeOptions {
  /** Vsock port, 0 to 2^32 - 1, on every CID that this machine has. */
  readonly port?: number | undefined;
  /** Address instead of `port`: vsock, TCP or a unix socket. TCP port 0 takes a free one. */
  readonly endpoint?: Endpoint | undefined;
  /** CID that the handler is told on TCP and unix sockets, which have none. Default: undefined. */
  readonly developmentCid?: number | undefined;
  /** Makes the answer when the handler throws; the error may be logged here. Default: 500 with no body, no log. */
  readonly onError?: ((error: unknown) => Response | Promise<Response>) | undefined;
  /** Largest headers of a request together, in bytes, 1024 to 1048576; at most 100 lines. Default: 16384. */
  readonly maxHeaderBytes?: number | undefined;
  /** Largest body of a request, in bytes; one that is larger is answered with 413. Default: 1048576. */
  readonly maxBodyBytes?: number | undefined;
  /** Milliseconds from a request's first byte to the end of its headers, 10 to 2^31 - 1. Default: 10000. */
  readonly headersTimeoutMs?: number | undefined;
  /** Milliseconds from there to the end of its body, 10 to 2^31 - 1. Default: 30000. */
  readonly bodyTimeoutMs?: number | undefined;
  /** Milliseconds without a byte in either direction, 10 to 2^31 - 1; then the connection ends. Default: 60000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Connections at once, 1 to 1000000. At the limit an idle one gives way to a new one. Default: 1024. */
  readonly maxConnections?: number | undefined;
  /** Connections that may wait to be accepted, 1 to 65535. Default: 128; others take `--allow-ffi` on Deno. */
  readonly backlog?: number | undefined;
}

/** A server that is listening. */
export interface HttpServer extends AsyncDisposable {
  /** Address with the port that was chosen. */
  readonly endpoint: Endpoint;
  /** Connections open now. */
  readonly connectionCount: number;
  /**
   * Accepts no more, lets running requests finish, and cuts what is left after the grace period.
   *
   * @param options `graceMs`: milliseconds, 0 to 2^31 - 1. Default: 10000
   */
  close(options?: { readonly graceMs?: number | undefined }): Promise<void>;
  /** Accepts no more, and cuts every connection at once. */
  [Symbol.asyncDispose](): Promise<void>;
}

const DEFAULT_GRACE_MS = 10_000;

/** Longest time between two looks for requests that are late, in milliseconds. */
const MAX_CHECK_MS = 1000;

/**
 * Serves HTTP/1.1 with a fetch handler, such as a Hono application's `fetch`, on vsock, TCP or a unix socket.
 *
 * Connections are kept alive, and requests on one connection are answered one after the other. URLs begin with
 * `http://enclave`, whatever Host the caller sends. A caller that ends its direction counts as gone. Nothing is logged.
 *
 * Not guaranteed: privacy, or who calls. There is no TLS, and every process on the parent has CID 3.
 *
 * @param handler Answers requests. It gets the peer's CID in its second argument
 * @param options Address and limits
 * @returns The server. Dispose it with `await using`, or close it
 * @throws {TypeError} When an option is unknown or of a wrong type, or neither or both addresses are given
 * @throws {RangeError} When an option is out of range
 * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock in this kernel
 * @throws {LibraryLoadError} On Node, when libc cannot be called
 * @example
 * ```ts
 * import { createFetch, serve } from "enclave-kms/vsock";
 *
 * const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 } as const; // in an enclave: { port: 5000 }
 * await using server = await serve(async (request, { remoteCid }) => {
 *   return Response.json({ said: await request.text(), remoteCid });
 * }, { endpoint, developmentCid: 16 });
 *
 * const fetch = createFetch(server.endpoint); // on the parent: createFetch({ cid: 16, port: 5000 })
 * const answer = await fetch("http://enclave/echo", { method: "POST", body: "hello" });
 * await answer.text(); // '{"said":"hello","remoteCid":16}'
 * ```
 */
export async function serve(handler: ServeHandler, options: ServeOptions): Promise<HttpServer> {
  if (typeof handler !== "function") throw new TypeError("handler must be a function");
  const checked = checkOptions(options);
  const { developmentCid, maxBodyBytes, onError, listening } = checked;
  const infoOf = (connection: Duplex): ServeInfo => {
    const peer = peerOf(connection);
    return { remoteCid: peer === undefined ? developmentCid : peer.cid, remotePort: peer?.port };
  };
  const server = makeServer(checked);
  server.on("request", fetchListener({ handler, onError, maxBodyBytes, infoOf }));
  return asServer(await serveHttp(server, checked.endpoint, listening));
}

function makeServer({ maxHeaderBytes, headersTimeoutMs, bodyTimeoutMs }: CheckedServeOptions): Server {
  const server = createServer({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    requestTimeout: Math.min(headersTimeoutMs + bodyTimeoutMs, MAX_TIMEOUT_MS),
    connectionsCheckingInterval: Math.min(
      MAX_CHECK_MS,
      Math.ceil(Math.min(headersTimeoutMs, bodyTimeoutMs) / 4),
    ),
    // The idle time-out of all connections is what ends one between two requests.
    keepAliveTimeout: 0,
  });
  // node:http leaves headers out beyond a limit of its own, in silence. The listener refuses them.
  server.maxHeadersCount = 0;
  return server;
}

function asServer(http: HttpListener): HttpServer {
  return {
    get endpoint() {
      return http.listener.endpoint;
    },
    get connectionCount() {
      return http.listener.connectionCount;
    },
    async close(options = {}) {
      const { graceMs } = checkFields("close options", options, ["graceMs"]);
      const range = { min: 0, max: MAX_TIMEOUT_MS, default: DEFAULT_GRACE_MS };
      const timer = setTimeout(
        () => http.listener.destroyConnections(),
        checkInteger("graceMs", graceMs, range),
      );
      await http.close();
      clearTimeout(timer);
    },
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]();
    },
  };
}

type CheckedServeOptions = ReturnType<typeof checkOptions>;

const FIELDS = [
  "port",
  "endpoint",
  "developmentCid",
  "onError",
  "maxHeaderBytes",
  "maxBodyBytes",
  "headersTimeoutMs",
  "bodyTimeoutMs",
  "idleTimeoutMs",
  "maxConnections",
  "backlog",
];

const MAX_UINT32 = 0xffff_ffff;

function checkOptions(given: ServeOptions) {
  const options = checkFields("serve options", given, FIELDS);
  const { developmentCid, onError = () => new Response(null, { status: 500 }) } = options;
  if (typeof onError !== "function") throw new TypeError("onError must be a function");
  const integer = (name: keyof ServeOptions, min: number, max: number, fallback: number) =>
    checkInteger(name, options[name], { min, max, default: fallback });
  return {
    onError,
    endpoint: checkAddress(options),
    developmentCid: developmentCid === undefined
      ? undefined
      : checkInteger("developmentCid", developmentCid, { min: 0, max: MAX_UINT32 }),
    maxHeaderBytes: integer("maxHeaderBytes", 1024, 1 << 20, 16_384),
    maxBodyBytes: integer("maxBodyBytes", 0, Number.MAX_SAFE_INTEGER, 1 << 20),
    headersTimeoutMs: integer("headersTimeoutMs", 10, MAX_TIMEOUT_MS, 10_000),
    bodyTimeoutMs: integer("bodyTimeoutMs", 10, MAX_TIMEOUT_MS, 30_000),
    listening: {
      idleTimeoutMs: options.idleTimeoutMs,
      maxConnections: options.maxConnections,
      backlog: options.backlog,
    },
  };
}

function checkAddress({ port, endpoint }: ServeOptions): Endpoint {
  if ((port === undefined) === (endpoint === undefined)) {
    throw new TypeError("Give either port, on vsock, or endpoint");
  }
  if (endpoint !== undefined) return checkEndpoint(endpoint, 0);
  return { transport: "vsock", cid: ANY_CID, port: checkInteger("port", port, { min: 0, max: MAX_UINT32 }) };
}
