import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { TurnLimiter } from "../../lib/core/turn_limiter.ts";
import { ConnectionTimer } from "../connection_timer.ts";
import type { CallerConnection } from "../telemetry/request_record.ts";
import { AnswerWriter } from "./answer_writer.ts";
import type { ConnectionBindings } from "./http_env.ts";
import type { RequestBody } from "./request_body.ts";
import type { RequestHead } from "./request_head.ts";
import { RequestReader } from "./request_reader.ts";

/** A request that has come, with its body or as far as that is to be read before it begins. */
export interface IncomingRequest {
  readonly head: RequestHead;
  readonly body: RequestBody | undefined;
}

/** Owner of connections. */
export interface ConnectionOwner {
  /** Chooses the destination of a body, and whether its request begins before it has come. */
  receive(connection: HttpConnection, head: RequestHead): { body: RequestBody; isStream: boolean };
  /** Handles a request; resolves with whether the connection ends with its answer. Never rejects. */
  handle(connection: HttpConnection, request: IncomingRequest): Promise<boolean>;
  /** Refuses bytes that are no HTTP, or a head that is too large. */
  turnDown(connection: HttpConnection, isTooLarge: boolean): void;
  /** Notes that a connection waits for its next request. */
  rest(connection: HttpConnection): void;
}

/**
 * Bytes of a chunked body that are read in one turn of the event loop, at most, over all connections: in chunks of one
 * byte they are hundreds.
 */
const SLICE_BYTES = 4096;
const SLICE_TURNS = new TurnLimiter();

/** Bytes that are held while a request runs, before the connection is read no more. */
const MAX_HELD_BYTES = 16_384;

const NOTHING: Buffer = Buffer.alloc(0);

/** Milliseconds until a peer that sends no more is first asked whether it reads: a thousand a second may ask and leave. */
const FIRST_PROBE_MS = 10;

/** Milliseconds between the later probes. */
const PROBE_MS = 250;

/** Interim answer that probes the peer. Not 100, which confuses clients that did not expect it. */
const PROBE = "HTTP/1.1 102 Processing\r\n\r\n";

/**
 * Connection of an `HttpListener`: reads one request after the other, and the next one when the one before is answered.
 *
 * A client may end its direction when it has sent its request, and wait for the answer: `nc -N` and socat do. A client
 * that has gone looks the same, until something is written to it: an interim answer after ten milliseconds, and then every
 * quarter of a second, tells the two apart. HTTP/1.0 has no interim answers, so a request of such a client runs to its
 * end.
 */
export class HttpConnection implements CallerConnection {
  /** The peer's CID. */
  readonly cid: number;
  /** The connection as it was accepted. */
  readonly stream: Duplex;
  /** Way of answers. */
  readonly writer: AnswerWriter;
  /** Ends the connection when its time is up. */
  readonly timer: ConnectionTimer;
  /** Tells what else is known of the connection when a request has come. */
  readonly bindings: (() => ConnectionBindings) | undefined;
  /** Whether its first request has not begun. */
  isNew = true;
  /** Whether the answer to the request that runs has begun. */
  isAnswering = false;
  /** Called when the peer goes away while a request runs. */
  onGone: (() => void) | undefined;
  readonly #owner: ConnectionOwner;
  readonly #reader = new RequestReader();
  #unread = NOTHING;
  #request: IncomingRequest | undefined;
  #isReading = false;
  #isRunning = false;
  #isWaiting = false;
  #isOver = false;
  #probing: NodeJS.Timeout | undefined;

  /**
   * @param owner Handles its requests
   * @param stream The connection; owned from now on
   * @param cid The peer's CID
   * @param headersMs Milliseconds until the end of the first request's headers
   * @param bindings Tells what else is known of the connection
   */
  constructor(
    owner: ConnectionOwner,
    stream: Duplex,
    cid: number,
    headersMs: number,
    bindings?: () => ConnectionBindings,
  ) {
    this.#owner = owner;
    this.stream = stream;
    this.cid = cid;
    this.bindings = bindings;
    this.writer = new AnswerWriter(stream);
    this.timer = new ConnectionTimer(stream, headersMs);
    stream.on("error", () => stream.destroy());
    stream.once("close", () => this.#close());
    stream.once("end", () => this.#advance());
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
  }

  /** Whether the peer sends no more, and may be gone. */
  get hasEnded(): boolean {
    return this.stream.readableEnded;
  }

  /** Whether a request runs. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Whether the request that runs, or is refused, has come whole. */
  get isWhole(): boolean {
    return this.#reader.place === "end";
  }

  /** Reads on: a body that is read as it comes is wanted again. */
  resume(): void {
    // While a piece is handed over, its bytes still count as unread.
    if (!this.#isReading) this.#advance();
  }

  /** Sends what is written, and then ends the connection. What still comes is thrown away. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#drop();
    this.stream.end(() => this.stream.destroy());
  }

  /** Asks a peer that sends no more whether it reads. The stream is destroyed when the peer is gone. */
  async askWhetherGone(): Promise<void> {
    if (this.hasEnded && this.#canBeAsked) await this.writer.writeText(PROBE);
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#unread = this.#unread.length === 0 ? chunk : join(this.#unread, chunk);
    this.#advance();
  }

  /** Forgets what was not read, and wipes it: it may be the begin of a body. */
  #drop(): void {
    this.#unread.fill(0);
    this.#unread = NOTHING;
  }

  /** Reads what there is to be read. */
  #advance(): void {
    while (this.#unread.length > 0 && this.#mayRead && this.#readOnce());
    if (this.#isOver || this.stream.destroyed) return;
    if (this.#unread.length > MAX_HELD_BYTES) this.stream.pause();
    else if (this.stream.isPaused()) this.stream.resume();
    if (!this.hasEnded || this.#isWaiting) return;
    if (!this.isWhole && !this.#mayRead) return;
    // No request can come any more, or the one that runs is the last.
    if (this.isWhole) this.#probe();
    else if (this.#isRunning) this.stream.destroy();
    else this.end();
  }

  get #mayRead(): boolean {
    if (this.#isOver || this.#isWaiting || this.stream.destroyed) return false;
    const { place } = this.#reader;
    return place === "head" || (place === "body" && this.#request?.body?.wantsMore === true);
  }

  /** Reads a head or a piece of a body; returns false when it takes more bytes, or another turn. */
  #readOnce(): boolean {
    const reader = this.#reader;
    if (reader.place === "head") {
      const length = reader.readHead(this.#unread);
      this.#skip(length);
      if (reader.place !== "head") this.#begin();
      return length > 0;
    }
    const isChunked = reader.head?.framing === "chunked";
    if (isChunked && !SLICE_TURNS.tryTake()) {
      void this.#readLater();
      return false;
    }
    this.#readBody(isChunked ? this.#unread.subarray(0, SLICE_BYTES) : this.#unread);
    return true;
  }

  #readBody(bytes: Buffer): void {
    this.#isReading = true;
    const length = this.#reader.readBody(bytes);
    this.#isReading = false;
    this.#skip(length);
    this.#goOn();
  }

  #skip(length: number): void {
    this.#unread = length === this.#unread.length ? NOTHING : this.#unread.subarray(length);
  }

  async #readLater(): Promise<void> {
    this.#isWaiting = true;
    await SLICE_TURNS.take(() => this.stream.destroyed);
    this.#isWaiting = false;
    if (this.stream.destroyed || this.#isOver) return;
    this.#readBody(this.#unread.subarray(0, SLICE_BYTES));
    this.#advance();
  }

  #begin(): void {
    const { head, place } = this.#reader;
    if (head === undefined) return this.#owner.turnDown(this, place === "too-large");
    if (head.framing === 0) return this.#run({ head, body: undefined });
    const { body, isStream } = this.#owner.receive(this, head);
    this.#reader.body = body;
    this.#request = { head, body };
    if (head.expectsContinue) void this.writer.writeText("HTTP/1.1 100 Continue\r\n\r\n");
    if (isStream) this.#run(this.#request);
  }

  #goOn(): void {
    const { place } = this.#reader;
    if (place === "bad" && this.#isRunning) return void this.stream.destroy();
    if (place === "bad") return this.#owner.turnDown(this, false);
    const request = this.#request;
    if (this.#isRunning || request === undefined) return;
    if (place === "end" || request.body?.isHopeless === true) this.#run(request);
  }

  #run(request: IncomingRequest): void {
    this.#request = request;
    this.#isRunning = true;
    void this.#owner.handle(this, request).then((isLast) => this.#finish(isLast));
  }

  #finish(isLast: boolean): void {
    this.#request?.body?.abandon();
    this.#request = undefined;
    this.#isRunning = false;
    this.isAnswering = false;
    this.onGone = undefined;
    clearTimeout(this.#probing);
    this.#probing = undefined;
    if (this.stream.destroyed) return;
    if (isLast || !this.isWhole) return this.end();
    this.#reader.next();
    this.#owner.rest(this);
    this.#advance();
  }

  #close(): void {
    clearTimeout(this.#probing);
    this.timer[Symbol.dispose]();
    this.#drop();
    this.writer.close();
    this.onGone?.();
    if (!this.isWhole) this.#request?.body?.abandon();
  }

  #probe(afterMs = FIRST_PROBE_MS): void {
    this.#probing ??= setTimeout(() => {
      this.#probing = undefined;
      if (this.#canBeAsked) this.stream.write(PROBE);
      if (!this.stream.destroyed && this.#isRunning) this.#probe(PROBE_MS);
    }, afterMs);
  }

  /** False while bytes wait to be sent, or an answer has begun: they tell as much. */
  get #canBeAsked(): boolean {
    return !this.stream.destroyed && this.#isRunning && !this.isAnswering && this.isWhole &&
      this.stream.writableLength === 0 && this.#request?.head.isOld === false;
  }
}

/** Joins two pieces, and wipes them: credentials come in bodies. */
function join(first: Buffer, second: Buffer): Buffer {
  const all = Buffer.concat([first, second]);
  first.fill(0);
  second.fill(0);
  return all;
}
