import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Path } from "./paths/path.ts";
import type { RoundTripMs, Sample } from "./setting.ts";

/** Order for one measurement in a process. */
export interface SliceOrder {
  readonly roundTripMs: RoundTripMs;
  /** Number of calls that run at once; 0 to watch a process that does nothing. */
  readonly atOnce: number;
  /**
   * After so many milliseconds no call begins; each of those at once makes one, or a few until one succeeds.
   */
  readonly forMs: number;
  /**
   * Time of calls before the clock starts, in milliseconds; each lane makes one at least. Connections and
   * documents may have aged, another process fills the caches, and V8 throws away idle code.
   */
  readonly warmUpMs?: number | undefined;
  /** Whether to watch the event loop, which costs a little. */
  readonly watchesLoop?: boolean;
}

/** Result of a measurement. */
export interface Slice {
  /** Latency of every call that succeeded, in milliseconds. */
  readonly latenciesMs: readonly number[];
  /** Calls that succeeded, a second; the time of those that failed is left out. */
  readonly perSecond: number;
  /** Processor time of the process and its ended children, all calls together, in milliseconds. */
  readonly cpuMs: number;
  /** Count of each failure. */
  readonly failures: Readonly<Record<string, number>>;
  /** Delays of timers of a millisecond, in milliseconds. */
  readonly loopDelaysMs: readonly number[];
}

/** A lane makes one call after the other. */
interface Lane {
  readonly latenciesMs: number[];
  elapsedMs: number;
  failedMs: number;
}

/**
 * Measures one path for a while.
 *
 * @param path Path to measure; its plaintexts are compared
 * @param samples Ciphertexts to decrypt, in turn
 * @param order Length and concurrency
 */
export async function measureSlice(
  path: Path,
  samples: readonly Sample[],
  order: SliceOrder,
): Promise<Slice> {
  const failures: Record<string, number> = {};
  let next = 0;
  const decrypt = async () => {
    const sample = samples[next++ % samples.length]!;
    return await attempt(path, sample, failures);
  };
  const lanes = Array.from({ length: order.atOnce }, () => decrypt);
  const { warmUpMs } = order;
  const warmsUpSince = performance.now();
  if (warmUpMs !== undefined) await Promise.all(lanes.map((call) => runLane(call, warmsUpSince, warmUpMs)));
  const watch = order.watchesLoop ? new LoopWatch() : undefined;
  const cpuBefore = cpuMs();
  const startedAt = performance.now();
  const done = await Promise.all(lanes.map((call) => runLane(call, startedAt, order.forMs)));
  if (lanes.length === 0) await sleep(order.forMs);
  return {
    cpuMs: cpuMs() - cpuBefore,
    latenciesMs: done.flatMap((lane) => lane.latenciesMs),
    perSecond: done.reduce((sum, lane) => sum + rateOf(lane), 0),
    failures,
    loopDelaysMs: watch?.end() ?? [],
  };
}

/** The real tool crashes so often on a busy machine that a single call would often say nothing. */
const MAX_TRIES = 4;

async function runLane(call: () => Promise<boolean>, startedAt: number, forMs: number): Promise<Lane> {
  const lane: Lane = { latenciesMs: [], elapsedMs: 0, failedMs: 0 };
  const isWanting = (tries: number) => lane.latenciesMs.length === 0 && tries < MAX_TRIES;
  for (let [now, tries] = [startedAt, 0]; isWanting(tries) || now - startedAt < forMs; tries++) {
    const succeeded = await call();
    const end = performance.now();
    if (succeeded) lane.latenciesMs.push(end - now);
    else lane.failedMs += end - now;
    lane.elapsedMs = end - startedAt;
    now = end;
  }
  return lane;
}

function rateOf({ latenciesMs, elapsedMs, failedMs }: Lane): number {
  return latenciesMs.length === 0 ? 0 : latenciesMs.length / (elapsedMs - failedMs) * 1000;
}

/** Makes one call, and counts a failure. A wrong plaintext ends the benchmark. */
async function attempt(path: Path, sample: Sample, failures: Record<string, number>): Promise<boolean> {
  let isRight: boolean;
  try {
    isRight = await path.decrypt(sample);
  } catch (error) {
    const { code, signal } = error as { code?: unknown; signal?: unknown };
    const name = String(signal || code || error);
    failures[name] = (failures[name] ?? 0) + 1;
    return false;
  }
  if (!isRight) throw new Error("The benchmark measures a wrong plaintext");
  return true;
}

/** Ticks of the kernel's clock: 100 a second on every Linux there is. */
const TICK_MS = 10;

/** This process's time, all threads, and that of its children that have ended. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  const fields = readFileSync("/proc/self/stat", "utf8").replace(/^.*\) /s, "").split(" ");
  return (user + system) / 1000 + (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}

/** Timers of a millisecond and their delays, which any other work on this thread would have had. */
export class LoopWatch {
  readonly #delaysMs: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last = performance.now();

  constructor() {
    this.#next();
  }

  /** Ends the watch, and returns all delays in milliseconds. */
  end(): number[] {
    clearTimeout(this.#timer);
    return this.#delaysMs;
  }

  #next(): void {
    this.#timer = setTimeout(() => {
      const now = performance.now();
      this.#delaysMs.push(Math.max(0, now - this.#last - 1));
      this.#last = now;
      this.#next();
    }, 1);
  }
}
