import { loopTimeMs, processorTimeMs } from "../processor_time.ts";
import type { Runtime } from "../runtimes.ts";
import type { Slice } from "../slice.ts";
import { median, quantile } from "../statistics.ts";

/** Paths that are measured on one core and on two. */
export const PINNED_PATHS = ["direct", "floor", "floor-evp"] as const;

/** A client on some cores. */
export interface PinnedClient {
  readonly path: typeof PINNED_PATHS[number];
  readonly runtime: Runtime;
  /** Whether its KMS is the one that replays. */
  readonly replays: boolean;
  readonly cores: 1 | 2;
}

/** The same, with so many calls at once. */
export interface PinnedCell extends PinnedClient {
  readonly atOnce: 1 | 16;
}

/** Result of one round for one cell; times are of one decrypt, in milliseconds. */
export interface Costs {
  readonly p50Ms: number;
  readonly perSecond: number;
  /** Processor time of the client, all threads. */
  readonly cpuMs: number;
  /** Processor time of the thread that runs the event loop. */
  readonly loopMs: number;
  /** Processor time of KMS. */
  readonly kmsMs: number;
  /** p99 of the event loop's delay, where there are more calls than one. */
  readonly delayP99Ms: number;
}

/** Processor times of the client and of KMS so far, in milliseconds. */
export interface Used {
  readonly all: number;
  readonly loop: number;
  readonly kms: number;
}

/** Reads the processor times of a worker and of KMS. */
export function used(workerPid: number, kmsPid: number): Used {
  return {
    all: processorTimeMs(workerPid, "/worker.ts"),
    loop: loopTimeMs(workerPid, "/worker.ts"),
    kms: processorTimeMs(kmsPid, "/kms_process.ts"),
  };
}

/**
 * Divides what was used by the number of decrypts.
 *
 * @param slice Slice that was measured
 * @param before Times before it
 * @param after Times after it
 * @throws {Error} When a decrypt failed, or there was none
 */
export function costsOf(
  { latenciesMs, perSecond, failures, loopDelaysMs }: Slice,
  before: Used,
  after: Used,
): Costs {
  const [failure] = Object.keys(failures);
  if (failure !== undefined) throw new Error(`A decrypt fails: ${failure}`);
  const each = (name: keyof Used) => (after[name] - before[name]) / latenciesMs.length;
  return {
    p50Ms: median(latenciesMs),
    perSecond,
    cpuMs: each("all"),
    loopMs: each("loop"),
    kmsMs: each("kms"),
    delayP99Ms: quantile(loopDelaysMs, 0.99),
  };
}
