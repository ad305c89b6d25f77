import type { Duplex } from "node:stream";
import type { Endpoint } from "../core/endpoint.ts";

/** Who is at the other end, by the kernel's word: a peer cannot forge it. */
export interface VsockPeer {
  /** Context id: 3 is the parent, as an enclave sees it. */
  readonly cid: number;
  /** Port; below 1024 only for what ran with privileges over there. */
  readonly port: number;
}

/** A stream that counts its bytes, as sockets do. */
export interface ConnectionStream extends Duplex {
  /** Bytes received. */
  readonly bytesRead: number;
  /** Bytes sent. */
  readonly bytesWritten: number;
}

/** One accepted connection. */
export interface Connection {
  /** Carries the bytes; half-open, so end it yourself. Its errors need no listener. */
  readonly stream: ConnectionStream;
  /** The peer; `undefined` on TCP and unix sockets, which have no CID. */
  readonly peer: VsockPeer | undefined;
}

/** What one transport does. */
export interface Acceptor {
  /** Where it listens, with the port that was chosen. */
  readonly endpoint: Endpoint;
  /** Accepts no more; when it resolves, the address is free. */
  stop(): Promise<void>;
}

/** What it calls for each connection. */
export type OnAccept = (stream: ConnectionStream, peer: VsockPeer | undefined) => void;

/** Returns a connection's stream; none refuses the new connection. It must not throw. */
export type GiveWay = () => Duplex | undefined;
