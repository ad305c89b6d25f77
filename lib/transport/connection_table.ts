import type { ConnectionStream, GiveWay } from "./connection.ts";

/** What is known of a connection's progress. */
interface Progress {
  byteCount: number;
  sinceMs: number;
}

/** How often within the idle time-out the connections are looked at. */
const LOOKS_PER_TIMEOUT = 4;

/**
 * The open connections of one listener: counts them, breaks idle ones off, and says when all are gone.
 *
 * Bytes are counted, and no timer of the stream's own is used: node:http sets and clears those as it likes.
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
   * @param maxConnections How many may be open at once
   * @param idleTimeoutMs Milliseconds without a byte in either direction
   * @param giveWay Chooses which connection is closed for one more. Default: none, and the new one is refused
   */
  constructor(maxConnections: number, idleTimeoutMs: number, giveWay?: GiveWay) {
    this.#maxConnections = maxConnections;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#giveWay = giveWay;
  }

  /** Connections open now. */
  get size(): number {
    return this.#open.size;
  }

  /** Connections that were one too many. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Connections that gave way to a new one. */
  get displacedCount(): number {
    return this.#displacedCount;
  }

  /** Connections that were idle for too long. */
  get idleCount(): number {
    return this.#idleCount;
  }

  /**
   * @param stream A new connection
   * @param handle Called unless there are too many; what it throws destroys the connection
   */
  adopt(stream: ConnectionStream, handle: () => void): void {
    // A peer that breaks off must not end the process, whoever else listens.
    stream.on("error", () => {});
    if (this.#open.size >= this.#maxConnections && !this.#makeRoom()) {
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

  /** @returns Whether there is room for one more */
  #makeRoom(): boolean {
    const stream = this.#giveWay?.();
    // It counts no longer from now on; its `close` comes later.
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
