import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ConnectionTimer } from "../connection_timer.ts";
import type { CallerConnection } from "../telemetry/request_record.ts";
import { RequestStream } from "./request_stream.ts";

/** A connection of an `HttpListener`, and its requests that wait for their answers. */
export class HttpConnection implements CallerConnection {
  /** The peer's CID. */
  readonly cid: number;
  /** The connection as it was accepted. */
  readonly accepted: Duplex;
  /** The connection as node:http has it. */
  readonly stream: RequestStream;
  /** Ends the connection when its time is up. */
  readonly timer: ConnectionTimer;
  /** Whether its first request has not begun. */
  isNew = true;
  /** Number of requests that are not answered; with pipelining there can be more than one. */
  running = 0;
  /** The request that came last. */
  last: IncomingMessage | undefined;
  /** Settles when the last request is answered: they take turns, so that one caller cannot fill the queue. */
  turn: Promise<void> = Promise.resolve();

  /**
   * @param accepted The connection; owned from now on
   * @param cid The peer's CID
   * @param headersMs Milliseconds until the end of the first request's headers
   */
  constructor(accepted: Duplex, cid: number, headersMs: number) {
    this.accepted = accepted;
    this.cid = cid;
    this.stream = new RequestStream(accepted, () => this.#waiting);
    this.timer = new ConnectionTimer(this.stream, headersMs);
  }

  /** Whether the peer sends no more, and may be gone. */
  get hasEnded(): boolean {
    return this.accepted.readableEnded;
  }

  /** The request that came last, if it waits for its answer. One that has come in part may never come whole. */
  get #waiting(): IncomingMessage | undefined {
    return this.running > 0 && this.last?.complete !== false ? this.last : undefined;
  }
}
