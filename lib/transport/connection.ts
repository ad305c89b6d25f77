import type { Duplex } from "node:stream";
import type { ConnectionStream } from "../core/connection_stream.ts";
import type { Endpoint } from "../core/endpoint.ts";

export type { ConnectionStream };

/** Address of the peer on vsock. The kernel says it, and the peer cannot forge it. */
export interface VsockPeer {
  /** Context id: 3 is the parent, as an enclave sees it. */
  readonly cid: number;
  /** Port; below 1024 only for processes with privileges on the other side. */
  readonly port: number;
}

/** Accepted connection. */
export interface Connection {
  /** Stream of the connection; half-open, so end it yourself. Its errors need no listener. */
  readonly stream: ConnectionStream;
  /** The peer; `undefined` on TCP and unix sockets, which have no CID. */
  readonly peer: VsockPeer | undefined;
}

/** Acceptor of connections of one transport. */
export interface Acceptor {
  /** Address that it listens on, with the port that was chosen. */
  readonly endpoint: Endpoint;
  /** Accepts no more; when it resolves, the address is free. */
  stop(): Promise<void>;
}

/** Function that is called for each connection. */
export type OnAccept = (stream: ConnectionStream, peer: VsockPeer | undefined) => void;

/**
 * Function that chooses the stream to close for a new connection, by its peer; undefined refuses the new one. It must not
 * throw.
 */
export type GiveWay = (peer: VsockPeer | undefined, stream: ConnectionStream) => Duplex | undefined;
