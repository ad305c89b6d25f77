import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { TurnLimiter } from "../../lib/core/turn_limiter.ts";

/**
 * Bytes that the parser of HTTP is given in one turn of the event loop, at most. It reads all that it is given at once:
 * 64 KiB in chunks of one byte, or with 2500 pipelined requests, take it a tenth of a second.
 */
const SLICE_BYTES = 4096;

/** Slices up to this length come four in a turn: a turn for each would keep short requests waiting in a flood. */
const SHORT_SLICE_BYTES = SLICE_BYTES / 4;

/** Turns of all connections. Not those of messages, or a short request would need two turns. */
const SLICE_TURNS = new TurnLimiter();
const SHORT_SLICE_TURNS = new TurnLimiter(4);

const NONE = new Uint8Array(0);

/** Milliseconds until a peer that sends no more is first asked whether it reads: a thousand a second may ask and leave. */
const FIRST_PROBE_MS = 10;

/** Milliseconds between the later probes. */
const PROBE_MS = 250;

/** Interim answer that probes the peer. Not 100, which confuses clients that did not expect it. */
const PROBE = "HTTP/1.1 102 Processing\r\n\r\n";

/**
 * A connection as node:http is to see it: the peer's bytes come in slices, in turns with other connections, and its
 * end comes once the requests before are answered.
 *
 * node:http breaks off a request that runs when the peer ends its direction. A client may do that when it has sent its
 * request, and wait for the answer: `nc -N` and socat do. A client that has gone looks the same, until something is
 * written to it: an interim answer after ten milliseconds, and then every quarter of a second, tells the two apart.
 * HTTP/1.0 has no interim answers, so a request of such a client runs to its end.
 */
export class RequestStream extends Duplex {
  readonly #stream: Duplex;
  readonly #waiting: () => IncomingMessage | undefined;
  #probing: NodeJS.Timeout | undefined;
  #pending: Uint8Array = NONE;
  #isWanted = false;
  #isEndDue = false;

  /**
   * @param stream The connection; owned from now on
   * @param waiting Finds a request that has come whole and waits for its answer
   */
  constructor(stream: Duplex, waiting: () => IncomingMessage | undefined) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    this.#waiting = waiting;
    stream.on("data", (chunk: Uint8Array) => this.#take(chunk));
    stream.once("end", () => {
      this.#isEndDue = true;
      this.checkEnd();
    });
    stream.on("error", (error) => this.destroy(error));
    stream.once("close", () => this.destroy());
  }

  /** Passes the peer's end on, if it has come and no request waits. Called after each answer. */
  checkEnd(): void {
    if (!this.#isEndDue || this.#pending.length > 0) return;
    if (this.#waiting() !== undefined) return this.#probe();
    this.#isEndDue = false;
    clearTimeout(this.#probing);
    this.push(null);
  }

  /** Asks a peer that sends no more whether it reads. The stream is destroyed when the peer is gone. */
  async askWhetherGone(): Promise<void> {
    if (!this.#isEndDue || !this.#canBeAsked) return;
    await new Promise<void>((resolve) => {
      this.once("close", resolve);
      this.#stream.write(PROBE, () => {
        this.off("close", resolve);
        resolve();
      });
    });
  }

  /** Called by the stream when it wants bytes. */
  override _read(): void {
    this.#isWanted = true;
    if (this.#pending.length > 0) void this.#give();
    else if (this.#stream.isPaused() || !this.#stream.readableFlowing) this.#stream.resume();
  }

  /** Called by the stream when it has bytes to send. */
  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#stream.write(chunk, done);
  }

  /** Called by the stream when it has several pieces to send: the head of an answer and its body. */
  override _writev(pieces: readonly { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#stream.cork();
    for (const [index, { chunk }] of pieces.entries()) {
      this.#stream.write(chunk, index === pieces.length - 1 ? done : undefined);
    }
    this.#stream.uncork();
  }

  /** Called by the stream after the last byte. */
  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end(done);
  }

  /** Called by the stream once. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#probing);
    this.#pending = NONE;
    this.#stream.destroy();
    done(error);
  }

  #probe(afterMs = FIRST_PROBE_MS): void {
    this.#probing ??= setTimeout(() => {
      this.#probing = undefined;
      if (this.#canBeAsked) this.#stream.write(PROBE);
      if (!this.destroyed) this.#probe(PROBE_MS);
    }, afterMs);
  }

  /** False while bytes wait to be sent: they tell as much, and may be the first half of an answer. */
  get #canBeAsked(): boolean {
    return !this.destroyed && this.writableLength === 0 && this.#waiting()?.httpVersion === "1.1";
  }

  #take(chunk: Uint8Array): void {
    if (this.#pending.length === 0 && this.#isWanted && hasTurn(chunk.length)) {
      this.#isWanted = false;
      return void this.push(chunk);
    }
    this.#stream.pause();
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    void this.#give();
  }

  async #give(): Promise<void> {
    if (!this.#isWanted) return;
    this.#isWanted = false;
    const isShort = this.#pending.length <= SHORT_SLICE_BYTES;
    await (isShort ? SHORT_SLICE_TURNS : SLICE_TURNS).take(() => this.destroyed);
    if (this.destroyed) return;
    const size = isShort ? SHORT_SLICE_BYTES : SLICE_BYTES;
    const slice = this.#pending.subarray(0, size);
    this.#pending = this.#pending.subarray(size);
    this.push(slice);
    // The stream may have said that it has ended while there was a slice to give.
    this.checkEnd();
  }
}

/** Takes the turn of a whole chunk, if it fits into one that is free now. */
function hasTurn(length: number): boolean {
  if (length > SLICE_BYTES) return false;
  return (length <= SHORT_SLICE_BYTES ? SHORT_SLICE_TURNS : SLICE_TURNS).tryTake();
}
