import type { Duplex } from "node:stream";

/** Share of all places that connections without a complete request keep, so that each has time to send one. */
const NEW_SHARES = 16;

/** Request in flight, to dispose when it is answered. */
export interface InFlight extends Disposable {
  /** Whether it is a request; when it turns out to be none, the connection counts as one that sent none. */
  isRequest: boolean;
  /** Notes that the answer is made, and only waits for the peer to take it. */
  answer(): void;
}

/** Requests of a connection in flight; with pipelining there can be more than one. */
interface Flight {
  open: number;
  /** Number of those without an answer yet. */
  unanswered: number;
}

/**
 * Order in which the connections of one listener without a request in flight give way to a new one at the limit.
 *
 * First are those that have sent no complete request, the oldest first: bytes that complete none make a connection no
 * younger. When they are at most a sixteenth of all, another one gives way instead; otherwise a peer that holds the
 * others could close every new one before its request arrives. Next are those that have had an answer, the one that is
 * idle longest first.
 *
 * A request in flight never gives way, unless its peer may be gone: it has ended its direction, as a client does that
 * has gone, or does not take its answer. Such connections come last, the first in doubt first. A peer that
 * connects, asks and leaves could otherwise hold all places, with no connection of its own.
 */
export class IdleConnections<Stream extends Duplex = Duplex> {
  readonly #open = new Set<Stream>();
  readonly #new = new Set<Stream>();
  readonly #answered = new Set<Stream>();
  readonly #inFlight = new Map<Stream, Flight>();
  /** Connections in flight whose peers may be gone. */
  readonly #doubtful = new Set<Stream>();

  /**
   * Takes a new connection, until it closes.
   *
   * @param stream Stream of the connection
   */
  add(stream: Stream): void {
    this.#open.add(stream);
    this.#new.add(stream);
    stream.once("end", () => this.#weigh(stream));
    stream.once("close", () => this.#remove(stream));
  }

  /**
   * Notes that a complete request has come, which is in flight until it is answered.
   *
   * @param stream Stream of the connection
   * @returns The request, to dispose when it is answered
   */
  begin(stream: Stream): InFlight {
    this.#new.delete(stream);
    this.#answered.delete(stream);
    const flight = this.#inFlight.get(stream) ?? { open: 0, unanswered: 0 };
    this.#inFlight.set(stream, flight);
    flight.open++;
    flight.unanswered++;
    this.#weigh(stream);
    let isAnswered = false;
    const answer = () => {
      if (isAnswered) return;
      isAnswered = true;
      flight.unanswered--;
      this.#weigh(stream);
    };
    const inFlight = {
      isRequest: true,
      answer,
      [Symbol.dispose]: () => {
        answer();
        this.#end(stream, flight, inFlight.isRequest);
      },
    };
    return inFlight;
  }

  /**
   * Chooses the connection that gives way, and forgets it.
   *
   * @returns The connection to close, or none when each has a request in flight and its peer there
   */
  giveWay(): Stream | undefined {
    const [oldest] = this.#new;
    const [longestIdle] = this.#answered;
    const keepsNew = this.#new.size <= Math.floor(this.#open.size / NEW_SHARES);
    const [doubtful] = this.#doubtful;
    const chosen = keepsNew ? longestIdle ?? doubtful ?? oldest : oldest ?? longestIdle ?? doubtful;
    if (chosen !== undefined) this.#remove(chosen);
    return chosen;
  }

  #end(stream: Stream, flight: Flight, wasRequest: boolean): void {
    if (--flight.open > 0) return;
    this.#inFlight.delete(stream);
    this.#doubtful.delete(stream);
    if (this.#open.has(stream)) (wasRequest ? this.#answered : this.#new).add(stream);
  }

  #weigh(stream: Stream): void {
    const flight = this.#inFlight.get(stream);
    if (flight === undefined || !this.#open.has(stream)) return;
    if (flight.unanswered === 0 || stream.readableEnded) this.#doubtful.add(stream);
    else this.#doubtful.delete(stream);
  }

  #remove(stream: Stream): void {
    for (const connections of [this.#open, this.#new, this.#answered, this.#doubtful]) {
      connections.delete(stream);
    }
  }
}
