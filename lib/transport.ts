import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Deadline } from "./deadline.ts";
import type { Endpoint, TcpEndpoint, UnixEndpoint } from "./endpoint.ts";
import { ConnectionError } from "./errors.ts";
import { connectVsock } from "./vsock/connect.ts";

/**
 * Opens the stream that TLS to KMS runs over.
 *
 * @param endpoint Where to, already checked
 * @param deadline When to give up
 * @returns The connected stream; the caller destroys it
 * @throws {ConnectionError} If nothing answers there
 * @throws {TimeoutError} If the deadline passes
 */
export function openTransport(endpoint: Endpoint, deadline: Deadline): Promise<Duplex> {
  return endpoint.transport === "vsock" ? connectVsock(endpoint, deadline) : openSocket(endpoint, deadline);
}

async function openSocket(endpoint: TcpEndpoint | UnixEndpoint, deadline: Deadline): Promise<Duplex> {
  deadline.throwIfPassed();
  const socket = endpoint.transport === "unix"
    ? connect({ path: endpoint.path })
    : connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
  try {
    await deadline.race(connected(socket));
    return socket;
  } catch (error) {
    socket.destroy();
    deadline.throwIfPassed();
    throw unreachable(endpoint, error);
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    // Stays for good: an error between two owners of the socket must not end the process.
    socket.on("error", reject);
  });
}

function unreachable(endpoint: TcpEndpoint | UnixEndpoint, error: unknown): ConnectionError {
  const where = endpoint.transport === "unix" ? "the unix socket" : `${endpoint.host}:${endpoint.port}`;
  const reason = error instanceof Error && "code" in error ? ` (${error.code})` : "";
  return new ConnectionError(`Cannot connect to KMS: ${where} does not answer${reason}`, {
    hint:
      "Is a proxy to KMS, or KMS itself, listening there? In an enclave the way out is vsock CID 3, port 8000",
    cause: error,
  });
}
