import process from "node:process";
import type { Context } from "hono";
import { checkFields } from "../lib/core/checks.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import type { Principal } from "../lib/policy/principal.ts";
import { endpointsOf, readEnclaveConfig } from "./enclave_config.ts";
import { createHttpApp } from "./http/http_app.ts";
import type { HttpEnv } from "./http/http_env.ts";
import { oneChunk } from "./http/one_chunk.ts";
import { HttpListener } from "./http/http_listener.ts";
import { serveConnections, type Served } from "./serve.ts";
import { httpTimeouts, serveLimits } from "./serve_limits.ts";
import type { Environment } from "./settings.ts";
import { createLogger, type Logger } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { RefusalLog } from "./telemetry/refusal_log.ts";

/** Request as an {@link EnclaveListener} hands it to its handler. */
export interface ListenerRequest {
  /** Method, such as `POST`. */
  readonly method: string;
  /** Path and query, such as `/v1/things?id=7`. */
  readonly path: string;
  /** Headers, which are the caller's own word. */
  readonly headers: Headers;
  /** Body, at most 64 KiB. */
  readonly body: Uint8Array;
  /** Caller, by the CID of the connection: on hardware always 3. */
  readonly caller: Principal;
  /** Aborts when the caller goes away before the answer. */
  readonly gone: AbortSignal;
}

/** Answer of a handler. */
export interface ListenerAnswer {
  /** HTTP status. Default: 200. */
  readonly status?: number | undefined;
  /** Headers. Default: none. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Body; bytes are wiped after they are sent. Default: none. */
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined;
}

/** Answers a request. What it throws becomes 500, and its message is neither sent nor logged. */
export type ListenerHandler = (
  request: ListenerRequest,
) => ListenerAnswer | Response | Promise<ListenerAnswer | Response>;

/** Options of {@link EnclaveListener.start}. */
export interface ListenerOptions {
  /** Environment that the settings are read from. Default: the process's. */
  readonly environment?: Environment | undefined;
  /** Destination of the log. Default: JSON lines on the standard output. */
  readonly logger?: Logger | undefined;
}

/**
 * The enclave's half of a connector, for a plain function: HTTP on vsock in an enclave, on TCP in a simulation, with the
 * limits, time-outs and log of {@link startEnclave}. It has neither KMS nor a policy.
 *
 * @example
 * ```ts
 * import { EnclaveListener } from "enclave-kms/enclave";
 *
 * const environment = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };
 * await using listener = await EnclaveListener.start(
 *   ({ method, path }) => ({ body: `${method} ${path}` }),
 *   { environment }, // in an enclave: nothing
 * );
 * listener.endpoint.transport; // "tcp"
 * ```
 */
export class EnclaveListener implements AsyncDisposable {
  readonly #served: Served;
  readonly #graceMs: number;
  #closing: Promise<void> | undefined;

  private constructor(served: Served, graceMs: number) {
    this.#served = served;
    this.#graceMs = graceMs;
  }

  /**
   * Listens, and answers by a handler.
   *
   * @param handler Answers each request
   * @param options Settings and log
   * @returns The listener; dispose it with `await using`
   * @throws {TypeError} When the handler is no function, or an option is unknown
   * @throws {ConfigError} When a setting is wrong
   * @throws {ConnectionError} When the address is taken, or there is no vsock
   */
  static async start(handler: ListenerHandler, options: ListenerOptions = {}): Promise<EnclaveListener> {
    if (typeof handler !== "function") throw new TypeError("handler must be a function");
    const given = checkFields("options of EnclaveListener", options, ["environment", "logger"]);
    const config = readEnclaveConfig(given.environment ?? process.env);
    const { logger = createLogger(config.logLevel) } = given;
    const log = { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) };
    const app = createHttpApp(log);
    app.all("*", async (c) => toResponse(await handler(await readRequest(c))));
    const timeouts = httpTimeouts(config);
    const http = new HttpListener({ ...log, timeouts, fetch: (request, env) => app.fetch(request, env) });
    const served = await serveConnections(endpointsOf(config).http, http, serveLimits(config));
    logger.info({ http: served.endpoint }, "listening");
    return new EnclaveListener(served, config.shutdownGraceMs);
  }

  /** Endpoint that it listens on, with the port that was chosen. */
  get endpoint(): Endpoint {
    return this.#served.endpoint;
  }

  /** Accepts no more, and finishes what runs, within `shutdownGraceMs`. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= this.#served.close(this.#graceMs);
  }

  /** The same as {@link EnclaveListener.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function readRequest(c: Context<HttpEnv>): Promise<ListenerRequest> {
  const { method, url, headers } = c.req.raw;
  const { pathname, search } = new URL(url);
  return {
    method,
    path: pathname + search,
    headers,
    body: new Uint8Array(await c.req.arrayBuffer()),
    caller: c.var.record.principal,
    get gone() {
      return c.env.gone ?? NEVER;
    },
  };
}

const NEVER = new AbortController().signal;

function toResponse(answer: ListenerAnswer | Response): Response {
  if (answer instanceof Response) return answer;
  const { status = 200, headers = {}, body = null } = answer;
  return new Response(body instanceof Uint8Array ? oneChunk(body) : body, {
    status,
    headers: { ...headers },
  });
}
