import type { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { setImmediate } from "node:timers/promises";
import { IdleConnections } from "../../lib/transport/idle_connections.ts";
import { MESSAGE_TURNS } from "../message_turns.ts";
import { CallerGoneError } from "../service_errors.ts";
import { type RequestLog, RequestRecord } from "../telemetry/request_record.ts";
import { HttpConnection } from "./http_connection.ts";
import { problem, PROBLEM_TYPE } from "./problem.ts";
import { MAX_BODY_BYTES, readBody } from "./read_body.ts";
import { sendAnswer } from "./send_answer.ts";
import { type FetchListener, toFetchListener } from "./to_fetch.ts";

/** Time-outs of HTTP connections, in milliseconds. */
export interface HttpTimeouts {
  /** From a connection's start to the end of its first request's headers. */
  readonly headersMs: number;
  /** From the headers to the end of the body. */
  readonly bodyMs: number;
  /**
   * From the body to the last byte of the answer; longer than the request deadline. Begins anew with each chunk of an
   * answer that is sent as it comes. A body that the application reads as it comes must be there in this time, too.
   */
  readonly answerMs: number;
  /** From an answer to the end of the next request's headers. */
  readonly idleMs: number;
}

/** Time-outs when the configuration names none. */
export const DEFAULT_HTTP_TIMEOUTS: HttpTimeouts = {
  headersMs: 10_000,
  bodyMs: 10_000,
  answerMs: 30_000,
  idleMs: 60_000,
};

/** The caller of a request, as the listener knows them. */
export interface HttpCaller {
  /** The caller's CID. */
  cid: number;
  /** Aborts when the connection ends before the answer. */
  gone: AbortSignal;
  /** Identifies the connection. */
  connection: object;
  /** Whether the listener has read the body, within its limit. */
  hasWholeBody: boolean;
}

/** Parts of an {@link HttpListener}. */
export interface HttpListenerParts extends RequestLog {
  /**
   * Answers a request. The URL's host is always `enclave`, and the `host` header is the caller's word. The chunks of the
   * answer's body are wiped after they are sent.
   */
  readonly fetch: (request: Request, caller: HttpCaller) => Response | Promise<Response>;
  /** Time-outs. */
  readonly timeouts: HttpTimeouts;
  /** Largest body of a request, in bytes. Default: 65536. */
  readonly maxBodyBytes?: number | undefined;
  /**
   * Tells requests whose bodies the application reads as they come, and bounds itself, by method and target. Default:
   * none, and each body is read before its request begins.
   */
  readonly readsStream?: ((method: string, target: string) => boolean) | undefined;
}

/** Bytes of all headers of a request together, at most. */
const MAX_HEADER_BYTES = 16_384;

/** Requests on one connection that may wait for their answers. */
const MAX_PIPELINED = 16;

/**
 * HTTP/1.1 over any stream. node:http parses; this class adds what node:http cannot do for a stream that it did not
 * accept itself: time-outs, limits, turns between callers, and an orderly end.
 */
export class HttpListener {
  readonly #parts: HttpListenerParts;
  readonly #server: Server;
  readonly #fetch: FetchListener;
  readonly #connections = new Map<Duplex, HttpConnection>();
  readonly #idle = new IdleConnections();
  #closing = false;
  #whenIdle: (() => void) | undefined;

  /** @param parts The application and its limits */
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
    this.#fetch = toFetchListener((request, incoming, outgoing) =>
      this.#respond(request, incoming, outgoing)
    );
  }

  /**
   * Serves a connection until either side ends it.
   *
   * @param accepted The connection; owned from now on
   * @param cid The peer's CID
   */
  accept(accepted: Duplex, cid: number): void {
    if (this.#closing) return void accepted.destroy();
    const { metrics, refusals, timeouts } = this.#parts;
    const connection = new HttpConnection(accepted, cid, timeouts.headersMs);
    const { stream } = connection;
    const uncount = metrics.countConnection("http");
    this.#idle.add(accepted);
    this.#connections.set(stream, connection);
    stream.on("error", () => stream.destroy());
    stream.once("close", () => {
      connection.timer[Symbol.dispose]();
      uncount();
      this.#connections.delete(stream);
      refusals.end(connection, { protocol: "http", cid });
      if (this.#connections.size === 0) this.#whenIdle?.();
    });
    this.#server.emit("connection", stream);
  }

  /** Chooses the connection that is closed when one more comes at the limit, as {@link IdleConnections} does. */
  giveWay(): Duplex | undefined {
    return this.#idle.giveWay();
  }

  /**
   * Ends idle connections at once and the others after their answers. Cuts those that are left after the grace period.
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

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    if (++connection.running > MAX_PIPELINED) return void connection.stream.destroy();
    connection.last = request;
    response.once("close", () => this.#rest(connection, request, response));
    connection.turn = connection.turn.then(() => this.#handle(connection, request, response));
  }

  async #handle(
    connection: HttpConnection,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { readsStream, timeouts, maxBodyBytes = MAX_BODY_BYTES } = this.#parts;
    let body: Buffer | undefined;
    try {
      connection.timer.allow(timeouts.bodyMs);
      const isStream = readsStream?.(request.method ?? "", request.url ?? "") === true;
      if (!isStream) body = await readBody(request, maxBodyBytes);
      using inFlight = this.#idle.begin(connection.accepted);
      response.once("prefinish", () => inFlight.answer());
      await this.#untilItsTurn(connection);
      if (connection.stream.destroyed) return;
      connection.timer.allow(timeouts.answerMs);
      if (!isStream && body === undefined) {
        return this.#refuse(connection, response, 413, "ERR_BODY_TOO_LARGE");
      }
      const isTaken = await this.#fetch(request, response, body);
      if (!isTaken) this.#refuse(connection, response, 400, "ERR_BAD_REQUEST");
    } catch {
      // The caller went away or sent half a body, or the answer's own stream failed: no answer can be sent.
      connection.stream.destroy();
    } finally {
      body?.fill(0);
    }
  }

  /** Waits, so that no request begins for a peer that is gone: it may be a call to KMS, over a connection of its own. */
  async #untilItsTurn(connection: HttpConnection): Promise<void> {
    const { stream } = connection;
    if (connection.isNew) {
      // The end that came behind the request is read in the next turn but one.
      for (let turn = 0; turn < 2; turn++) await setImmediate();
      connection.isNew = false;
    }
    if (!MESSAGE_TURNS.tryTake()) await MESSAGE_TURNS.take(() => stream.destroyed);
    await stream.askWhetherGone();
  }

  async #respond(request: Request, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#connections.get(incoming.socket);
    if (connection === undefined) return;
    const { cid, stream, timer } = connection;
    const { fetch, timeouts } = this.#parts;
    const caller = new AbortController();
    const leave = () => caller.abort(new CallerGoneError());
    stream.once("close", leave);
    try {
      const hasWholeBody = incoming.complete;
      const answer = await fetch(request, { cid, gone: caller.signal, connection, hasWholeBody });
      const isLast = this.#closing || !incoming.complete;
      const onProgress = () => timer.allow(timeouts.answerMs);
      await sendAnswer(answer, { response, stream, isLast, onProgress });
    } finally {
      stream.off("close", leave);
    }
  }

  /** Answers, logs and counts a request that never gets to the application. */
  #refuse(connection: HttpConnection, response: ServerResponse, status: number, code: string): void {
    const record = new RequestRecord("http", connection.cid, undefined, connection);
    response.writeHead(status, { "content-type": PROBLEM_TYPE, connection: "close" });
    response.end(JSON.stringify(problem(status, code, record.id)));
    record.finish(this.#parts, "refused", status);
  }

  /** Waits for the next request, or ends the connection. */
  #rest(connection: HttpConnection, { complete }: IncomingMessage, response: ServerResponse): void {
    connection.running--;
    if (!response.writableFinished) return void connection.stream.destroy();
    connection.stream.checkEnd();
    if (connection.running > 0 || !complete) return;
    if (this.#closing) connection.stream.destroy();
    else connection.timer.allow(this.#parts.timeouts.idleMs);
  }

  /** Refuses bytes that are no HTTP, or headers that are too large. */
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
