import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { TurnLimiter } from "../../lib/core/turn_limiter.ts";

/**
 * The most that the parser of HTTP is given in one turn of the event loop, in bytes. It reads all that it is given at
 * once: 64 KiB in chunks of one byte, or with 2500 pipelined requests, take it a tenth of a second.
 */
const SLICE_BYTES = 4096;

/** Short slices come several in a turn, no more than a whole one together: a turn for each lets a flood of them wait. */
const SHORT_SLICE_BYTES = SLICE_BYTES / 4;

/** One event loop for all connections. Not the turns of messages, or a short request would need two. */
const SLICE_TURNS = new TurnLimiter();
const SHORT_SLICE_TURNS = new TurnLimiter(4);

const NONE = new Uint8Array(0);

/**
 * After how long a peer that sends no more is asked whether it still reads, in milliseconds: soon, since a thousand
 * that ask and leave may come in a second. And how often after that.
 */
const FIRST_PROBE_MS = 10;
const PROBE_MS = 250;

/** Goes before an answer, and says nothing of it. Not 100, which clients take amiss that did not expect it. */
const PROBE = "HTTP/1.1 102 Processing\r\n\r\n";

/**
 * A connection as node:http is to see it: what the peer sends comes in slices, one in each turn of the event loop,
 * and the end of it once the requests before are answered.
 *
 * node:http breaks off what runs when the peer ends its direction. A client may do that when it has sent its request,
 * and wait for the answer: `nc -N` and socat do. From here that looks the same as a client that is gone, but only to
 * the one nothing can be written: an interim answer after ten milliseconds, and every quarter of a second, finds out. HTTP/1.0 has none, so what
 * such a client asked for runs to its end.
 */
export class RequestStream extends Duplex {
  readonly #stream: Duplex;
  readonly #waiting: () => IncomingMessage | undefined;
  #probing: NodeJS.Timeout | undefined;
  #pending: Uint8Array = NONE;
  #isWanted = false;
  #isEndDue = false;

  /**
   * @param stream Owned from now on
   * @param waiting Finds a request that has come whole and waits for its answer
   */
  constructor(stream: Duplex, waiting: () => IncomingMessage | undefined) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    this.#waiting = waiting;
    stream.on("data", (chunk: Uint8Array) => {
      stream.pause();
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
      void this.#give();
    });
    stream.once("end", () => {
      this.#isEndDue = true;
      this.checkEnd();
    });
    stream.on("error", (error) => this.destroy(error));
    stream.once("close", () => this.destroy());
  }

  /** Passes the peer's end on, if it has come and may be. Called after each answer. */
  checkEnd(): void {
    if (!this.#isEndDue || this.#pending.length > 0) return;
    if (this.#waiting() !== undefined) return this.#probe();
    this.#isEndDue = false;
    clearTimeout(this.#probing);
    this.push(null);
  }

  /** Asks a peer that sends no more whether it still reads. It is gone if the stream is destroyed then. */
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
    if (this.#pending.length === 0) this.#stream.resume();
    else void this.#give();
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

  /** What waits to be sent tells as much, and may be the first half of an answer. */
  get #canBeAsked(): boolean {
    return !this.destroyed && this.writableLength === 0 && this.#waiting()?.httpVersion === "1.1";
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
