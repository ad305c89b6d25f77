import type { Distribution, Labels, Sample } from "./metric_family.ts";

/** Counter whose series are told apart by labels. */
export class Counter {
  readonly #names: readonly string[];
  readonly #series = new Map<string, { readonly labels: Labels; count: number }>();

  /** @param names Names of its labels */
  constructor(...names: readonly string[]) {
    this.#names = names;
  }

  /** Series in the order in which each was counted first. */
  get samples(): readonly Sample[] {
    return Array.from(this.#series.values(), ({ labels, count }) => [labels, count]);
  }

  /**
   * Adds one.
   *
   * @param values Values of the labels, in the order of their names; each must come from a fixed list
   */
  add(...values: readonly string[]): void {
    const key = values.length === 1 ? values[0] as string : values.join(" ");
    const known = this.#series.get(key);
    if (known !== undefined) return void known.count++;
    const labels = Object.fromEntries(this.#names.map((name, index) => [name, values[index] ?? ""]));
    this.#series.set(key, { labels, count: 1 });
  }
}

/** Histogram whose series are told apart by one label, or that has one series. */
export class Histogram {
  /** Upper bounds of the buckets. */
  readonly bounds: readonly number[];
  readonly #label: string | undefined;
  readonly #series = new Map<string, { readonly counts: number[]; sum: number }>();

  /**
   * @param bounds Upper bounds, ascending
   * @param label Name of the label. Default: none, and one series
   */
  constructor(bounds: readonly number[], label?: string) {
    this.bounds = bounds;
    this.#label = label;
    if (label === undefined) this.#make("");
  }

  /** Series in the order in which each had its first value. */
  get distributions(): readonly Distribution[] {
    return Array.from(this.#series, ([value, { counts, sum }]) => ({
      labels: this.#label === undefined ? {} : { [this.#label]: value },
      counts: [...counts],
      sum,
    }));
  }

  /**
   * Notes a value.
   *
   * @param value The value
   * @param series Value of the label, from a fixed list. Default: the only series
   */
  note(value: number, series = ""): void {
    const one = this.#series.get(series) ?? this.#make(series);
    let bucket = 0;
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++;
    one.counts[bucket] = (one.counts[bucket] as number) + 1;
    one.sum += value;
  }

  #make(series: string): { readonly counts: number[]; sum: number } {
    const made = { counts: Array.from({ length: this.bounds.length + 1 }, () => 0), sum: 0 };
    this.#series.set(series, made);
    return made;
  }
}
