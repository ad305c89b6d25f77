/** Numbers that a seed decides: the same on every machine and runtime. */
export class Random {
  #state: number;

  /** @param seed 0 to 2^32 - 1 */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** @returns 0 to 2^32 - 1; mulberry32, by Tommy Ettinger, in the public domain */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** @returns 0 to `limit` - 1; 0 for 0 */
  below(limit: number): number {
    return limit <= 0 ? 0 : Math.floor(this.uint32() / 2 ** 32 * limit);
  }

  /** @returns One of them; `items` is not empty */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}
