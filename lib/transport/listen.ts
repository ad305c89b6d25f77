/**
 * Listening on AF_VSOCK, the same on both runtimes: each has a file of its own, chosen by package.json and
 * deno.json. TCP and unix sockets take the same way, for development.
 *
 * @module
 */
import { acceptUnix } from "#accept-unix";
import { acceptVsock } from "#vsock-listen";
import { checkFields, checkInteger } from "../core/checks.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import { acceptSocket } from "./accept_socket.ts";
import type { Acceptor, Connection, GiveWay, OnAccept } from "./connection.ts";
import { ConnectionTable } from "./connection_table.ts";

/** CID to listen on that stands for every CID of this machine. */
export const ANY_CID = 0xffff_ffff;

/** Vsock port to listen on that takes a free one. */
export const ANY_VSOCK_PORT = 0xffff_ffff;

/** Options of {@link listen}; all have defaults. */
export interface ListenOptions {
  /** Connections that may wait to be accepted, 1 to 65535. Default: 128; any other needs `--allow-ffi` on Deno. */
  readonly backlog?: number | undefined;
  /** Connections at once, 1 to 1000000; one more is closed unheard, unless one gives way. Default: 1024. */
  readonly maxConnections?: number | undefined;
  /** Chooses the connection that is closed when one more comes at the limit. Default: none. */
  readonly giveWay?: GiveWay | undefined;
  /**
   * Milliseconds without a byte in either direction after which a connection is destroyed, 10 to 2147483647;
   * it may take a quarter longer. Default: 60000.
   */
  readonly idleTimeoutMs?: number | undefined;
}

/**
 * Listens, and hands over every connection with its peer.
 *
 * Not guaranteed: that the peer has a CID of its own. Every process on the parent is CID 3.
 *
 * @param endpoint Address: on vsock usually {@link ANY_CID} and a port from 1024 on
 * @param options Limits
 * @param onConnection Called for every connection; its throw destroys that connection
 * @returns The listener; dispose it with `await using`
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When an option is out of range
 * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock in this kernel
 * @throws {LibraryLoadError} On Node, when libc cannot be called
 */
export async function listen(
  endpoint: Endpoint,
  options: ListenOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  return await listenBy(acceptAny, endpoint, options, onConnection);
}

/** Function that accepts on any endpoint. */
type Accept = (endpoint: Endpoint, backlog: number, onAccept: OnAccept) => Promise<Acceptor>;

const acceptAny: Accept = (endpoint, backlog, onAccept) => {
  if (endpoint.transport === "vsock") return acceptVsock(endpoint, backlog, onAccept);
  if (endpoint.transport === "unix") return acceptUnix(endpoint, backlog, onAccept);
  return acceptSocket(endpoint, backlog, onAccept);
};

/**
 * Listens as {@link listen} does, with another acceptor.
 *
 * @param accept Acceptor
 * @param endpoint Address
 * @param options Limits
 * @param onConnection Called for every connection; its throw destroys that connection
 */
export async function listenBy(
  accept: Accept,
  endpoint: Endpoint,
  options: ListenOptions,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  const { backlog, maxConnections, idleTimeoutMs, giveWay } = checkOptions(options);
  const address = checkEndpoint(endpoint, 0);
  if (typeof onConnection !== "function") throw new TypeError("onConnection must be a function");
  const table = new ConnectionTable(maxConnections, idleTimeoutMs, giveWay);
  const onAccept: OnAccept = (stream, peer) =>
    table.adopt(stream, peer, () => onConnection({ stream, peer }));
  return new Listener(await accept(address, backlog, onAccept), table);
}

/** Listener that accepts connections until it is closed. */
export class Listener implements AsyncDisposable {
  readonly #acceptor: Acceptor;
  readonly #table: ConnectionTable;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(acceptor: Acceptor, table: ConnectionTable) {
    this.#acceptor = acceptor;
    this.#table = table;
  }

  /** Address that it listens on, with the port that was chosen. */
  get endpoint(): Endpoint {
    return this.#acceptor.endpoint;
  }

  /** Number of connections open now. */
  get connectionCount(): number {
    return this.#table.size;
  }

  /** Number of connections closed unheard since the start, because there were too many. */
  get refusedCount(): number {
    return this.#table.refusedCount;
  }

  /** Number of connections closed since the start, because they gave way to a new one. */
  get displacedCount(): number {
    return this.#table.displacedCount;
  }

  /** Number of connections destroyed since the start, because they were idle. */
  get idleCount(): number {
    return this.#table.idleCount;
  }

  /**
   * Accepts no more, and waits for the open connections: they end by themselves, by the idle time-out, or by
   * {@link destroyConnections}. Closing twice is harmless.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Breaks every connection off. */
  destroyConnections(): void {
    this.#table.destroyAll();
  }

  /** Closes at once, and breaks every connection off. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.close();
    this.destroyConnections();
    await closed;
  }

  async #close(): Promise<void> {
    await this.#acceptor.stop();
    await this.#table.untilEmpty();
  }
}

function checkOptions(given: ListenOptions) {
  const options = checkFields("listen options", given, [
    ...["backlog", "maxConnections", "giveWay", "idleTimeoutMs"],
  ]);
  const { giveWay } = options;
  if (giveWay !== undefined && typeof giveWay !== "function") {
    throw new TypeError("giveWay must be a function");
  }
  return {
    giveWay,
    backlog: checkInteger("backlog", options.backlog, { min: 1, max: 65_535, default: 128 }),
    maxConnections: checkInteger("maxConnections", options.maxConnections, {
      min: 1,
      max: 1_000_000,
      default: 1024,
    }),
    idleTimeoutMs: checkInteger("idleTimeoutMs", options.idleTimeoutMs, {
      min: 10,
      max: 2_147_483_647,
      default: 60_000,
    }),
  };
}
