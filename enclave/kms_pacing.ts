import { Pauses } from "../lib/core/pauses.ts";
import type { KmsCall } from "../lib/kms/engine.ts";
import { Admission, type AdmissionLimits, type TurnKey } from "./admission.ts";
import type { Entrance } from "./admit.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** Turn of one request to KMS. */
export interface PacedTurn extends Disposable {
  /** Learns that KMS throttled the request. */
  throttled(): void;
  /** Learns that KMS did what the request asks for. */
  succeeded(): void;
}

/** Pauses that callers are told to make, while KMS throttles whatever is sent. */
const PAUSES = { firstMs: 1000, maxMs: 30_000 };

/** Shrunken quotas that are remembered: callers of the kmstool protocol bring credentials of their own. */
const MAX_PACES = 64;

/** Round trips, about, in which a limit grows from half of its maximum, or less, to its maximum. */
const ROUND_TRIPS = 64;

/**
 * Sends fewer requests at once while KMS throttles. KMS counts requests by account and region, so there is one limit for
 * each quota, which is a region and an access key id: callers with credentials of their own shrink nobody else's.
 *
 * The first throttled answer halves the number of requests that may run, and so does each later one, but at most once in
 * a round trip: an answer to a request that began before the last cut says nothing about what was cut. Each success adds
 * a little: in a round trip one turn, or a 64th of the maximum but no more than there are, until the limit is back at
 * the maximum.
 */
export class KmsPacing {
  readonly #admission: Admission;
  /** Shrunken quotas; the one that was used last comes last. */
  readonly #paces = new Map<string, Pace>();
  #throttledCount = 0;
  #waitingCount = 0;

  /** @param admission Admission of all requests, with the greatest limits */
  constructor(admission: Admission) {
    this.#admission = admission;
  }

  /** Number of throttled answers. */
  get throttledCount(): number {
    return this.#throttledCount;
  }

  /** Number of all requests that run or wait. */
  get inside(): number {
    return this.#admission.inside + this.#waitingCount;
  }

  /**
   * Reads how many requests of a quota may run at once.
   *
   * @param quota Region and access key id
   */
  limitOf(quota: string): number {
    return this.#paces.get(quota)?.limit ?? this.#admission.limits.maxRunning;
  }

  /**
   * Tells when a caller who was turned away may try again.
   *
   * @param quota Region and access key id
   * @returns Whole seconds, at least 1; `undefined` when the quota is not shrunken
   */
  retryAfterSeconds(quota: string): number | undefined {
    return this.#paces.get(quota)?.retryAfterSeconds;
  }

  /**
   * Makes the entrance for a quota's requests: they wait for its turn first, and then for one of all requests.
   *
   * @param quota Region and access key id
   */
  entrance(quota: string): Entrance<PacedTurn> {
    return { enter: (by, signal) => this.#enter(quota, by, signal) };
  }

  async #enter(quota: string, by: TurnKey, signal: AbortSignal): Promise<PacedTurn> {
    const paced = await this.#pace(quota, by, signal);
    try {
      const turn = await this.#admission.enter(by, signal);
      const lastCut = this.#paces.get(quota)?.lastCut;
      return {
        throttled: () => this.#shrink(quota, lastCut),
        succeeded: () => this.#grow(quota, lastCut),
        [Symbol.dispose]: () => {
          paced?.[Symbol.dispose]();
          turn[Symbol.dispose]();
        },
      };
    } catch (error) {
      paced?.[Symbol.dispose]();
      throw error;
    }
  }

  async #pace(quota: string, by: TurnKey, signal: AbortSignal): Promise<Disposable | undefined> {
    const pace = this.#paces.get(quota);
    if (pace === undefined) return undefined;
    this.#paces.delete(quota);
    this.#paces.set(quota, pace);
    this.#waitingCount++;
    try {
      return await pace.enter(by, signal);
    } finally {
      this.#waitingCount--;
    }
  }

  #shrink(quota: string, lastCut: object | undefined): void {
    this.#throttledCount++;
    const pace = this.#paces.get(quota);
    if (pace?.lastCut !== lastCut) return;
    if (pace !== undefined) return pace.cut();
    const [leastUsed] = this.#paces.keys();
    if (this.#paces.size >= MAX_PACES && leastUsed !== undefined) this.#paces.delete(leastUsed);
    this.#paces.set(quota, new Pace(this.#admission.limits));
  }

  #grow(quota: string, lastCut: object | undefined): void {
    const pace = this.#paces.get(quota);
    if (pace === undefined || pace.lastCut !== lastCut) return;
    if (pace.grow()) this.#paces.delete(quota);
  }
}

/**
 * Watches one call to KMS: its turn learns that KMS throttles, and the metrics count refusals and tries.
 *
 * @param turn Turn of the request. Default: it has none
 * @param metrics Counts. Default: nothing does
 */
export function watchCall(
  turn: PacedTurn | undefined,
  metrics: Pick<Metrics, "countKmsError" | "countKmsRetry"> | undefined,
): Pick<KmsCall, "onRefused" | "onRetry"> {
  return {
    onRefused: ({ throttled, kmsCode }) => {
      if (throttled) turn?.throttled();
      metrics?.countKmsError(kmsCode);
    },
    onRetry: () => metrics?.countKmsRetry(),
  };
}

/** Limit of one quota, from its first throttled answer until it has recovered. */
class Pace {
  readonly #max: AdmissionLimits;
  readonly #admission: Admission;
  readonly #pauses = new Pauses(PAUSES);
  /** Limit with the part of a turn that successes have added. */
  #exact: number;
  /** Limit from which on the pauses begin anew: a round trip without a throttled answer. */
  #calm = 0;
  /** Identifies the last cut: a turn remembers it. */
  lastCut: object = {};

  constructor(max: AdmissionLimits) {
    this.#max = max;
    this.#exact = max.maxRunning;
    this.#admission = new Admission(max.maxRunning, max.maxWaiting);
    this.cut();
  }

  get limit(): number {
    return Math.floor(this.#exact);
  }

  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil(this.#pauses.remainingMs / 1000));
  }

  enter(by: TurnKey, signal: AbortSignal): Promise<Disposable> {
    return this.#admission.enter(by, signal);
  }

  cut(): void {
    this.lastCut = {};
    this.#exact = Math.max(1, Math.floor(this.#exact / 2));
    this.#calm = this.#exact + 1;
    this.#pauses.begin();
    this.#apply();
  }

  /** @returns Whether the limit is back at its maximum */
  grow(): boolean {
    const { maxRunning } = this.#max;
    const perRoundTrip = Math.max(1, Math.min(this.#exact, maxRunning / ROUND_TRIPS));
    this.#exact = Math.min(maxRunning, this.#exact + perRoundTrip / this.#exact);
    if (this.#exact >= this.#calm) this.#pauses.reset();
    this.#apply();
    return this.#exact === maxRunning;
  }

  /** Fewer may wait, too: the wait of the last in line stays about as long. */
  #apply(): void {
    const { maxRunning, maxWaiting } = this.#max;
    const waiting = maxWaiting === 0 ? 0 : Math.max(1, Math.floor(maxWaiting * this.limit / maxRunning));
    this.#admission.limits = { maxRunning: this.limit, maxWaiting: waiting };
  }
}
