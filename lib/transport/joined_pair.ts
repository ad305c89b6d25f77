import { Buffer } from "node:buffer";
import type { ConnectionStream } from "./connection.ts";

/** Milliseconds of silence before TCP asks whether the peer is still there. */
const KEEP_ALIVE_MS = 30_000;

const NO_BYTES = Buffer.alloc(0);

/** End of a pair: both peers `ended`, one `broke` off, or there was no byte for too long (`silent`). */
export type PairOutcome = "ended" | "broken" | "silent";

/** Methods that TCP has, and other transports do not need. */
interface TcpMethods {
  setKeepAlive?(isOn: boolean, afterMs: number): void;
  resetAndDestroy?(): void;
}

/**
 * Two connections joined byte for byte. Neither is read faster than the other takes it. When a peer ends its direction,
 * the other sees that end, and may go on sending. When one breaks off, what it sent before is passed on, and then the
 * other is broken off: over TCP by a reset, so that nobody takes a torn message for a whole one.
 *
 * Not guaranteed: that a break differs from an end on vsock and unix sockets, which have no reset, and on connections
 * that Deno accepted, which cannot be reset. TLS, HTTP and gRPC tell a torn message from a whole one themselves.
 */
export class JoinedPair {
  /** Resolves when both are closed. Never rejects. */
  readonly closed: Promise<PairOutcome>;
  readonly #accepted: ConnectionStream;
  readonly #target: ConnectionStream;
  readonly #resolve: (outcome: PairOutcome) => void;
  #outcome: PairOutcome = "ended";
  #openCount = 2;
  #byteCount = 0;
  #sinceMs = performance.now();

  /**
   * Joins two connections that nobody else reads or writes.
   *
   * @param accepted Connection that was accepted
   * @param target Connection that was made for it
   */
  constructor(accepted: ConnectionStream, target: ConnectionStream) {
    const { promise, resolve } = Promise.withResolvers<PairOutcome>();
    this.closed = promise;
    this.#resolve = resolve;
    this.#accepted = accepted;
    this.#target = target;
    this.#watch(accepted, target);
    this.#watch(target, accepted);
    if (accepted.destroyed || target.destroyed) return;
    pass(accepted, target);
    pass(target, accepted);
  }

  /** Number of bytes that came from the accepted connection. */
  get bytesToTarget(): number {
    return this.#accepted.bytesRead;
  }

  /** Number of bytes that came from the target. */
  get bytesFromTarget(): number {
    return this.#target.bytesRead;
  }

  /**
   * Breaks the pair off when no byte has moved for too long since an earlier call.
   *
   * @param nowMs Time of the look, by `performance.now()`
   * @param limits Milliseconds while both directions are open, and afterwards
   */
  endIfSilent(nowMs: number, limits: { readonly idleMs: number; readonly halfOpenMs: number }): void {
    const streams = [this.#accepted, this.#target];
    const byteCount = streams.reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0);
    if (byteCount !== this.#byteCount) {
      this.#byteCount = byteCount;
      this.#sinceMs = nowMs;
      return;
    }
    const isHalfOpen = streams.some(({ readableEnded, destroyed }) => readableEnded || destroyed);
    if (nowMs - this.#sinceMs < (isHalfOpen ? limits.halfOpenMs : limits.idleMs)) return;
    this.#outcome = "silent";
    this.breakOff();
  }

  /** Breaks both connections off at once. */
  breakOff(): void {
    breakOff(this.#accepted);
    breakOff(this.#target);
  }

  #watch(stream: ConnectionStream, partner: ConnectionStream): void {
    stream.allowHalfOpen = true;
    (stream as TcpMethods).setKeepAlive?.(true, KEEP_ALIVE_MS);
    // It is followed by `close`.
    stream.on("error", () => {});
    const forget = () => this.#forget(stream, partner);
    if (stream.closed) forget();
    else stream.once("close", forget);
  }

  #forget(stream: ConnectionStream, partner: ConnectionStream): void {
    if (!stream.readableEnded || !stream.writableFinished) {
      if (this.#outcome === "ended") this.#outcome = "broken";
      afterWrites(partner, () => breakOff(partner));
    }
    if (--this.#openCount === 0) this.#resolve(this.#outcome);
  }
}

function pass(from: ConnectionStream, to: ConnectionStream): void {
  if (from.passTo?.(to) !== true) from.pipe(to);
}

/** Calls a function when a stream has passed on what it holds. A stream that never does is silent. */
function afterWrites(stream: ConnectionStream, callback: () => void): void {
  if (stream.destroyed) return;
  if (stream.writable) stream.write(NO_BYTES, callback);
  else if (stream.writableFinished) callback();
  else stream.once("finish", callback);
}

/**
 * Breaks a connection off: over TCP with a reset, so that the peer sees no orderly end.
 *
 * @param stream The connection
 */
export function breakOff(stream: ConnectionStream): void {
  if (stream.destroyed) return;
  // While its end is on the way, Node refuses the reset, and then never closes the socket (24.21).
  const isEnding = stream.writableEnded && !stream.writableFinished;
  try {
    if (!isEnding) (stream as TcpMethods).resetAndDestroy?.();
  } catch {
    // A unix socket, which has no reset.
  }
  stream.destroy();
}
