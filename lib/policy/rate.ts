import { checkFields, checkInteger } from "../core/checks.ts";

/** Options of a {@link RateCounter}. */
export interface RateOptions {
  /** Length of the window in seconds, 1 to 86400. Default: 60. */
  readonly windowSeconds?: number | undefined;
  /** Clock in milliseconds that never goes back. Default: `performance.now()`. */
  readonly now?: (() => number) | undefined;
}

/** Request that counts until it is given back, or falls out of the window. */
export interface Reservation {
  /** Number of the caller's requests in the window, with this one: the facts' `recentCount`. */
  readonly count: number;
  /** Stops counting the request, which was refused. Giving back twice is harmless. */
  giveBack(): void;
}

/** Steps in which the window moves: a count may reach back a sixtieth of the window too far, and never too little. */
const STEPS = 60;

/** Least number of callers at which those without a recent request are forgotten. */
const SWEEP_AT = 1024;

/**
 * Counter of each caller's requests in a sliding window. A request is counted before it is judged, so that many at
 * once cannot all see the same low count, and is given back when it is refused.
 *
 * @example
 * ```ts
 * import { RateCounter } from "enclave-kms/policy";
 *
 * const rate = new RateCounter({ windowSeconds: 60 });
 * rate.reserve("Caller:7").count; // 1
 * const second = rate.reserve("Caller:7");
 * second.count; // 2
 * second.giveBack();
 * rate.reserve("Caller:7").count; // 2
 * rate.reserve("Token:https://id.example|ann").count; // 1
 * ```
 */
export class RateCounter {
  readonly #stepMs: number;
  readonly #now: () => number;
  /** Number of requests in each step, by caller and number of the step. */
  readonly #counts = new Map<string, Map<number, number>>();
  /** Number of callers at which the next sweep comes: each sweep looks at all of them. */
  #sweepAt = SWEEP_AT;

  /**
   * Starts with nothing counted.
   *
   * @param options The window and the clock
   * @throws {TypeError} When an option is unknown or of a wrong type
   * @throws {RangeError} When the window is out of range
   */
  constructor(options: RateOptions = {}) {
    const { windowSeconds, now } = checkFields("rate options", options, ["windowSeconds", "now"]);
    const range = { min: 1, max: 86_400, default: 60 };
    this.#stepMs = checkInteger("windowSeconds", windowSeconds, range) * 1000 / STEPS;
    this.#now = now ?? (() => performance.now());
  }

  /**
   * Counts a request.
   *
   * @param caller Text that tells the caller from all others, such as `Caller:7`
   * @returns The count, and a way to give it back
   */
  reserve(caller: string): Reservation {
    const step = Math.floor(this.#now() / this.#stepMs);
    const steps = this.#stepsOf(caller, step);
    steps.set(step, (steps.get(step) ?? 0) + 1);
    let isReserved = true;
    return {
      count: sumOf(steps),
      giveBack() {
        if (isReserved && steps.has(step)) steps.set(step, (steps.get(step) ?? 1) - 1);
        isReserved = false;
      },
    };
  }

  /**
   * Reads the count of a caller without counting.
   *
   * @param caller Text that tells the caller from all others
   * @returns The number of requests in the window
   */
  recentCount(caller: string): number {
    const steps = this.#counts.get(caller);
    if (steps === undefined) return 0;
    return sumOf(forgetBefore(steps, Math.floor(this.#now() / this.#stepMs) - STEPS));
  }

  #stepsOf(caller: string, step: number): Map<number, number> {
    const known = this.#counts.get(caller);
    if (known !== undefined) return forgetBefore(known, step - STEPS);
    if (this.#counts.size >= this.#sweepAt) this.#sweep(step - STEPS);
    const fresh = new Map<number, number>();
    this.#counts.set(caller, fresh);
    return fresh;
  }

  #sweep(before: number): void {
    for (const [caller, steps] of this.#counts) {
      if (forgetBefore(steps, before).size === 0) this.#counts.delete(caller);
    }
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#counts.size);
  }
}

function sumOf(steps: ReadonlyMap<number, number>): number {
  return [...steps.values()].reduce((sum, count) => sum + count, 0);
}

function forgetBefore(steps: Map<number, number>, first: number): Map<number, number> {
  for (const step of steps.keys()) if (step < first) steps.delete(step);
  return steps;
}
