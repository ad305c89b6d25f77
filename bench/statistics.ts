/** Middle and tail of some times. */
export interface Summary {
  /** Median of the rounds' medians. */
  readonly p50: number;
  /** 99th percentile of all values of all rounds. */
  readonly p99: number;
  /** Number of values. */
  readonly count: number;
}

/**
 * Computes a quantile.
 *
 * @param values Values in any order; they are not changed
 * @param share 0 to 1
 * @returns The value below which that share lies, interpolated; NaN of none
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? NaN;
  const above = sorted[Math.ceil(position)] ?? NaN;
  // Of what is infinite there is no difference.
  return below === above ? below : below + (above - below) * (position - Math.floor(position));
}

/**
 * Computes the median.
 *
 * @param values Values in any order; NaN is left out
 */
export function median(values: readonly number[]): number {
  return quantile(values.filter((value) => !Number.isNaN(value)), 0.5);
}

/**
 * Summarizes rounds. A round that the machine disturbed counts as one round, not with all its values.
 *
 * @param rounds The values of each round
 */
export function summarize(rounds: readonly (readonly number[])[]): Summary {
  const all = rounds.flat();
  return { p50: median(rounds.map(median)), p99: quantile(all, 0.99), count: all.length };
}

/**
 * Computes the median of the rounds' ratios. A disturbance of the machine slows both parts of a round, and
 * falls out of their ratio.
 *
 * @param numerators One value per round, NaN where there is none
 * @param denominators The same of the baseline
 */
export function medianRatio(numerators: readonly number[], denominators: readonly number[]): number {
  return median(numerators.map((value, round) => value / (denominators[round] ?? NaN)));
}

/**
 * Shuffles items.
 *
 * @param items Items in any order
 * @param random Numbers from 0 to 1, without 1
 * @returns The same in random order
 */
export function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const chosen = Math.floor(random() * (last + 1));
    [shuffled[last], shuffled[chosen]] = [shuffled[chosen]!, shuffled[last]!];
  }
  return shuffled;
}

/**
 * Makes a generator of reproducible random numbers (mulberry32).
 *
 * @param seed A whole number
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
