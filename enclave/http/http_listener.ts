import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { setImmediate } from "node:timers/promises";
import { IdleConnections } from "../../lib/transport/idle_connections.ts";
import { MESSAGE_TURNS } from "../message_turns.ts";
import { problem, PROBLEM_TYPE } from "./problem.ts";
import { readBody } from "./read_body.ts";
import { ReadRequest } from "./read_request.ts";
import { type Journal, RequestRecord } from "../telemetry/request_record.ts";
import { RequestStream } from "./request_stream.ts";
import { sendAnswer } from "./send_answer.ts";
import { CallerGoneError } from "../service_errors.ts";

/** How patient the server is, in milliseconds. */
export interface HttpTimeouts {
  /** From a connection's start to the end of its first request's headers. */
  readonly headersMs: number;
  /** From the headers to the end of the body. */
  readonly bodyMs: number;
  /** From the body to the last byte of the answer; longer than the request deadline. */
  readonly answerMs: number;
  /** From an answer to the end of the next request's headers. */
  readonly idleMs: number;
}

/** The time-outs when the configuration names none. */
export const DEFAULT_HTTP_TIMEOUTS: HttpTimeouts = {
  headersMs: 10_000,
  bodyMs: 10_000,
  answerMs: 30_000,
  idleMs: 60_000,
};

/** What the listener knows of who sent a request. */
export interface Caller {
  /** Of the caller. */
  cid: number;
  /** Aborts when the connection ends before the answer. */
  gone: AbortSignal;
  /** Identifies the connection. */
  connection: object;
}

/** What the listener is made of. */
export interface HttpListenerParts extends Journal {
  /** The app, with what the listener knows of the caller beside the request. */
  readonly fetch: (request: Request, env: Caller) => Response | Promise<Response>;
  /** How patient to be. */
  readonly timeouts: HttpTimeouts;
}

/** All headers of a request together, in bytes. */
const MAX_HEADER_BYTES = 16_384;

/** Requests on one connection that may wait for their answers. */
const MAX_PIPELINED = 16;

/** Headers that the app looks at; the others stop here. */
const PASSED_ON = ["accept", "content-encoding", "content-type"] as const;

/** A stream that carries HTTP, and what is known of it. */
interface Connection {
  /** As node:http has it. */
  readonly stream: RequestStream;
  /** As it was accepted. */
  readonly accepted: Duplex;
  readonly cid: number;
  /** Whether the peer sends no more, and may be gone. */
  readonly hasEnded: boolean;
  /** Starts over the one time-out of the connection. */
  readonly allow: (ms: number) => void;
  /** Whether its first request has not begun. */
  isNew: boolean;
  /** Requests that are not answered yet; with pipelining there can be more than one. */
  running: number;
  /** The request that came last. */
  last: IncomingMessage | undefined;
  /** Settles when the last of them is answered: they take turns, so that one caller cannot fill the queue. */
  turn: Promise<void>;
}

/**
 * HTTP/1.1 over any stream. node:http parses; what it cannot do for a stream that it did not accept itself
 * (time-outs, an orderly end) is done here.
 */
export class HttpListener {
  readonly #parts: HttpListenerParts;
  readonly #server: Server;
  readonly #connections = new Map<Duplex, Connection>();
  readonly #idle = new IdleConnections();
  #closing = false;
  #whenIdle: (() => void) | undefined;

  /** @param parts What it is made of */
  constructor(parts: HttpListenerParts) {
    this.#parts = parts;
    const limits = {
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
    };
    this.#server = createServer(limits, (request, response) => this.#serve(request, response));
    this.#server.on("clientError", (error, stream) => this.#turnDown(error, stream));
    // Deno's node:http keeps a connection alive only while its server listens, and asks it.
    Object.defineProperty(this.#server, "listening", { get: () => !this.#closing });
  }

  /**
   * Serves a connection until either side ends it.
   *
   * @param accepted Owned from now on
   * @param cid Of the peer
   */
  accept(accepted: Duplex, cid: number): void {
    if (this.#closing) return void accepted.destroy();
    const { metrics, refusals, timeouts } = this.#parts;
    const stream = new RequestStream(accepted, () => waitingOn(connection));
    let timer = setTimeout(() => stream.destroy(), timeouts.headersMs);
    const allow = (ms: number) => {
      clearTimeout(timer);
      // One that has closed is not to be kept in memory by it.
      if (!stream.destroyed) timer = setTimeout(() => stream.destroy(), ms);
    };
    const uncount = metrics.countConnection("http");
    this.#idle.add(accepted);
    const connection: Connection = {
      stream,
      accepted,
      cid,
      get hasEnded() {
        return accepted.readableEnded;
      },
      allow,
      isNew: true,
      running: 0,
      last: undefined,
      turn: Promise.resolve(),
    };
    this.#connections.set(stream, connection);
    stream.on("error", () => stream.destroy());
    stream.once("close", () => {
      clearTimeout(timer);
      uncount();
      this.#connections.delete(stream);
      refusals.end(connection, { protocol: "http", cid });
      this.#checkIdle();
    });
    this.#server.emit("connection", stream);
  }

  /** Chooses the connection that is closed when one more comes at the limit, as {@link IdleConnections} does. */
  giveWay(): Duplex | undefined {
    return this.#idle.giveWay();
  }

  /**
   * Ends idle connections at once and the others after their answers; what is left after the grace period is
   * cut.
   *
   * @param graceMs In milliseconds
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const { stream, running } of this.#connections.values()) if (running === 0) stream.destroy();
    if (this.#connections.size === 0) return;
    const timer = setTimeout(() => {
      for (const stream of this.#connections.keys()) stream.destroy();
    }, graceMs);
    await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    clearTimeout(timer);
  }

  #checkIdle(): void {
    if (this.#connections.size === 0) this.#whenIdle?.();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    if (++connection.running > MAX_PIPELINED) return void connection.stream.destroy();
    connection.last = request;
    response.once("close", () => this.#rest(connection, response));
    connection.turn = connection.turn.then(() => this.#handle(connection, request, response));
  }

  async #handle(connection: Connection, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { bodyMs, answerMs } = this.#parts.timeouts;
    try {
      connection.allow(bodyMs);
      const body = await readBody(request);
      using inFlight = this.#idle.begin(connection.accepted);
      response.once("prefinish", () => inFlight.answer());
      await this.#untilItsTurn(connection);
      if (connection.stream.destroyed) return;
      connection.allow(answerMs);
      if (body === undefined) return this.#refuse(connection, response, 413, "ERR_BODY_TOO_LARGE");
      await this.#answer(connection, request, response, body);
    } catch {
      // The caller went away, or sent half a body: there is nobody to answer.
      connection.stream.destroy();
    }
  }

  /** What is not begun for a peer that is gone costs nothing: it may be a call to KMS, over a connection of its own. */
  async #untilItsTurn(connection: Connection): Promise<void> {
    const { stream } = connection;
    if (connection.isNew) {
      // The end that came behind the request is read in the next turn but one.
      for (let turn = 0; turn < 2; turn++) await setImmediate();
      connection.isNew = false;
    }
    await MESSAGE_TURNS.take(() => stream.destroyed);
    await stream.askWhetherGone();
  }

  async #answer(
    connection: Connection,
    request: IncomingMessage,
    response: ServerResponse,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const { fetch } = this.#parts;
    const { cid, stream } = connection;
    let translated: Request;
    try {
      translated = translate(request, body);
    } catch {
      return this.#refuse(connection, response, 400, "ERR_BAD_REQUEST");
    }
    const caller = new AbortController();
    const leave = () => caller.abort(new CallerGoneError());
    stream.once("close", leave);
    if (stream.destroyed) leave();
    try {
      const answer = await fetch(translated, { cid, gone: caller.signal, connection });
      await sendAnswer(answer, { response, stream }, this.#closing);
    } finally {
      stream.off("close", leave);
      body.fill(0);
    }
  }

  /** What never gets to the app is answered, logged and counted here. */
  #refuse(connection: Connection, response: ServerResponse, status: number, code: string): void {
    const record = new RequestRecord("http", connection.cid, undefined, connection);
    response.writeHead(status, { "content-type": PROBLEM_TYPE, connection: "close" });
    response.end(JSON.stringify(problem(status, code, record.id)));
    record.finish(this.#parts, "refused", status);
  }

  /** Between two requests. */
  #rest(connection: Connection, response: ServerResponse): void {
    connection.running--;
    if (!response.writableFinished) return void connection.stream.destroy();
    connection.stream.checkEnd();
    if (connection.running > 0) return;
    if (this.#closing) connection.stream.destroy();
    else connection.allow(this.#parts.timeouts.idleMs);
  }

  /** Bytes that are no HTTP, or too many of them. */
  #turnDown(error: Error & { code?: string }, stream: Duplex): void {
    const tooLarge = error.code === "HPE_HEADER_OVERFLOW";
    const [status, code] = tooLarge ? [431, "ERR_HEADERS_TOO_LARGE"] : [400, "ERR_BAD_REQUEST"];
    const connection = this.#connections.get(stream);
    const record = new RequestRecord("http", connection?.cid ?? NaN, undefined, connection);
    if (!stream.writable || error.code === "ECONNRESET") return void stream.destroy();
    const body = JSON.stringify(problem(status, code, record.id));
    const head = `HTTP/1.1 ${status} Refused\r\ncontent-type: ${PROBLEM_TYPE}\r\n` +
      `content-length: ${body.length}\r\nconnection: close\r\n\r\n`;
    stream.end(head + body, () => stream.destroy());
    record.finish(this.#parts, "refused", status);
  }
}

/** The request that came last, if it waits for its answer. One that has come in part may never come whole. */
function waitingOn({ running, last }: Connection): IncomingMessage | undefined {
  return running > 0 && last?.complete !== false ? last : undefined;
}

function translate(
  { method = "", url = "", headers }: IncomingMessage,
  body: Uint8Array<ArrayBuffer>,
): Request {
  if (!url.startsWith("/")) throw new TypeError("The target must be a path");
  const passed = PASSED_ON.flatMap((name): [string, string][] => {
    const value = headers[name];
    return value === undefined ? [] : [[name, value]];
  });
  return new ReadRequest(`http://enclave${url}`, { method, headers: passed }, body);
}
