import type { Duplex } from "node:stream";
import { clearTimeout, setTimeout } from "node:timers";
import { ConnectionTimer } from "../../enclave/connection_timer.ts";
import { IdleConnections } from "../../lib/transport/idle_connections.ts";
import {
  errorMessage,
  isMalformed,
  KMSTOOL_ERRORS,
  KmstoolRefusal,
  MAX_MALFORMED_MESSAGES,
  MessageBuffer,
} from "../../lib/wire/kmstool_messages.ts";
import { KmstoolSession } from "./kmstool_session.ts";
import { MESSAGE_TURNS } from "../../enclave/message_turns.ts";
import { outcomeOf } from "../../enclave/http/problem.ts";
import { type RequestLog, RequestRecord } from "../../enclave/telemetry/request_record.ts";
import type { EnclaveService } from "../../enclave/service.ts";
import { CallerGoneError } from "../../enclave/service_errors.ts";

/** Time-outs of kmstool connections, in milliseconds. */
export interface KmstoolTimeouts {
  /** From a message's first byte to its NUL. */
  readonly messageMs: number;
  /** Until the peer has taken an answer; longer than the request deadline. */
  readonly answerMs: number;
  /** From an answer, or the start, to the next message's first byte. */
  readonly idleMs: number;
}

/** Time-outs when the configuration names none. */
export const DEFAULT_KMSTOOL_TIMEOUTS: KmstoolTimeouts = {
  messageMs: 10_000,
  answerMs: 30_000,
  idleMs: 60_000,
};

/** Milliseconds that a peer may take to notice that the connection ends. */
const LINGER_MS = 2000;

/** Parts of a {@link KmstoolListener}. */
export interface KmstoolListenerParts extends RequestLog {
  /** Does the work. */
  readonly service: EnclaveService;
  /** The enclave's own region; messages then may not name another. */
  readonly region: string | undefined;
  /** Time-outs. */
  readonly timeouts: KmstoolTimeouts;
}

/** One connection. */
interface Connection {
  readonly stream: Duplex;
  readonly cid: number;
  /** Whether the peer sends no more, and may be gone. */
  readonly hasEnded: boolean;
  readonly timer: ConnectionTimer;
  /** Whether it waits for an answer. */
  busy: boolean;
  /** Number of its messages that were no JSON object. */
  malformed: number;
}

/**
 * The kmstool protocol over any stream: one reply for each message, in order; many connections at once, which take
 * turns. One that sends {@link MAX_MALFORMED_MESSAGES} messages that are no JSON object is answered them, and ends.
 *
 * When a connection breaks, what runs for it is broken off. That its peer sends no more is no sign of it: a client
 * may end its own direction (`nc -N` and socat do) and wait for the reply, and a connection that was closed
 * altogether looks the same from here. Such a call runs to its end.
 */
export class KmstoolListener {
  readonly #parts: KmstoolListenerParts;
  readonly #connections = new Map<Connection, Promise<void>>();
  readonly #idle = new IdleConnections();
  #closing = false;

  /** @param parts Service, log and limits */
  constructor(parts: KmstoolListenerParts) {
    this.#parts = parts;
  }

  /**
   * Serves a connection until either side ends it.
   *
   * @param stream The connection; owned from now on
   * @param cid The peer's CID
   */
  accept(stream: Duplex, cid: number): void {
    if (this.#closing) return void stream.destroy();
    const { metrics, refusals, timeouts } = this.#parts;
    const uncount = metrics.countConnection("kmstool");
    const connection: Connection = {
      stream,
      cid,
      get hasEnded() {
        return stream.readableEnded;
      },
      timer: new ConnectionTimer(stream, timeouts.idleMs),
      busy: false,
      malformed: 0,
    };
    stream.on("error", () => stream.destroy());
    // Nothing is read while a message is answered; this finds the end that came behind it.
    stream.on("readable", () => stream.read(0));
    this.#idle.add(stream);
    const served = this.#serve(connection).catch(() => void stream.destroy()).finally(() => {
      connection.timer[Symbol.dispose]();
      uncount();
      this.#connections.delete(connection);
      refusals.end(connection, { protocol: "kmstool", cid });
    });
    this.#connections.set(connection, served);
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
    const open = [...this.#connections.keys()];
    for (const { stream, busy } of open) if (!busy) stream.destroy();
    const timer = setTimeout(() => {
      for (const { stream } of open) stream.destroy();
    }, graceMs);
    await Promise.all(this.#connections.values());
    clearTimeout(timer);
  }

  async #serve(connection: Connection): Promise<void> {
    using session = new KmstoolSession(this.#parts.service, this.#parts.region);
    using buffer = new MessageBuffer();
    // The last answer is sent after the loop is left.
    for await (const chunk of connection.stream.iterator({ destroyOnReturn: false })) {
      if (!(await this.#consume(connection, session, buffer, chunk as Uint8Array))) break;
    }
    await end(connection);
  }

  /** @returns Whether the connection goes on */
  async #consume(
    connection: Connection,
    session: KmstoolSession,
    buffer: MessageBuffer,
    chunk: Uint8Array,
  ): Promise<boolean> {
    const { messageMs, idleMs } = this.#parts.timeouts;
    if (!buffer.isPartial) connection.timer.allow(messageMs);
    try {
      for (const message of buffer.take(chunk)) {
        await this.#answer(connection, session, message);
        if (this.#closing || connection.stream.destroyed) return false;
        if (connection.malformed >= MAX_MALFORMED_MESSAGES) return false;
        connection.timer.allow(messageMs);
      }
    } catch (error) {
      // Thrown by take(): the end of this message will not be found.
      if (!(error instanceof KmstoolRefusal)) throw error;
      const record = new RequestRecord("kmstool", connection.cid, undefined, connection);
      await this.#refuse(connection, record, error);
      return false;
    }
    if (!buffer.isPartial) connection.timer.allow(idleMs);
    return true;
  }

  async #answer(connection: Connection, session: KmstoolSession, message: Uint8Array): Promise<void> {
    const caller = new AbortController();
    const leave = () => caller.abort(new CallerGoneError());
    const record = new RequestRecord("kmstool", connection.cid, { gone: caller.signal }, connection);
    connection.stream.once("close", leave);
    using inFlight = this.#idle.begin(connection.stream);
    connection.busy = true;
    connection.timer.allow(this.#parts.timeouts.answerMs);
    try {
      await MESSAGE_TURNS.take(() => caller.signal.aborted);
      caller.signal.throwIfAborted();
      const answer = await session.handle(message, record);
      record.finish(this.#parts, "ok", "Ok");
      inFlight.answer();
      await write(connection.stream, answer);
    } catch (error) {
      inFlight.isRequest = !(error instanceof KmstoolRefusal && isMalformed(error));
      inFlight.answer();
      await this.#refuse(connection, record, error);
    } finally {
      connection.stream.off("close", leave);
      connection.busy = false;
    }
  }

  async #refuse(connection: Connection, record: RequestRecord, error: unknown): Promise<void> {
    const known = error instanceof KmstoolRefusal;
    if (known && isMalformed(error)) connection.malformed++;
    const text = known ? error.text : KMSTOOL_ERRORS.decrypt;
    record.failure = known ? error.cause : error;
    record.finish(this.#parts, record.failure === undefined ? "refused" : outcomeOf(record.failure), text);
    await write(connection.stream, errorMessage(text));
  }
}

/** Resolves when the bytes have been taken, and wipes them: a plaintext may be among them. */
async function write(stream: Duplex, bytes: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.once("close", reject);
  stream.write(bytes, (error) => error ? reject(error) : resolve());
  try {
    await promise;
  } finally {
    stream.off("close", reject);
    bytes.fill(0);
  }
}

/** Reads what still comes, for a while: closing on unread bytes would take the last answer along. */
async function end({ stream, timer }: Connection): Promise<void> {
  if (stream.destroyed) return;
  timer.allow(LINGER_MS);
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.end();
  stream.resume();
  await closed;
}
