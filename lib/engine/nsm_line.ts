/**
 * How long a question to the NSM may take, in milliseconds: the driver's own limit, and some more. One that takes
 * longer holds nobody up any more.
 */
export const MAX_SILENCE_MS = 130_000;

/** Where questions to the NSM wait for each other: its driver serves one at a time and makes the others block. */
export class NsmLine {
  #running: { readonly done: Promise<void>; readonly since: number } | undefined;

  /**
   * @param ask Asks, once no other question runs
   * @returns What `ask` returns
   */
  async run<T>(ask: () => Promise<T>): Promise<T> {
    for (let running = this.#running; running !== undefined; running = this.#running) {
      if (performance.now() - running.since >= MAX_SILENCE_MS) break;
      await running.done;
    }
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const running = { done, since: performance.now() };
    this.#running = running;
    try {
      return await ask();
    } finally {
      if (this.#running === running) this.#running = undefined;
      resolve();
    }
  }
}
