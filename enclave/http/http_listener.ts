import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { setImmediate } from "node:timers/promises";
import { IdleConnections, type InFlight } from "../../lib/transport/idle_connections.ts";
import { MESSAGE_TURNS } from "../message_turns.ts";
import { CallerGoneError } from "../service_errors.ts";
import { type RequestLog, RequestRecord } from "../telemetry/request_record.ts";
import { answerHead } from "./answer_head.ts";
import { type ConnectionOwner, HttpConnection, type IncomingRequest } from "./http_connection.ts";
import type { ConnectionBindings } from "./http_env.ts";
import { lightRequest } from "./light_request.ts";
import { problem, PROBLEM_TYPE } from "./problem.ts";
import { MAX_BODY_BYTES, type RequestBody, StreamedBody, WholeBody } from "./request_body.ts";
import type { RequestHead } from "./request_head.ts";
import { urlOf } from "./request_url.ts";
import { sendAnswer } from "./send_answer.ts";

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
export interface HttpCaller extends ConnectionBindings {
  /** The caller's CID. */
  cid: number;
  /** Aborts when the connection ends before the answer. */
  gone: AbortSignal;
  /** Identifies the connection. */
  connection: object;
  /** Whether the listener has read the body, within its limit. */
  hasWholeBody: boolean;
  /** Header lines that are added to the answer, names and values in turns, where it has none of that name. */
  addedLines: string[];
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

const NONE = new Uint8Array(0);

/**
 * HTTP/1.1 over any stream, with time-outs, limits, turns between callers, and an orderly end.
 */
export class HttpListener implements ConnectionOwner {
  readonly #parts: HttpListenerParts;
  readonly #connections = new Set<HttpConnection>();
  readonly #idle = new IdleConnections();
  #closing = false;
  #whenIdle: (() => void) | undefined;

  /** @param parts The application and its limits */
  constructor(parts: HttpListenerParts) {
    this.#parts = parts;
  }

  /**
   * Serves a connection until either side ends it.
   *
   * @param stream The connection; owned from now on
   * @param cid The peer's CID
   * @param bindings Called for each request: what else is known of its connection. Default: nothing
   */
  accept(stream: Duplex, cid: number, bindings?: () => ConnectionBindings): void {
    if (this.#closing) return void stream.destroy();
    const { metrics, refusals, timeouts } = this.#parts;
    const connection = new HttpConnection(this, stream, cid, timeouts.headersMs, bindings);
    const uncount = metrics.countConnection("http");
    this.#idle.add(stream);
    this.#connections.add(connection);
    stream.once("close", () => {
      uncount();
      this.#connections.delete(connection);
      refusals.end(connection, { protocol: "http", cid });
      if (this.#connections.size === 0) this.#whenIdle?.();
    });
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
    for (const { stream, isRunning } of this.#connections) if (!isRunning) stream.destroy();
    if (this.#connections.size === 0) return;
    const timer = setTimeout(() => {
      for (const { stream } of this.#connections) stream.destroy();
    }, graceMs);
    await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    clearTimeout(timer);
  }

  /** Chooses the destination of a body. */
  receive(
    connection: HttpConnection,
    { method, target }: RequestHead,
  ): { body: RequestBody; isStream: boolean } {
    const { readsStream, timeouts, maxBodyBytes = MAX_BODY_BYTES } = this.#parts;
    connection.timer.allow(timeouts.bodyMs);
    return readsStream?.(method, target) === true
      ? { body: new StreamedBody(() => connection.resume()), isStream: true }
      : { body: new WholeBody(maxBodyBytes), isStream: false };
  }

  /** Handles a request, when it is its turn. */
  async handle(connection: HttpConnection, { head, body }: IncomingRequest): Promise<boolean> {
    using inFlight = this.#idle.begin(connection.stream);
    try {
      const mayBegin = !connection.isNew && !connection.hasEnded && MESSAGE_TURNS.tryTake();
      if (!mayBegin) await this.#untilItsTurn(connection);
      if (connection.stream.destroyed) return true;
      connection.timer.allow(this.#parts.timeouts.answerMs);
      if (body instanceof WholeBody && body.isTooLarge) {
        inFlight.answer();
        return await this.#refuse(connection, 413, "ERR_BODY_TOO_LARGE");
      }
      const url = urlOf(head);
      if (url !== undefined) return await this.#respond(connection, url, { head, body }, inFlight);
      inFlight.answer();
      return await this.#refuse(connection, 400, "ERR_BAD_REQUEST");
    } catch {
      // The answer's own stream failed, or the application itself: no answer can be sent.
      connection.stream.destroy();
      return true;
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
    await connection.askWhetherGone();
  }

  async #respond(
    connection: HttpConnection,
    url: string,
    { head, body }: IncomingRequest,
    inFlight: InFlight,
  ): Promise<boolean> {
    const { method, lines, isOld } = head;
    const caller = new RequestCaller(connection, !(body instanceof StreamedBody));
    const signal = () => caller.gone;
    const content = body instanceof WholeBody
      ? body.bytes
      : body instanceof StreamedBody
      ? body.stream
      : NONE;
    const request = lightRequest({ method, url, lines, body: content, signal });
    const answer = await this.#parts.fetch(request, caller);
    connection.isAnswering = true;
    return await sendAnswer(answer, {
      writer: connection.writer,
      isOld,
      isHead: method === "HEAD",
      addedLines: caller.addedLines,
      isLast: head.isLast || this.#closing || !connection.isWhole,
      onMade: () => inFlight.answer(),
      onProgress: () => connection.timer.allow(this.#parts.timeouts.answerMs),
    });
  }

  /** Answers, logs and counts a request that never gets to the application; the connection ends with it. */
  async #refuse(connection: HttpConnection, status: number, code: string): Promise<boolean> {
    const record = new RequestRecord("http", connection.cid, undefined, connection);
    const body = JSON.stringify(problem(status, code, record.id));
    const lines = ["content-type", PROBLEM_TYPE];
    const head = answerHead({ status, lines, framing: body.length, isLast: true });
    record.finish(this.#parts, "refused", status);
    connection.isAnswering = true;
    await connection.writer.writeText(head + body);
    return true;
  }

  /** Notes that a connection waits for its next request, or ends it. */
  rest(connection: HttpConnection): void {
    if (this.#closing) connection.end();
    else connection.timer.allow(this.#parts.timeouts.idleMs);
  }

  /** Refuses bytes that are no HTTP, or headers that are too large. */
  turnDown(connection: HttpConnection, isTooLarge: boolean): void {
    const [status, code] = isTooLarge
      ? [431, "ERR_HEADERS_TOO_LARGE"] as const
      : [400, "ERR_BAD_REQUEST"] as const;
    void this.#refuse(connection, status, code);
    connection.end();
  }
}

/** Caller of one request, whose signal is made when somebody asks for it. */
class RequestCaller implements HttpCaller {
  readonly cid: number;
  readonly connection: object;
  readonly hasWholeBody: boolean;
  readonly addedLines: string[] = [];
  readonly #stream: Duplex;
  #gone: AbortController | undefined;

  constructor(connection: HttpConnection, isBodyLimited: boolean) {
    this.cid = connection.cid;
    this.connection = connection;
    this.hasWholeBody = isBodyLimited && connection.isWhole;
    this.#stream = connection.stream;
    connection.onGone = () => this.#gone?.abort(new CallerGoneError());
    if (connection.bindings !== undefined) Object.assign(this, connection.bindings());
  }

  get gone(): AbortSignal {
    if (this.#gone !== undefined) return this.#gone.signal;
    this.#gone = new AbortController();
    if (this.#stream.destroyed) this.#gone.abort(new CallerGoneError());
    return this.#gone.signal;
  }
}
