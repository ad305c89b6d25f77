/** Export of an enclave, as the collector gets it. */
export interface TelemetryExport {
  /** Path, such as `/v1/traces`. */
  readonly path: string;
  /** Headers that came with it and are passed on. */
  readonly headers: Readonly<Record<string, string>>;
  /** Body. */
  readonly body: Uint8Array;
}

/** Room in a queue, held for an export that is being read. */
export interface QueueRoom extends Disposable {
  /**
   * Takes room for bytes that have come.
   *
   * @param bytes Number of bytes
   * @returns Whether there was room; otherwise nothing is taken
   */
  grow(bytes: number): boolean;
  /** Puts the export into the queue, whose body has the bytes that room was taken for. */
  fill(item: TelemetryExport): void;
}

/** Part of the queue that one peer holds. */
interface Share {
  count: number;
  bytes: number;
}

/**
 * Queue with bounds on the exports and on the bytes in it. Bytes count from when they have come: a length that is only
 * announced takes no room. They count until the export has left: what is being read or sent counts, too.
 *
 * No peer may hold more than is left free. So a single one has half of the queue, and however many fill theirs, the next
 * one finds room.
 */
export class ExportQueue {
  readonly #limits: { readonly maxCount: number; readonly maxBytes: number };
  readonly #waiting: { readonly item: TelemetryExport; readonly leave: () => void }[] = [];
  readonly #takers: (() => void)[] = [];
  readonly #shares = new Map<number | undefined, Share>();
  #count = 0;
  #bytes = 0;

  /** @param limits Most exports, and most bytes of their bodies */
  constructor(limits: { readonly maxCount: number; readonly maxBytes: number }) {
    this.#limits = limits;
  }

  /** Number of exports that are read, wait or are sent. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of their bodies, as far as they have come. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes room for an export without its bytes.
   *
   * @param cid CID of the peer; undefined for all peers that have none
   * @param bytes Bytes that the peer announces, for which there must be room now
   * @returns The room; dispose it, which gives back what was not filled. Undefined when there is none
   */
  reserve(cid: number | undefined, bytes: number): QueueRoom | undefined {
    const share = this.#shares.get(cid) ?? { count: 0, bytes: 0 };
    if (share.count >= this.#limits.maxCount - this.#count || !this.#hasRoomFor(share, bytes)) {
      return undefined;
    }
    this.#shares.set(cid, share);
    const held = { count: 0, bytes: 0 };
    const take = (count: number, more: number) => {
      for (const holder of [held, share]) {
        [holder.count, holder.bytes] = [holder.count + count, holder.bytes + more];
      }
      this.#count += count;
      this.#bytes += more;
    };
    const leave = () => {
      take(-held.count, -held.bytes);
      if (share.count === 0 && this.#shares.get(cid) === share) this.#shares.delete(cid);
    };
    take(1, 0);
    let isFilled = false;
    return {
      grow: (more) => {
        const hasRoom = this.#hasRoomFor(share, more);
        if (hasRoom) take(0, more);
        return hasRoom;
      },
      fill: (item) => {
        isFilled = true;
        this.#waiting.push({ item, leave });
        this.#takers.shift()?.();
      },
      [Symbol.dispose]: () => {
        if (!isFilled) leave();
      },
    };
  }

  #hasRoomFor(share: Share, bytes: number): boolean {
    return share.bytes + bytes <= this.#limits.maxBytes - this.#bytes;
  }

  /**
   * Takes the oldest export, or waits for one.
   *
   * @param signal Ends the wait
   * @returns The export and a function that gives its room back; undefined once the signal has aborted
   */
  async take(signal: AbortSignal): Promise<{ item: TelemetryExport; leave: () => void } | undefined> {
    while (!signal.aborted) {
      const next = this.#waiting.shift();
      if (next !== undefined) return next;
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#takers.push(wake);
        signal.addEventListener("abort", wake);
      });
    }
    return undefined;
  }

  /**
   * Empties the queue.
   *
   * @returns Number of exports that waited
   */
  clear(): number {
    const dropped = this.#waiting.splice(0);
    for (const { leave } of dropped) leave();
    return dropped.length;
  }
}
