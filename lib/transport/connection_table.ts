import type { ConnectionStream, GiveWay, VsockPeer } from "./connection.ts";

/** Progress of a connection. */
interface Progress {
  byteCount: number;
  sinceMs: number;
}

/** Number of times that the connections are checked within the idle time-out. */
const LOOKS_PER_TIMEOUT = 4;

/**
 * Table of the open connections of one listener: counts them, breaks idle ones off, and tells when all are gone.
 *
 * It counts bytes, and uses no timer of the stream: node:http sets and clears that.
 */
export class ConnectionTable {
  readonly #open = new Map<ConnectionStream, Progress>();
  readonly #maxConnections: number;
  readonly #idleTimeoutMs: number;
  readonly #giveWay: GiveWay | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #refusedCount = 0;
  #displacedCount = 0;
  #idleCount = 0;
  #whenEmpty: (() => void)[] = [];

  /**
   * Starts empty.
   *
   * @param maxConnections Number of connections that may be open at once
   * @param idleTimeoutMs Milliseconds without a byte in either direction
   * @param giveWay Chooses the connection that is closed for one more. Default: none, and the new one is refused
   */
  constructor(maxConnections: number, idleTimeoutMs: number, giveWay?: GiveWay) {
    this.#maxConnections = maxConnections;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#giveWay = giveWay;
  }

  /** Number of connections open now. */
  get size(): number {
    return this.#open.size;
  }

  /** Number of connections that were refused at the limit. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Number of connections that gave way to a new one. */
  get displacedCount(): number {
    return this.#displacedCount;
  }

  /** Number of connections that were idle for too long. */
  get idleCount(): number {
    return this.#idleCount;
  }

  /**
   * Takes a connection in.
   *
   * @param stream A new connection
   * @param peer Its peer
   * @param handle Called unless there are too many; its throw destroys the connection
   */
  adopt(stream: ConnectionStream, peer: VsockPeer | undefined, handle: () => void): void {
    // A peer that breaks off must not end the process, even without another listener.
    stream.on("error", () => {});
    if (this.#open.size >= this.#maxConnections && !this.#makeRoom(peer, stream)) {
      this.#refusedCount++;
      stream.destroy();
      return;
    }
    this.#open.set(stream, { byteCount: 0, sinceMs: performance.now() });
    stream.once("close", () => this.#forget(stream));
    this.#timer ??= this.#startTimer();
    try {
      handle();
    } catch (error) {
      stream.destroy(error as Error);
    }
  }

  /** Breaks every connection off. */
  destroyAll(): void {
    for (const stream of this.#open.keys()) stream.destroy();
  }

  /** Resolves when there is no connection left. */
  untilEmpty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Makes room for one more connection; returns false when there is none. */
  #makeRoom(peer: VsockPeer | undefined, newcomer: ConnectionStream): boolean {
    const stream = this.#giveWay?.(peer, newcomer);
    // It does not count from now on; its `close` comes later.
    if (stream === undefined || !this.#open.delete(stream as ConnectionStream)) return false;
    this.#displacedCount++;
    stream.destroy();
    return true;
  }

  #forget(stream: ConnectionStream): void {
    this.#open.delete(stream);
    if (this.#open.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #startTimer(): ReturnType<typeof setInterval> {
    return setInterval(() => this.#destroyIdle(), Math.ceil(this.#idleTimeoutMs / LOOKS_PER_TIMEOUT));
  }

  #destroyIdle(): void {
    const now = performance.now();
    for (const [stream, progress] of this.#open) {
      const byteCount = stream.bytesRead + stream.bytesWritten;
      if (byteCount !== progress.byteCount) {
        progress.byteCount = byteCount;
        progress.sinceMs = now;
      } else if (now - progress.sinceMs >= this.#idleTimeoutMs) {
        this.#idleCount++;
        stream.destroy();
      }
    }
  }
}
