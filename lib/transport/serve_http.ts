import type { Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Endpoint } from "../core/endpoint.ts";
import { IdleConnections } from "./idle_connections.ts";
import { listen, type Listener, type ListenOptions } from "./listen.ts";
import type { GiveWay, VsockPeer } from "./connection.ts";
import { PeerShares } from "./peer_shares.ts";

/** Milliseconds between two looks of a closing server for connections that have become idle. */
const IDLE_CHECK_MS = 50;

/** HTTP server on any endpoint. */
export interface HttpListener extends AsyncDisposable {
  /** Listener, with its address and counters. */
  readonly listener: Listener;
  /** Accepts no more, lets the requests that are running finish, and ends their connections. */
  close(): Promise<void>;
}

const peers = new WeakMap<Duplex, VsockPeer>();

/**
 * Serves HTTP/1.1 on vsock, TCP or a unix socket, the same on Node and Deno, with a server of node:http's. Its
 * own limits (`headersTimeout`, `requestTimeout`, `maxRequestsPerSocket`) hold as ever. At the limit of connections
 * one gives way that has no request in flight, as {@link IdleConnections} chooses it, or else one of the machine
 * that holds most, as {@link PeerShares} does.
 *
 * @param server Server of `createServer` that is not listening; its `request` listener answers
 * @param endpoint Address to listen on
 * @param options Limits on connections
 * @throws {ConnectionError} As {@link listen}
 */
export async function serveHttp(
  server: Server,
  endpoint: Endpoint,
  options: ListenOptions = {},
): Promise<HttpListener> {
  const idle = new IdleConnections();
  server.prependListener("request", ({ socket }, response) => {
    const inFlight = idle.begin(socket);
    response.once("prefinish", () => inFlight.answer());
    response.once("close", () => inFlight[Symbol.dispose]());
  });
  const shares = new PeerShares();
  const giveWay: GiveWay = (peer, stream) => idle.giveWay() ?? shares.giveWay(peer, stream);
  const listener = await listen(endpoint, { giveWay, ...options }, ({ stream, peer }) => {
    if (peer !== undefined) peers.set(stream, peer);
    idle.add(stream);
    shares.add(stream, peer);
    server.emit("connection", stream);
  });
  setListening(server, true);
  // Starts its watch over headersTimeout and requestTimeout, and its list of connections.
  server.emit("listening");
  let closing: Promise<void> | undefined;
  const close = () => closing ??= closeGracefully(server, listener);
  const dispose = async () => {
    const closed = close();
    listener.destroyConnections();
    await closed;
  };
  return { listener, close, [Symbol.asyncDispose]: dispose };
}

/**
 * Finds the peer that sent a request.
 *
 * @param socket Value of `request.socket`
 * @returns The peer; `undefined` on TCP and unix sockets
 */
export function peerOf(socket: Duplex): VsockPeer | undefined {
  return peers.get(socket);
}

async function closeGracefully(server: Server, listener: Listener): Promise<void> {
  setListening(server, false);
  const closed = listener.close();
  // It complains that it never listened, and stops its watch all the same.
  server.close(() => {});
  server.closeIdleConnections();
  const timer = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  await closed;
  clearInterval(timer);
}

/** Sets whether a server says that it listens: Deno's node:http keeps a connection alive only then. */
function setListening(server: Server, listening: boolean): void {
  Object.defineProperty(server, "listening", { value: listening, configurable: true });
}
