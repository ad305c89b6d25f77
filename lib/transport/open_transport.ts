import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Deadline } from "../core/deadline.ts";
import type { Endpoint, TcpEndpoint, UnixEndpoint } from "../core/endpoint.ts";
import { ConnectionError } from "../core/errors.ts";
import { missingRight } from "../core/missing_right.ts";
import { connectVsock } from "./connect_vsock.ts";

/** Words for the peer in errors. */
export interface PeerWords {
  /** Name after "Cannot connect to". */
  readonly name: string;
  /** Hint for failures that say nothing themselves. */
  readonly hint: string;
}

const KMS: PeerWords = {
  name: "KMS",
  hint:
    "Is a proxy to KMS, or KMS itself, listening there? In an enclave the way out is vsock CID 3, port 8000",
};

/**
 * Opens the stream that TLS to KMS, or anything else, runs over.
 *
 * @param endpoint Address of the peer, already checked
 * @param deadline End of the attempt
 * @param peer Words for the peer. Default: KMS
 * @returns The connected stream; the caller destroys it
 * @throws {ConnectionError} If nothing answers there
 * @throws {TimeoutError} If the deadline passes
 */
export function openTransport(
  endpoint: Endpoint,
  deadline: Deadline,
  peer: PeerWords = KMS,
): Promise<Duplex> {
  return endpoint.transport === "vsock"
    ? connectVsock(endpoint, deadline)
    : openSocket(endpoint, deadline, peer);
}

async function openSocket(
  endpoint: TcpEndpoint | UnixEndpoint,
  deadline: Deadline,
  peer: PeerWords,
): Promise<Duplex> {
  deadline.throwIfPassed();
  let socket: Socket | undefined;
  try {
    // Deno throws at once when it lacks the permission.
    socket = connectTo(endpoint);
    await deadline.race(connected(socket));
    return socket;
  } catch (error) {
    socket?.destroy();
    deadline.throwIfPassed();
    throw unreachable(endpoint, error, peer);
  }
}

function connectTo(endpoint: TcpEndpoint | UnixEndpoint): Socket {
  return endpoint.transport === "unix"
    ? connect({ path: endpoint.path })
    : connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    // Stays for good: an error between two owners of the socket must not end the process.
    socket.on("error", reject);
  });
}

function unreachable(
  endpoint: TcpEndpoint | UnixEndpoint,
  error: unknown,
  peer: PeerWords,
): ConnectionError {
  const where = endpoint.transport === "unix" ? "the unix socket" : `${endpoint.host}:${endpoint.port}`;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const right = missingRight(
    error,
    endpoint.transport === "tcp" ? `${endpoint.host}:${endpoint.port}` : undefined,
  );
  const reason = right === undefined ? code : "permission missing";
  return new ConnectionError(
    `Cannot connect to ${peer.name}: ${where} does not answer${reason === "" ? "" : ` (${reason})`}`,
    { hint: right ?? CONNECT_HINTS[code] ?? peer.hint, cause: error },
  );
}

const NO_NAMES =
  "No name is resolved here: an enclave has no network. Its way out is vsock CID 3, port 8000; elsewhere give an address";
const NO_ROUTE = "There is no network to there: in an enclave the way out is vsock CID 3, port 8000";
const FORBIDDEN =
  "The socket is there, and this process may not use it: do its owner and mode allow this user?";

const CONNECT_HINTS: Readonly<Record<string, string>> = {
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  ENOENT: "There is no such socket: is the path right, and has the proxy made it?",
  ENOTSOCK: "The file is no socket: is the path right?",
  ENOTFOUND: NO_NAMES,
  EAI_AGAIN: NO_NAMES,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  EMFILE:
    "This process is out of descriptors: is its limit (ulimit -n) too low, or does something leak them?",
};
