import { once } from "node:events";
import net from "node:net";
import type { Endpoint, TcpEndpoint, UnixEndpoint } from "../core/endpoint.ts";
import { ConnectionError } from "../core/errors.ts";
import type { Acceptor, OnAccept } from "./connection.ts";

/** Likeliest causes of a failed listen, by Node's error code. */
const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "Another process listens there, or left its unix socket behind: if none listens, remove the file",
  EADDRNOTAVAIL: "This machine does not have that address",
  EACCES:
    "A port below 1024 needs the capability CAP_NET_BIND_SERVICE, and a unix socket needs a writable folder",
  ENOENT: "The folder of the unix socket does not exist",
  AddrInUse: "Another process listens there, or left its unix socket behind: remove the file if nobody does",
  AddrNotAvailable: "This machine does not have that address",
  NotFound: "The folder of the unix socket does not exist",
  NotCapable: "Deno needs --allow-net=<host>:<port> for tcp, and --allow-read and --allow-write for unix",
};

/**
 * Listens on TCP or a unix socket, for development.
 *
 * @param endpoint Address to listen on; TCP port 0 takes a free one
 * @param backlog Number of connections that may wait to be accepted
 * @param onAccept Called for every connection
 * @throws {ConnectionError} If the address is taken or not permitted
 */
export async function acceptSocket(
  endpoint: TcpEndpoint | UnixEndpoint,
  backlog: number,
  onAccept: OnAccept,
): Promise<Acceptor> {
  const server = net.createServer(
    { allowHalfOpen: true, noDelay: true },
    (socket) => onAccept(socket, undefined),
  );
  try {
    const listening = once(server, "listening");
    if (endpoint.transport === "unix") server.listen({ path: endpoint.path, backlog });
    else server.listen({ host: endpoint.host, port: endpoint.port, backlog });
    await listening;
  } catch (error) {
    throw listenError(endpoint, error);
  }
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null && { port: bound.port };
  return acceptFrom(server, endpoint.transport === "unix" ? endpoint : { ...endpoint, ...port });
}

/**
 * Makes an acceptor of a server.
 *
 * @param server A server that listens already
 * @param endpoint Its address
 */
export function acceptFrom(server: net.Server, endpoint: Endpoint): Acceptor {
  // Out of descriptors, for example: the peer is turned away, and the next one may be accepted.
  server.on("error", () => {});
  const stop = () => {
    server.close();
    return Promise.resolve();
  };
  return { endpoint, stop };
}

/**
 * Makes the error of a failed listen.
 *
 * @param endpoint Address to listen on
 * @param error Error of the runtime
 */
export function listenError(endpoint: TcpEndpoint | UnixEndpoint, error: unknown): ConnectionError {
  const where = endpoint.transport === "unix" ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
  const { code, name } = error as { code?: string; name?: string };
  const reason = code ?? name ?? "unknown error";
  return new ConnectionError(`Cannot listen on ${where}: ${reason}`, {
    hint: HINTS[reason] ?? HINTS[name ?? ""] ?? "Does this machine have the address?",
    cause: error,
  });
}
