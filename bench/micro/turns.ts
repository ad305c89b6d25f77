import { quantile } from "../statistics.ts";

/** Does something once. */
export type Work = () => Promise<boolean> | boolean;

/** Median and 99th percentile, in milliseconds. */
export interface Times {
  readonly p50: number;
  readonly p99: number;
}

/** Number of turns of a measurement. */
export interface Turns {
  readonly warmUp: number;
  readonly rounds: number;
}

/**
 * Measures several things turn by turn, so that all have the same share of a busy machine.
 *
 * @param works Functions to measure; each must return `true`
 * @param turns Number of turns
 */
export async function measureTurns<T extends readonly Work[]>(
  works: readonly [...T],
  { warmUp, rounds }: Turns,
): Promise<{ [K in keyof T]: Times }> {
  const times: number[][] = works.map(() => []);
  for (let round = 0; round < warmUp + rounds; round++) {
    for (const [index, work] of works.entries()) {
      const start = performance.now();
      const done = work();
      if (!(done instanceof Promise ? await done : done)) throw new Error("The benchmark measures a refusal");
      if (round >= warmUp) times[index]?.push(performance.now() - start);
    }
  }
  return times.map((all) => ({ p50: quantile(all, 0.5), p99: quantile(all, 0.99) })) as {
    [K in keyof T]: Times;
  };
}
