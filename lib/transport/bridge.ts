import { acceptForBridge } from "#bridge-accept";
import { clearTimeout, setTimeout } from "node:timers";
import { checkFields, checkInteger } from "../core/checks.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../core/deadline.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import { BridgeTraffic, type OnFailure, type OpenTarget } from "./bridge_traffic.ts";
import type { Connection, ConnectionStream, GiveWay } from "./connection.ts";
import { listenBy, type Listener } from "./listen.ts";
import { openTransport, type PeerWords } from "./open_transport.ts";
import { PeerShares } from "./peer_shares.ts";

/** Limits of a bridge; all have defaults. */
export interface BridgeOptions {
  /**
   * Connections at once, 1 to 1000000; one more is closed unheard. On vsock and TCP it takes the place of the oldest one
   * of the machine that holds most, if its own holds fewer. Default: 4096.
   */
  readonly maxConnections?: number | undefined;
  /** Connections that may wait to be accepted, 1 to 65535. Default: 128; on vsock Deno needs FFI for others. */
  readonly backlog?: number | undefined;
  /** Milliseconds to reach the target, 10 to 2147483647. Default: 10000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds without a byte in either direction, 10 to 2147483647. Default: 600000. */
  readonly idleTimeoutMs?: number | undefined;
  /** The same once a peer has ended its direction. Default: 60000. A quarter more may pass of either. */
  readonly halfOpenTimeoutMs?: number | undefined;
  /** Told why a connection was closed before it reached its target. It must not throw. Default: nobody is told. */
  readonly onFailure?: OnFailure | undefined;
}

/** Names of all {@link BridgeOptions}. */
export const BRIDGE_FIELDS: readonly string[] = [
  "maxConnections",
  "backlog",
  "connectTimeoutMs",
  "idleTimeoutMs",
  "halfOpenTimeoutMs",
  "onFailure",
];

/** Counts of a bridge since its start, but for `openCount`. */
export interface BridgeCounters {
  /** Connections open now, with those whose target is not reached yet. */
  readonly openCount: number;
  /** Connections accepted, without those refused. */
  readonly acceptedCount: number;
  /** Connections closed unheard: at the limit, or because descriptors had run out. */
  readonly refusedCount: number;
  /** Connections closed because their target was not reached, or not wanted. */
  readonly failedCount: number;
  /** Connections that a peer broke off, or that gave way to another machine's. */
  readonly brokenCount: number;
  /** Connections closed because they were idle, or silent after one peer had ended. */
  readonly idleCount: number;
  /** Bytes from the accepted connections. */
  readonly bytesToTarget: number;
  /** Bytes from the targets. */
  readonly bytesFromTarget: number;
}

const DEFAULT_GRACE_MS = 10_000;

const TARGET: PeerWords = { name: "the target of a bridge", hint: "Is anything listening there?" };

/**
 * Opens a bridge: accepts connections, and joins each to one of its own to a target.
 *
 * Bytes pass untouched. The end of one direction leaves the other open. Nothing is read from a peer that the other does
 * not take. A process that is out of descriptors keeps the connections that it has, refuses new ones, and goes on when
 * there is room.
 *
 * Not guaranteed: privacy. Whoever runs the bridge reads what passes, unless the peers speak TLS.
 *
 * @param address Address to listen on; TCP port 0 takes a free one
 * @param target Address to connect to, or a function that connects
 * @param options Limits
 * @returns The bridge. Dispose it with `await using`, or close it
 * @throws {TypeError} When an option is unknown or of a wrong type
 * @throws {RangeError} When a number is out of range
 * @throws {ConnectionError} When the address is taken, not permitted, or there is no vsock in this kernel
 * @throws {LibraryLoadError} On Node, when libc cannot be called for vsock
 * @example
 * ```ts
 * import { connect, listen, openBridge } from "enclave-kms/vsock";
 *
 * const anyPort = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
 * await using target = await listen(anyPort, {}, ({ stream }) => void stream.pipe(stream));
 * await using bridge = await openBridge(anyPort, target.endpoint);
 *
 * const stream = await connect(bridge.endpoint);
 * stream.write("hello");
 * const [echo] = await stream.take(1).toArray();
 * String(echo); // "hello"
 * bridge.counters.bytesToTarget; // 5
 * ```
 */
export async function openBridge(
  address: Endpoint,
  target: Endpoint | OpenTarget,
  options: BridgeOptions = {},
): Promise<Bridge> {
  return new Bridge(await openBridgeParts(address, target, options));
}

/** Way that accepted connections take before they are joined to a target, such as a handshake. */
export interface BridgeEntrance {
  /**
   * Takes a connection, which it owns, and carries the one that comes of it.
   *
   * @param connection Connection that was accepted
   * @param carry Joins a stream to the target; the same function each time
   */
  accept(connection: Connection, carry: (stream: ConnectionStream) => void): void;
  /** Chooses the connection that is closed when one more comes at the limit. */
  readonly giveWay: GiveWay;
  /** Lets no more in: connections that are not carried yet are closed. */
  close(): void;
}

/** Parts of an open bridge, for classes of bridges. */
export interface BridgeParts {
  readonly listener: Listener;
  readonly traffic: BridgeTraffic;
  readonly entrance: BridgeEntrance | undefined;
}

/**
 * Opens the parts of a bridge; see {@link openBridge}.
 *
 * @param address Address to listen on
 * @param target Address to connect to, or a function that connects
 * @param options Limits
 * @param entrance Way before the target. Default: none
 */
export async function openBridgeParts(
  address: Endpoint,
  target: Endpoint | OpenTarget,
  options: BridgeOptions,
  entrance?: BridgeEntrance,
): Promise<BridgeParts> {
  const { listening, limits, onFailure } = checkBridgeOptions(options);
  const open = typeof target === "function"
    ? target
    : connectorTo(checkEndpoint(target), limits.connectTimeoutMs);
  const traffic = new BridgeTraffic(open, limits, onFailure);
  if (entrance === undefined) {
    const shares = new PeerShares();
    const carry = (connection: Connection) => {
      shares.add(connection.stream, connection.peer);
      void traffic.carry(connection);
    };
    const giveWay: GiveWay = (peer, stream) => shares.giveWay(peer, stream);
    const listener = await listenBy(acceptForBridge, address, { ...listening, giveWay }, carry);
    return { listener, traffic, entrance };
  }
  const { giveWay } = entrance;
  const carry = (stream: ConnectionStream) => void traffic.carry({ stream, peer: undefined });
  const enter = (connection: Connection) => entrance.accept(connection, carry);
  const listener = await listenBy(acceptForBridge, address, { ...listening, giveWay }, enter);
  return { listener, traffic, entrance };
}

/** Bridge that is open. */
export class Bridge implements AsyncDisposable {
  readonly #listener: Listener;
  readonly #traffic: BridgeTraffic;
  readonly #entrance: BridgeEntrance | undefined;

  /** @internal */
  constructor({ listener, traffic, entrance }: BridgeParts) {
    this.#listener = listener;
    this.#traffic = traffic;
    this.#entrance = entrance;
  }

  /** Address that it listens on, with the port that was chosen. */
  get endpoint(): Endpoint {
    return this.#listener.endpoint;
  }

  /** Counts at this moment. */
  get counters(): BridgeCounters {
    const { refusedCount, ...counters } = this.#traffic.counters;
    return {
      openCount: this.#traffic.size,
      ...counters,
      refusedCount: refusedCount + this.#listener.refusedCount,
    };
  }

  /**
   * Accepts no more, lets open connections end by themselves, and breaks off those that are left after the grace
   * period. Closing twice is harmless.
   *
   * @param options `graceMs`: milliseconds, 0 to 2147483647. Default: 10000
   */
  async close(options: { readonly graceMs?: number | undefined } = {}): Promise<void> {
    const { graceMs } = checkFields("close options", options, ["graceMs"]);
    const range = { min: 0, max: MAX_TIMEOUT_MS, default: DEFAULT_GRACE_MS };
    const timer = setTimeout(() => this.#breakOffAll(), checkInteger("graceMs", graceMs, range));
    try {
      this.#entrance?.close();
      await this.#listener.close();
      await this.#traffic.untilEmpty();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Accepts no more, and breaks every connection off at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#listener.close();
    this.#entrance?.close();
    this.#breakOffAll();
    await closed;
    await this.#traffic.untilEmpty();
  }

  #breakOffAll(): void {
    this.#traffic.breakOffAll();
    this.#listener.destroyConnections();
  }
}

function connectorTo(target: Endpoint, timeoutMs: number): OpenTarget {
  return async (_, signal) => {
    using deadline = new Deadline("reach the target of a bridge", timeoutMs, signal, "connect");
    return await openTransport(target, deadline, TARGET);
  };
}

function checkBridgeOptions(given: BridgeOptions) {
  const options = checkFields("bridge options", given, BRIDGE_FIELDS);
  const { onFailure = () => {} } = options;
  if (typeof onFailure !== "function") throw new TypeError("onFailure must be a function");
  const timeout = (name: "connectTimeoutMs" | "idleTimeoutMs" | "halfOpenTimeoutMs", standard: number) =>
    checkInteger(name, options[name], { min: 10, max: MAX_TIMEOUT_MS, default: standard });
  return {
    onFailure,
    listening: {
      backlog: options.backlog,
      maxConnections: options.maxConnections ?? 4096,
      // The bridge looks for silent pairs itself: it sees both sides, and knows which are half open.
      idleTimeoutMs: MAX_TIMEOUT_MS,
    },
    limits: {
      connectTimeoutMs: timeout("connectTimeoutMs", 10_000),
      idleTimeoutMs: timeout("idleTimeoutMs", 600_000),
      halfOpenTimeoutMs: timeout("halfOpenTimeoutMs", 60_000),
    },
  };
}
