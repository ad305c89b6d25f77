/** Limits of a queue. */
export interface QueueLimits {
  /** Most spans that wait, and most log lines. */
  readonly maxItems: number;
  /** Most bytes of spans that wait, and of log lines. */
  readonly maxBytes: number;
  /** Most spans or log lines in one export. */
  readonly batchItems: number;
  /** Most bytes of them, unless it is one. */
  readonly batchBytes: number;
}

/** Items that wait to be exported, oldest first, bounded in number and in size. They stay until they are removed. */
export class ExportQueue {
  /** Kind of the items: `traces` or `logs`, as in the collector's path. */
  readonly signal: string;
  /** Beginning of an export, before the items. */
  readonly head: string;
  /** Number of times that the oldest items were sent in vain. */
  tries = 0;
  readonly #limits: QueueLimits;
  readonly #items: string[] = [];
  #bytes = 0;
  /** Number of oldest items that are to be sent whether they are a batch or not; none when negative. */
  #flushed = 0;

  /**
   * @param signal Kind of the items
   * @param head Beginning of an export
   * @param limits Limits of the queue
   */
  constructor(signal: string, head: string, limits: QueueLimits) {
    this.signal = signal;
    this.head = head;
    this.#limits = limits;
  }

  /** Number of items. */
  get count(): number {
    return this.#items.length;
  }

  /** Bytes of all items, each of which is ASCII. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether there is a batch, or an item that waited at the last flush. */
  get isDue(): boolean {
    return this.#flushed > 0 || this.count >= this.#limits.batchItems ||
      this.#bytes >= this.#limits.batchBytes;
  }

  /** Makes all items due, however few. */
  flush(): void {
    this.#flushed = this.count;
  }

  /**
   * Adds an item, if there is room.
   *
   * @param item The item, in ASCII
   * @param share Part of the bounds that may be used up, above 0 to 1
   * @returns Whether there was room
   */
  add(item: string, share: number): boolean {
    const bytes = this.#bytes + item.length;
    if (this.#items.length >= this.#limits.maxItems * share || bytes > this.#limits.maxBytes * share) {
      return false;
    }
    this.#items.push(item);
    this.#bytes = bytes;
    return true;
  }

  /** Reads the oldest items, as many as one batch may have; at least one if there is one. */
  first(): readonly string[] {
    let bytes = 0;
    return this.#items.filter(({ length }, index) =>
      index < this.#limits.batchItems && ((bytes += length) <= this.#limits.batchBytes || index === 0)
    );
  }

  /**
   * Removes the oldest items.
   *
   * @param count Number of them
   */
  remove(count: number): void {
    for (const { length } of this.#items.splice(0, count)) this.#bytes -= length;
    this.#flushed -= count;
    this.tries = 0;
  }
}
