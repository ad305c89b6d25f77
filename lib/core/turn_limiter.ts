import { setImmediate, setTimeout } from "node:timers";

/**
 * Number of turns in a row before one waits for a timer. Node.js polls input and output between any two immediates.
 * Deno 2.9 runs up to 61 immediates before it polls once, and polls while it waits for a timer.
 */
const TURNS_PER_TIMER = "Deno" in globalThis ? 4 : Infinity;

/** Piece of work that waits for its turn. */
interface Waiting {
  readonly begin: () => void;
  readonly isOver: () => boolean;
}

/**
 * Limiter of the number of pieces of work that begin in one turn of the event loop.
 *
 * A loop that awaits only settled promises never leaves its turn: timers and other connections wait until it ends, and
 * a peer that has sent much at once decides when that is. A loop that calls
 * {@link TurnLimiter.take} before each piece lets them in between. The first pieces of a turn do not wait, so an
 * idle event loop adds no latency.
 *
 * Not guaranteed: the length of a turn, which its pieces decide. On Deno, input and output wait for up to four turns.
 */
export class TurnLimiter {
  readonly #perTurn: number;
  readonly #waiting: Waiting[] = [];
  #taken = 0;
  #turnsInARow = 0;

  /**
   * Starts with a whole turn.
   *
   * @param perTurn Number of pieces that may begin in one turn, at least 1. Default: 1
   */
  constructor(perTurn = 1) {
    this.#perTurn = perTurn;
  }

  /**
   * Waits for a turn with room: this one, or a later one in the order of the calls.
   *
   * @param isOver Tells, when the turn comes, whether the work is gone: the turn then goes to the next piece, or peers
   *   that ask and leave would use up everybody's turns. Default: never
   */
  take(isOver: () => boolean = () => false): Promise<void> {
    if (this.tryTake()) return Promise.resolve();
    return new Promise((begin) => this.#waiting.push({ begin, isOver }));
  }

  /**
   * Takes a turn if there is one at once, without a promise.
   *
   * @returns Whether the piece of work may begin; if not, {@link TurnLimiter.take} waits for its turn
   */
  tryTake(): boolean {
    if (this.#taken === this.#perTurn) return false;
    if (this.#taken++ === 0) this.#schedule();
    return true;
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
