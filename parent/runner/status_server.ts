import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Endpoint, UnixEndpoint } from "../../lib/core/endpoint.ts";
import { type HttpServer, serve } from "../../lib/transport/serve.ts";
import { removeStaleSocket } from "../../lib/transport/vsock_place.ts";
import type { ParentState } from "./parent_state.ts";

/** Name of the socket of a running parent, in its state folder. */
const SOCKET = "parent.sock";

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Limits of both servers: few connections, no bodies. */
const LIMITS = { maxConnections: 64, maxBodyBytes: 1024, maxHeaderBytes: 8192, idleTimeoutMs: 30_000 };

/** Parts that the servers answer from. */
export interface StatusParts {
  /** State of the parent. */
  state(): ParentState;
  /** Renders the metrics. */
  renderMetrics(): Promise<string>;
  /** Begins to end the parent. */
  stop(): void;
}

/**
 * Finds the socket of a parent.
 *
 * @param stateFolder Its state folder
 */
export function parentSocket(stateFolder: string): UnixEndpoint {
  return { transport: "unix", path: join(stateFolder, SOCKET) };
}

/**
 * Serves metrics and the state on a TCP port of 127.0.0.1: `GET /metrics`, `/readyz` (200 or 503) and `/healthz`. Every
 * process of this machine may read them; there is no secret in them, and nothing can be changed.
 *
 * @param port TCP port, 0 for any free one
 * @param parts Parts to answer from
 * @throws {ConnectionError} When the port is taken
 */
export function serveStatus(port: number, parts: StatusParts): Promise<HttpServer> {
  const endpoint: Endpoint = { transport: "tcp", host: "127.0.0.1", port };
  return serve((request) => answerReading(request, parts), { endpoint, ...LIMITS });
}

/**
 * Serves the same on a unix socket in the state folder, which only the owner may enter, and `POST /v1/stop`.
 *
 * @param stateFolder Folder, which is made where it is not there
 * @param parts Parts to answer from
 * @throws {ConnectionError} When another parent has that folder
 */
export async function serveControl(stateFolder: string, parts: StatusParts): Promise<HttpServer> {
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const endpoint = parentSocket(stateFolder);
  await removeStaleSocket(endpoint.path);
  const server = await serve((request) => {
    if (request.method !== "POST" || pathOf(request) !== "/v1/stop") return answerReading(request, parts);
    parts.stop();
    return new Response(undefined, { status: 202 });
  }, { endpoint, ...LIMITS });
  await chmod(endpoint.path, 0o600);
  return server;
}

async function answerReading(request: Request, { state, renderMetrics }: StatusParts): Promise<Response> {
  if (request.method !== "GET") return new Response(undefined, { status: 405, headers: { allow: "GET" } });
  switch (pathOf(request)) {
    case "/metrics":
      return new Response(await renderMetrics(), { headers: { "content-type": METRICS_TYPE } });
    case "/readyz":
      return Response.json(state(), { status: state().isReady ? 200 : 503 });
    case "/healthz":
      return new Response("ok\n");
    default:
      return new Response(undefined, { status: 404 });
  }
}

function pathOf(request: Request): string {
  return new URL(request.url).pathname;
}
