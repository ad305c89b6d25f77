import type { Duplex } from "node:stream";

/** Connections without a complete request keep this share of all places, so that each has time to send one. */
const NEW_SHARES = 16;

/** A request in flight, to be disposed when it is answered. */
export interface InFlight extends Disposable {
  /** False once it turned out that what came was no request: the connection then counts as one that sent none. */
  isRequest: boolean;
}

/**
 * Keeps the connections of one listener that have no request in flight, in the order in which they give way to a
 * new one at the limit.
 *
 * First are those that have sent no complete request, the oldest first: bytes that complete none make a
 * connection no younger. Where they are no more than a sixteenth of all, a connection that has had an answer gives
 * way instead, the one that is idle longest first; otherwise whoever holds answered connections could close every
 * new one before its request is there.
 *
 * What has a request in flight never gives way.
 */
export class IdleConnections<Stream extends Duplex = Duplex> {
  readonly #open = new Set<Stream>();
  readonly #new = new Set<Stream>();
  readonly #answered = new Set<Stream>();
  /** How many requests are in flight; with pipelining there can be more than one. */
  readonly #inFlight = new Map<Stream, number>();

  /**
   * Takes a new connection, until it closes.
   *
   * @param stream Carries it
   */
  add(stream: Stream): void {
    this.#open.add(stream);
    this.#new.add(stream);
    stream.once("close", () => this.#remove(stream));
  }

  /**
   * Notes that a complete request has come: until it is answered the connection gives way to nobody.
   *
   * @param stream Carries the connection
   * @returns What to dispose when the request is answered
   */
  begin(stream: Stream): InFlight {
    this.#new.delete(stream);
    this.#answered.delete(stream);
    this.#inFlight.set(stream, (this.#inFlight.get(stream) ?? 0) + 1);
    const inFlight = { isRequest: true, [Symbol.dispose]: () => this.#end(stream, inFlight.isRequest) };
    return inFlight;
  }

  /**
   * Chooses who gives way, and keeps it no longer.
   *
   * @returns The connection to close, or none when each has a request in flight
   */
  giveWay(): Stream | undefined {
    const [oldest] = this.#new;
    const [longestIdle] = this.#answered;
    const keepsNew = this.#new.size <= Math.floor(this.#open.size / NEW_SHARES);
    const chosen = keepsNew ? longestIdle ?? oldest : oldest ?? longestIdle;
    if (chosen !== undefined) this.#remove(chosen);
    return chosen;
  }

  #end(stream: Stream, wasRequest: boolean): void {
    const others = (this.#inFlight.get(stream) ?? 1) - 1;
    if (others > 0) return void this.#inFlight.set(stream, others);
    this.#inFlight.delete(stream);
    if (this.#open.has(stream)) (wasRequest ? this.#answered : this.#new).add(stream);
  }

  #remove(stream: Stream): void {
    for (const connections of [this.#open, this.#new, this.#answered]) connections.delete(stream);
  }
}
