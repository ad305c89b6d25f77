import { SEALED_KEPT_MS, SEALED_PAST_MS } from "../../lib/wire/sealed_fields.ts";

/** Verdict on a request: whether it is the first of its id, within the window. */
export type ReplayVerdict = "first" | "repeated" | "outside" | "full";

/** Limits of a {@link ReplayWindow}. */
export interface ReplayWindowOptions {
  /** Milliseconds that a request's date may lie behind. Default: 60000. */
  readonly pastMs?: number | undefined;
  /** Milliseconds that a request's date may lie ahead. Default: 30000. */
  readonly futureMs?: number | undefined;
  /** Milliseconds for which an id is remembered after its date is refused. Default: 120000. */
  readonly keptMs?: number | undefined;
  /** Most requests that are remembered, at about 150 bytes each. Default: 262144. */
  readonly maxRequests?: number | undefined;
  /** Clock that never goes back, in milliseconds since 1970. Default: the time at the start, and what has passed. */
  readonly now?: (() => number) | undefined;
}

/**
 * Memory of the requests of a short time, which takes none of them twice. A request carries its date: what is too old
 * to be remembered is refused for its date.
 *
 * An id is taken once, whatever dates it comes with: a sender whose date was refused seals the request again under a
 * later one, and whoever kept the first must not get it in when its own date has come. So ids are remembered for a while
 * longer than their dates are taken, and by the latest of them.
 *
 * When it is full it takes none, and forgets none early: whoever fills it stops others for three and a half minutes at
 * most, and needs more than a thousand requests a second for that.
 */
export class ReplayWindow {
  readonly #pastMs: number;
  readonly #keptMs: number;
  readonly #futureMs: number;
  readonly #maxRequests: number;
  readonly #now: () => number;
  /** Ids of requests, by the second of their latest date. */
  readonly #seen = new Map<number, Set<string>>();
  /** Second of the latest date of each id. */
  readonly #secondOf = new Map<string, number>();
  /** First second that is taken. */
  #oldest: number;

  /** @param options Limits and clock */
  constructor(options: ReplayWindowOptions = {}) {
    this.#pastMs = options.pastMs ?? SEALED_PAST_MS;
    this.#keptMs = options.keptMs ?? SEALED_KEPT_MS;
    this.#futureMs = options.futureMs ?? 30_000;
    this.#maxRequests = options.maxRequests ?? 262_144;
    // A clock that is set back would let in what was forgotten.
    this.#now = options.now ?? (() => performance.timeOrigin + performance.now());
    this.#oldest = this.#firstSecond();
  }

  /** Time by the window's clock, milliseconds since 1970. */
  get nowMs(): number {
    return this.#now();
  }

  /**
   * Judges a request, and remembers it if it is the first.
   *
   * @param id Id of the request, which its sender made at random
   * @param dateMs Its date, milliseconds since 1970, a whole second
   */
  take(id: string, dateMs: number): ReplayVerdict {
    this.#forget();
    const second = Math.floor(dateMs / 1000);
    if (!(second >= this.#oldest && dateMs <= this.#now() + this.#futureMs)) return "outside";
    const before = this.#secondOf.get(id);
    if (before === undefined && this.#secondOf.size >= this.#maxRequests) return "full";
    if (before === undefined || before < second) this.#remember(id, second, before);
    return before === undefined ? "first" : "repeated";
  }

  #remember(id: string, second: number, before: number | undefined): void {
    if (before !== undefined) this.#seen.get(before)?.delete(id);
    this.#secondOf.set(id, second);
    const ids = this.#seen.get(second) ?? new Set();
    this.#seen.set(second, ids.add(id));
  }

  #forget(): void {
    const first = this.#firstSecond();
    if (first <= this.#oldest) return;
    this.#oldest = first;
    // There are as many seconds as the window is long, however many requests.
    for (const [second, ids] of this.#seen) {
      if (second >= first - this.#keptMs / 1000) continue;
      for (const id of ids) this.#secondOf.delete(id);
      this.#seen.delete(second);
    }
  }

  #firstSecond(): number {
    return Math.ceil((this.#now() - this.#pastMs) / 1000);
  }
}
