import { setImmediate, setTimeout } from "node:timers";

/**
 * How many turns in a row there are before one waits for a timer. Node.js looks for input and output between any two
 * immediates. Deno 2.9 runs up to 61 immediates before it looks once, and waits for a timer by looking.
 */
const TURNS_PER_TIMER = "Deno" in globalThis ? 4 : Infinity;

/** A piece of work that waits for its turn. */
interface Waiting {
  readonly begin: () => void;
  readonly isOver: () => boolean;
}

/**
 * Bounds how many pieces of work begin in one turn of the event loop.
 *
 * A loop that awaits only promises that are settled already never leaves its turn: timers and other connections
 * wait until it ends, and a peer who has sent much at once decides when that is. A loop that calls
 * {@link TurnLimiter.take} before each piece lets them in between. The first pieces of a turn do not wait, so an
 * idle event loop adds no latency.
 *
 * Not guaranteed: how long a turn is, which its pieces decide. On Deno, input and output wait for up to four turns.
 */
export class TurnLimiter {
  readonly #perTurn: number;
  readonly #waiting: Waiting[] = [];
  #taken = 0;
  #turnsInARow = 0;

  /** @param perTurn How many pieces may begin in one turn, at least 1. Default: 1 */
  constructor(perTurn = 1) {
    this.#perTurn = perTurn;
  }

  /**
   * @param isOver Whether there is nothing to do any more, when the turn comes: it then goes to the next, or those
   *   who come and leave would use up everybody's turns. Default: never
   * @returns At once if this turn has room; otherwise in a later turn, first come, first served
   */
  take(isOver: () => boolean = () => false): Promise<void> {
    if (this.#taken === this.#perTurn) {
      return new Promise((begin) => this.#waiting.push({ begin, isOver }));
    }
    if (this.#taken++ === 0) this.#schedule();
    return Promise.resolve();
  }

  #begin(): void {
    const next = this.#next();
    this.#taken = next.length;
    this.#turnsInARow = next.length === 0 ? 0 : this.#turnsInARow + 1;
    if (next.length === 0) return;
    if (this.#turnsInARow % TURNS_PER_TIMER === 0) setTimeout(() => this.#schedule(), 0);
    else this.#schedule();
    for (const { begin } of next) begin();
  }

  #next(): readonly Waiting[] {
    const next: Waiting[] = [];
    let count = 0;
    for (; count < this.#waiting.length && next.length < this.#perTurn; count++) {
      const waiting = this.#waiting[count] as Waiting;
      if (waiting.isOver()) waiting.begin();
      else next.push(waiting);
    }
    this.#waiting.splice(0, count);
    return next;
  }

  #schedule(): void {
    setImmediate(() => this.#begin());
  }
}
