/** TLS servers on loopback that do what a test wants, and clients for them. */
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { Deadline } from "../../../../lib/core/deadline.ts";
import type { Endpoint } from "../../../../lib/core/endpoint.ts";
import { KmsConnection, type KmsConnectionOptions } from "../../../../lib/kms/https/kms_connection.ts";
import { withRetries } from "../../../../lib/kms/https/retry.ts";
import { openTransport } from "../../../../lib/transport/open_transport.ts";
import { type CertificateKind, TlsAuthority } from "../../../../sim/tls/tls_certificates.ts";

export const HOST = "kms.eu-central-1.amazonaws.com";
export const authority = await TlsAuthority.create(HOST);

/** A server under test. */
export interface TestServer extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** Every TCP connection so far. */
  readonly sockets: readonly Socket[];
}

/** Answers requests over TLS. */
export async function serveTls(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: { kind?: CertificateKind; path?: string; tls?: ServerOptions; onSecure?: () => void } = {},
): Promise<TestServer> {
  const certificate = await authority.certificate(options.kind ?? "valid");
  const server = createTlsServer({ ...certificate, ...options.tls }, answer);
  server.on("secureConnection", () => options.onSecure?.());
  return await listen(server, options.path);
}

/** Does something with raw connections; what arrives is thrown away. */
export function serveTcp(onSocket: (socket: Socket) => void): Promise<TestServer> {
  return listen(createTcpServer((socket) => {
    socket.resume();
    onSocket(socket);
  }));
}

/** Reads the whole request and answers it with JSON. */
export function echo(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Uint8Array[] = [];
  request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  request.on("end", () => {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    response.setHeader("x-amzn-requestid", "request-1");
    response.end(
      JSON.stringify({ length, headers: request.headers, method: request.method, url: request.url }),
    );
  });
}

/** A connection to a server that trusts the test authority. */
export function connectionTo(
  server: { endpoint: Endpoint },
  options: Partial<KmsConnectionOptions> = {},
): KmsConnection {
  return new KmsConnection({
    open: (deadline) => openTransport(server.endpoint, deadline),
    hostName: HOST,
    trustedCertificates: authority.trustedCertificates,
    maxConnections: 16,
    maxIdleMs: 30_000,
    ...options,
  });
}

/** One request with a deadline of its own. */
export async function send(
  connection: KmsConnection,
  timeoutMs = 5000,
  signal?: AbortSignal,
  isSecret = false,
): Promise<string> {
  using deadline = new Deadline("test", timeoutMs, signal);
  const bytes = new TextEncoder().encode("body");
  const { body } = await connection.request({ host: HOST }, { bytes, isSecret }, deadline);
  return new TextDecoder().decode(body);
}

/** The same, and once more where a connection that was kept had been closed. */
export async function sendAgain(connection: KmsConnection, isSecret = false): Promise<string> {
  using deadline = new Deadline("test", 60_000);
  return await withRetries(() => send(connection, 5000, undefined, isSecret), 2, deadline);
}

/** Resolves when the peer of every connection is gone. */
export async function allClosed(server: TestServer): Promise<void> {
  await Promise.all(server.sockets.map(closed));
}

/** Resolves when the connection is closed. */
export async function closed(socket: Socket | undefined): Promise<void> {
  if (socket === undefined || socket.destroyed) return;
  await new Promise((resolve) => socket.once("close", resolve));
}

async function listen(server: Server, path?: string): Promise<TestServer> {
  const sockets: Socket[] = [];
  server.on("connection", (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, "127.0.0.1", resolve) : server.listen(path, resolve)
  );
  return {
    sockets,
    endpoint: path === undefined
      ? { transport: "tcp", host: "127.0.0.1", port: (server.address() as AddressInfo).port }
      : { transport: "unix", path },
    [Symbol.asyncDispose]: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
