import { setImmediate } from "node:timers";

/**
 * One piece of work in each turn of the event loop. Opening an answer takes this thread for the time of an RSA
 * operation, 0.3 ms on Node.js and five times that on Deno, and answers come in bursts: opened all in one turn,
 * sixteen of them would hold up timers and other connections for all that time together.
 */
export class LoopTurns {
  readonly #waiting: (() => void)[] = [];
  #isTaken = false;

  /** @returns At once if this turn is still free; otherwise in a turn of its own, first come, first served */
  take(): Promise<void> {
    if (this.#isTaken) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
    setImmediate(() => this.#begin());
    return Promise.resolve();
  }

  #begin(): void {
    const next = this.#waiting.shift();
    this.#isTaken = next !== undefined;
    if (next === undefined) return;
    setImmediate(() => this.#begin());
    next();
  }
}
