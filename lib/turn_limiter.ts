import { setImmediate, setTimeout } from "node:timers";

/**
 * How many turns in a row there are before one waits for a timer. Node.js looks for input and output between any two
 * immediates. Deno 2.9 runs up to 61 immediates before it looks once, and waits for a timer by looking.
 */
const TURNS_PER_TIMER = "Deno" in globalThis ? 4 : Infinity;

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
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #turnsInARow = 0;

  /** @param perTurn How many pieces may begin in one turn, at least 1. Default: 1 */
  constructor(perTurn = 1) {
    this.#perTurn = perTurn;
  }

  /** @returns At once if this turn has room; otherwise in a later turn, first come, first served */
  take(): Promise<void> {
    if (this.#taken === this.#perTurn) return new Promise((resolve) => this.#waiting.push(resolve));
    if (this.#taken++ === 0) this.#schedule();
    return Promise.resolve();
  }

  #begin(): void {
    const next = this.#waiting.splice(0, this.#perTurn);
    this.#taken = next.length;
    this.#turnsInARow = next.length === 0 ? 0 : this.#turnsInARow + 1;
    if (next.length === 0) return;
    if (this.#turnsInARow % TURNS_PER_TIMER === 0) setTimeout(() => this.#schedule(), 0);
    else this.#schedule();
    for (const resolve of next) resolve();
  }

  #schedule(): void {
    setImmediate(() => this.#begin());
  }
}
