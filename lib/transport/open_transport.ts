import { once } from "node:events";
import { connect } from "node:net";
import { connectUnix } from "#connect-unix";
import type { Deadline } from "../core/deadline.ts";
import type { Endpoint, TcpEndpoint, UnixEndpoint } from "../core/endpoint.ts";
import { ConnectionError } from "../core/errors.ts";
import { missingRight } from "../core/missing_right.ts";
import { connectVsock } from "./connect_vsock.ts";
import type { ConnectionStream } from "./connection.ts";

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
    "Is a proxy to KMS, or KMS itself, listening there? From an enclave, KMS is reached over vsock CID 3, port 8000",
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
): Promise<ConnectionStream> {
  return endpoint.transport === "vsock"
    ? connectVsock(endpoint, deadline)
    : openSocket(endpoint, deadline, peer);
}

async function openSocket(
  endpoint: TcpEndpoint | UnixEndpoint,
  deadline: Deadline,
  peer: PeerWords,
): Promise<ConnectionStream> {
  deadline.throwIfPassed();
  try {
    return await (endpoint.transport === "unix" ? openUnix(endpoint, deadline) : openTcp(endpoint, deadline));
  } catch (error) {
    deadline.throwIfPassed();
    throw unreachable(endpoint, error, peer);
  }
}

async function openUnix({ path }: UnixEndpoint, deadline: Deadline): Promise<ConnectionStream> {
  const connecting = connectUnix(path);
  connecting.then((late) => deadline.signal.aborted && late.destroy(), () => {});
  const stream = await deadline.race(connecting);
  return ignoreErrors(stream);
}

async function openTcp({ host, port }: TcpEndpoint, deadline: Deadline): Promise<ConnectionStream> {
  // Deno throws at once when it lacks the permission.
  const socket = ignoreErrors(connect({ host, port, noDelay: true }));
  try {
    await deadline.race(once(socket, "connect"));
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** An error between two owners of the stream must not end the process. */
function ignoreErrors<S extends ConnectionStream>(stream: S): S {
  return stream.on("error", () => {});
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
  "The host name cannot be resolved: from an enclave, KMS is reached over vsock CID 3, port 8000. Elsewhere, give an IP address";
const NO_ROUTE = "No network leads there: from an enclave, KMS is reached over vsock CID 3, port 8000";
const FORBIDDEN = "This process may not use the socket: do its owner and mode allow this user?";

const CONNECT_HINTS: Readonly<Record<string, string>> = {
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  ENOENT: "The socket does not exist: is the path right, and is the proxy running?",
  ENOTSOCK: "The file is not a socket: is the path right?",
  ENOTFOUND: NO_NAMES,
  EAI_AGAIN: NO_NAMES,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  EMFILE:
    "This process has no file descriptors left: is its limit (ulimit -n) too low, or does something leak them?",
};
