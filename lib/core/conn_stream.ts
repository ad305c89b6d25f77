import { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { TurnLimiter } from "./turn_limiter.ts";
import type { ConnectionStream } from "./connection_stream.ts";
import { ReadBuffer } from "./read_buffer.ts";

/** Part of a `Deno.Conn` that carries bytes, over any transport. */
export interface ByteConn {
  /** Fills the start of the buffer; null after the last byte. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Sends some bytes, and returns their number. */
  write(bytes: Uint8Array): Promise<number>;
  /** Tells the peer that no more bytes follow. */
  closeWrite(): Promise<void>;
  /** Closes the connection. */
  close(): void;
  /** Makes the connection keep the process alive. */
  ref(): void;
  /** Lets the process exit. */
  unref(): void;
}

/**
 * Number of reads of all connections that begin in one turn of the event loop. A read that finds bytes ends at once:
 * while a peer sends fast enough, reading alone would never leave the turn.
 */
const READS = new TurnLimiter(64);

/** Connection of Deno as a Node stream, with the methods that node:tls and node:http need of a socket. */
export class ConnStream extends Duplex {
  /** IP address of the peer, where it was given. */
  readonly remoteAddress: string | undefined;
  readonly #conn: ByteConn;
  readonly #buffer = new ReadBuffer();
  #bytesRead = 0;
  #bytesWritten = 0;
  #timer: NodeJS.Timeout | undefined;
  #wasRead = false;
  /** Whether {@link passTo} reads, which leaves nothing to read but the end. */
  #passesOn = false;
  /** Write of {@link passTo} that is under way. */
  #passing: Promise<void> | undefined;

  /**
   * Takes a connection over.
   *
   * @param conn The connection, owned from now on
   * @param options `allowHalfOpen`, as of node:net's sockets: whether it stays open after the peer has ended.
   *   Default: false. `remoteAddress`: IP address of the peer
   */
  constructor(conn: ByteConn, options: { allowHalfOpen?: boolean; remoteAddress?: string } = {}) {
    super({ allowHalfOpen: options.allowHalfOpen ?? false });
    this.remoteAddress = options.remoteAddress;
    this.#conn = conn;
  }

  /** Number of bytes received. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Number of bytes sent. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Makes the connection keep the process alive, as it does from the start. */
  ref(): this {
    this.#conn.ref();
    return this;
  }

  /** Lets the process exit while only this connection is open. */
  unref(): this {
    this.#conn.unref();
    return this;
  }

  /**
   * Emits `timeout` after so long without a byte in either direction; nothing else happens then.
   *
   * @param timeoutMs Milliseconds; 0 for never
   * @param callback Listens to `timeout` once
   */
  setTimeout(timeoutMs: number, callback?: () => void): this {
    clearTimeout(this.#timer);
    this.#timer = timeoutMs > 0 ? setTimeout(() => this.emit("timeout"), timeoutMs) : undefined;
    this.#timer?.unref();
    if (callback !== undefined) this.once("timeout", callback);
    return this;
  }

  /** Does nothing: only TCP has such probes. An agent of node:http calls it. */
  setKeepAlive(): this {
    return this;
  }

  /** Does nothing: only TCP delays. */
  setNoDelay(): this {
    return this;
  }

  /** Passes every byte and the end on to another stream, as {@link ConnectionStream.passTo} says. */
  passTo(target: ConnectionStream): boolean {
    if (this.#wasRead || this.destroyed) return false;
    this.#passesOn = true;
    void this.#passAll(target);
    return true;
  }

  /** Reads; called by the stream when it wants bytes. */
  override _read(): void {
    if (this.#passesOn) return;
    this.#wasRead = true;
    READS.take().then(() => this.#conn.read(this.#buffer.target)).then(
      (count) => {
        this.#bytesRead += count ?? 0;
        this.#timer?.refresh();
        this.push(count === null ? null : this.#buffer.take(count));
      },
      (error: Error) => this.destroy(error),
    );
  }

  /** Sends; called by the stream when it has bytes. */
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    // The write of passTo() comes first; its failure is told there.
    const written = this.#passing === undefined
      ? this.#writeAll(chunk)
      : this.#passing.catch(() => {}).then(() => this.#writeAll(chunk));
    written.then(() => done(), done);
  }

  /** Ends the direction; called by the stream after the last byte. */
  override _final(done: (error?: Error) => void): void {
    this.#conn.closeWrite().then(() => done(), done);
  }

  /** Closes; called by the stream once. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    try {
      this.#conn.close();
    } catch {
      // Closed by Deno already.
    }
    done(error);
  }

  async #passAll(target: ConnectionStream): Promise<void> {
    for (;;) {
      const count = await this.#readSome();
      if (count === undefined) return;
      if (count === null) break;
      try {
        await this.#passSome(count, target);
      } catch (error) {
        return void target.destroy(error as Error);
      }
    }
    this.once("end", () => target.end());
    this.push(null);
    this.resume();
  }

  async #passSome(count: number, target: ConnectionStream): Promise<void> {
    // Streams of other kinds may hold what they have taken.
    if (!(target instanceof ConnStream)) return await writeTo(target, this.#buffer.take(count));
    await (target.#passing = target.#writeAll(this.#buffer.target.subarray(0, count)));
    this.#buffer.release(count, true);
  }

  /** Reads into the buffer: null at the end, undefined after a failure. */
  async #readSome(): Promise<number | null | undefined> {
    try {
      if (!READS.tryTake()) await READS.take();
      const count = await this.#conn.read(this.#buffer.target);
      this.#bytesRead += count ?? 0;
      this.#timer?.refresh();
      return count;
    } catch (error) {
      return void this.destroy(error as Error);
    }
  }

  async #writeAll(chunk: Uint8Array): Promise<void> {
    let written = 0;
    while (written < chunk.length) {
      const count = await this.#conn.write(chunk.subarray(written));
      this.#bytesWritten += count;
      this.#timer?.refresh();
      written += count;
    }
  }
}

/** Writes to a stream of another kind, and waits until it has sent all. */
function writeTo(target: ConnectionStream, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    target.write(bytes, (error) => error === null || error === undefined ? resolve() : reject(error));
  });
}
