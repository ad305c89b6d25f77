import { clearTimeout, setTimeout } from "node:timers";
import { setImmediate } from "node:timers/promises";
import { Deadline } from "../core/deadline.ts";
import { ConnectionError, DisposedError, TimeoutError } from "../core/errors.ts";
import { Pauses } from "../core/pauses.ts";
import { Slots } from "../core/slots.ts";
import type { ConnectionStream } from "./connection.ts";
import type { TakeOptions } from "./create_fetch.ts";
import { type HttpConnection, StreamHttpAgent } from "./exchange.ts";

/** Limits of a {@link ConnectionPool}. */
export interface PoolLimits {
  /** Number of connections, and so of requests, at once; the others wait in line. */
  readonly maxConnections: number;
  /** Milliseconds that a connection may wait for its next request. */
  readonly maxIdleMs: number;
  /** Milliseconds for which connecting is tried again after a failure, with growing pauses; 0 for one try. */
  readonly reconnectMs: number;
}

/** Opens one connection. */
export type OpenConnection = (deadline: Deadline) => Promise<ConnectionStream>;

const PAUSES = { firstMs: 50, maxMs: 1000 };

/**
 * Pool of connections to one peer, each of which serves one HTTP request after the other. The one that was used last is
 * used next. Those that are idle do not keep the process alive, and are closed when the peer ends them, or says
 * something that nobody asked for.
 *
 * While connecting fails, it is tried again after pauses that grow from 50 ms to a second and that all requests share.
 */
export class ConnectionPool {
  readonly #open: OpenConnection;
  readonly #limits: PoolLimits;
  readonly #slots: Slots;
  readonly #pauses = new Pauses(PAUSES);
  readonly #all = new Set<PooledConnection>();
  readonly #idle: PooledConnection[] = [];
  readonly #takes = new Set<AbortController>();
  readonly #closed = Promise.withResolvers<void>();
  #isClosing = false;

  /**
   * Opens nothing yet.
   *
   * @param open Opens one connection
   * @param limits Limits
   */
  constructor(open: OpenConnection, limits: PoolLimits) {
    this.#open = open;
    this.#limits = limits;
    this.#slots = new Slots(limits.maxConnections);
  }

  /** Number of connections that are open. */
  get openCount(): number {
    return this.#all.size;
  }

  /**
   * Gives a connection without a request, waiting for one if need be.
   *
   * @param call Limits of the wait. With `isFresh` the connection had no request yet, and idle ones are closed
   * @returns The connection, for one request; it returns by itself once its answer has ended
   * @throws {ConnectionError} When the peer cannot be reached for `reconnectMs`
   * @throws {TimeoutError} When the time is up
   * @throws {DisposedError} After close, or when destroyed meanwhile
   */
  async take(
    { signal, timeoutMs = DEFAULT_TIMEOUT_MS, isFresh = false }: TakeOptions,
  ): Promise<HttpConnection> {
    // What was served before may be finished.
    if (this.#isClosing && !isFresh) throw new DisposedError(OWNER);
    const take = new AbortController();
    const leave = () => take.abort(signal?.reason);
    signal?.addEventListener("abort", leave);
    this.#takes.add(take);
    try {
      using deadline = new Deadline("ask the enclave", timeoutMs, take.signal, "enclave-connect");
      return await this.#take(deadline, isFresh);
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#takes.delete(take);
      this.#settle();
    }
  }

  /**
   * Gives no more connections, and closes those that are idle, now and once they are.
   *
   * @returns Resolves when there are none left
   */
  close(): Promise<void> {
    this.#isClosing = true;
    this.#closeIdle();
    this.#settle();
    return this.#closed.promise;
  }

  /** Closes every connection, and ends every wait for one. */
  destroy(): void {
    void this.close();
    for (const take of this.#takes) take.abort(new DisposedError(OWNER));
    for (const { stream } of this.#all) stream.destroy();
  }

  async #take(deadline: Deadline, isFresh: boolean): Promise<HttpConnection> {
    const slot = await this.#slots.take(deadline.signal);
    try {
      if (isFresh) this.#closeIdle();
      const connection = await this.#takeIdle() ?? await this.#connect(deadline);
      connection.begin(slot);
      return connection;
    } catch (error) {
      slot[Symbol.dispose]();
      throw error;
    }
  }

  /** Lets the event loop find first that a peer has ended meanwhile, as it does when it restarts. */
  async #takeIdle(): Promise<PooledConnection | undefined> {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      await setImmediate();
      if (!last.stream.destroyed) return last;
    }
    return undefined;
  }

  async #connect(deadline: Deadline): Promise<PooledConnection> {
    const endsAt = performance.now() + this.#limits.reconnectMs;
    for (;;) {
      await deadline.sleep(this.#pauses.remainingMs);
      try {
        const stream = await this.#open(deadline);
        this.#pauses.reset();
        return this.#adopt(stream);
      } catch (error) {
        deadline.throwIfPassed();
        const isOut = error instanceof ConnectionError || error instanceof TimeoutError;
        // Those that fail together count as one.
        if (isOut && this.#pauses.areOver) this.#pauses.begin();
        if (!isOut || performance.now() + this.#pauses.remainingMs >= endsAt) throw error;
      }
    }
  }

  #adopt(stream: ConnectionStream): PooledConnection {
    const connection: PooledConnection = new PooledConnection(stream, this.#limits.maxIdleMs, () => {
      if (this.#isClosing) stream.destroy();
      else this.#idle.push(connection);
    });
    this.#all.add(connection);
    stream.once("close", () => {
      this.#all.delete(connection);
      const place = this.#idle.indexOf(connection);
      if (place >= 0) this.#idle.splice(place, 1);
      this.#settle();
    });
    return connection;
  }

  #closeIdle(): void {
    for (const { stream } of this.#idle.splice(0)) stream.destroy();
  }

  #settle(): void {
    if (this.#isClosing && this.#all.size + this.#takes.size === 0) this.#closed.resolve();
  }
}

/** Object that is closed, for messages. */
const OWNER = "EnclaveConnector";

const DEFAULT_TIMEOUT_MS = 10_000;

/** Parts of sockets that decide whether the process may exit. */
interface Referable {
  ref?(): unknown;
  unref?(): unknown;
}

/** Connection of a pool: in use, or idle. */
class PooledConnection implements HttpConnection {
  readonly stream: ConnectionStream & Referable;
  readonly agent: StreamHttpAgent;
  readonly isKept = true;
  readonly #maxIdleMs: number;
  readonly #onIdle: () => void;
  #requests = 0;
  #slot: Disposable | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: ConnectionStream, maxIdleMs: number, onIdle: () => void) {
    this.stream = stream;
    this.#maxIdleMs = maxIdleMs;
    this.#onIdle = onIdle;
    this.agent = new StreamHttpAgent(stream, () => this.#rest());
    stream.on("error", () => {});
    stream.once("close", () => this.#leave());
  }

  get isReused(): boolean {
    return this.#requests > 1;
  }

  begin(slot: Disposable): void {
    this.#requests++;
    this.#slot = slot;
    clearTimeout(this.#timer);
    this.stream.off("data", this.#end).off("end", this.#end);
    this.stream.ref?.();
  }

  readonly #end = () => void this.stream.destroy();

  #rest(): void {
    // Nothing may come now: bytes would be taken for the next request's answer.
    this.stream.on("data", this.#end).on("end", this.#end);
    this.stream.unref?.();
    this.#timer = setTimeout(this.#end, this.#maxIdleMs).unref();
    this.#onIdle();
    this.#leave();
  }

  #leave(): void {
    clearTimeout(this.stream.destroyed ? this.#timer : undefined);
    this.#slot?.[Symbol.dispose]();
    this.#slot = undefined;
  }
}
