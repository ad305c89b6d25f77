import { until } from "../support/until.ts";

/** Requests that run one after the other in some loops at once, and what came of them. */
export class Load implements AsyncDisposable {
  readonly #outcomes = new Map<string, number>();
  readonly #counts: number[];
  readonly #request: () => Promise<string>;
  readonly #loops: Promise<unknown>;
  #isEnding = false;

  private constructor(width: number, request: () => Promise<string>) {
    this.#request = request;
    this.#counts = new Array<number>(width).fill(0);
    this.#loops = Promise.all(this.#counts.map((_, index) => this.#loop(index)));
  }

  /**
   * Starts it.
   *
   * @param width Number of loops
   * @param request Makes one request, and tells what came of it
   */
  static start(width: number, request: () => Promise<string>): Load {
    return new Load(width, request);
  }

  /** Outcomes so far, with their numbers. */
  get outcomes(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#outcomes);
  }

  /** Waits until each loop has made so many requests from its first to its last byte. */
  async untilAllMade(requests: number): Promise<void> {
    const from = [...this.#counts];
    // What was under way before counts for nothing.
    await until(
      () => this.#counts.every((count, index) => count > (from[index] ?? 0) + requests),
      () => JSON.stringify([this.#counts, this.outcomes]),
    );
  }

  /** Lets every loop end with the request that it makes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    await this.#loops;
  }

  async #loop(index: number): Promise<void> {
    while (!this.#isEnding) {
      const outcome = await this.#request().catch((error: unknown) => String(error));
      this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
      this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    }
  }
}
