import type { Duplex } from "node:stream";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { listen, type Listener } from "../lib/transport/listen.ts";
import type { AtLimit } from "./telemetry/metrics.ts";

/** Handler of one protocol's connections, such as an `HttpListener`. */
export interface ConnectionHandler {
  /** Serves a connection, which it owns, until either side ends it. */
  accept(stream: Duplex, cid: number): void;
  /** Chooses the connection that is closed when one more comes at the limit. */
  giveWay(): Duplex | undefined;
  /** Ends idle connections at once and the others after their answers, within a grace period in milliseconds. */
  close(graceMs: number): Promise<void>;
}

/** Limits on the connections of one protocol. */
export interface ServeLimits {
  /** Connections at once; at the limit, one that is idle gives way to a new one. */
  readonly maxConnections: number;
  /** Milliseconds without a byte in either direction after which a connection ends. Longer than any request. */
  readonly quietMs: number;
  /** CID that callers over TCP and unix sockets are taken for, which have none. */
  readonly developmentCid: number;
}

/** Most connections that wait to be accepted: Linux's own limit, unless somebody raised it. */
const MAX_BACKLOG = 4096;

/** A protocol that is served on an endpoint. */
export class Served implements AtLimit {
  readonly #listener: Listener;
  readonly #handler: ConnectionHandler;

  /** @internal */
  constructor(listener: Listener, handler: ConnectionHandler) {
    this.#listener = listener;
    this.#handler = handler;
  }

  /** Endpoint that it listens on, with the port that was chosen. */
  get endpoint(): Endpoint {
    return this.#listener.endpoint;
  }

  /** Connections that gave way to a new one. */
  get displacedCount(): number {
    return this.#listener.displacedCount;
  }

  /** New connections that were closed unheard. */
  get refusedCount(): number {
    return this.#listener.refusedCount;
  }

  /**
   * Accepts no more, finishes what runs, and cuts what is left after the grace period.
   *
   * @param graceMs In milliseconds
   */
  async close(graceMs: number): Promise<void> {
    const closed = this.#listener.close();
    await this.#handler.close(graceMs);
    this.#listener.destroyConnections();
    await closed;
  }
}

/**
 * Listens on an endpoint, and hands its connections to a handler with the CID of each peer.
 *
 * @param endpoint Endpoint to listen on
 * @param handler Handler of the connections
 * @param limits Limits on the connections
 * @returns The protocol, served
 * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock
 */
export async function serveConnections(
  endpoint: Endpoint,
  handler: ConnectionHandler,
  { maxConnections, quietMs, developmentCid }: ServeLimits,
): Promise<Served> {
  // A burst waits there; over unix sockets and vsock, one too many is refused at once.
  const backlog = Math.min(maxConnections, MAX_BACKLOG);
  const options = { backlog, maxConnections, idleTimeoutMs: quietMs, giveWay: () => handler.giveWay() };
  const listener = await listen(
    endpoint,
    options,
    ({ stream, peer }) => handler.accept(stream, peer?.cid ?? developmentCid),
  );
  return new Served(listener, handler);
}
