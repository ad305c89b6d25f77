/**
 * Two checkouts in one run: what the server adds to a decrypt in this one and in another, say one of last
 * week. Both decrypt with the same simulated KMS, in turns, so that whatever else the machine does falls out
 * of the ratios.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "../child.ts";
import type { Goal } from "../goals.ts";
import type { Lab } from "../lab.ts";
import { processorTimeMs } from "../processor_time.ts";
import type { Runtime } from "../runtimes.ts";
import type { Slice, SliceOrder } from "../slice.ts";
import { median, shuffle } from "../statistics.ts";
import type { Row } from "../table.ts";
import { COMPARED, type ComparedPath, comparisonOf, type Cost, type Round, type Side } from "./compare.ts";
import { foldersOf, SpeedSubjects } from "./speed_subjects.ts";
import {
  judgeAgainst,
  type Speed,
  type SpeedName,
  type SpeedRound,
  speedRows,
  SPEEDS,
  type SpeedSide,
} from "./speeds.ts";

const SIDES: readonly Side[] = ["this", "other"];

/** Script of the process that decrypts, by path. */
const SCRIPTS: Readonly<Record<ComparedPath, string>> = {
  server: "/server_process.ts",
  direct: "/worker.ts",
};

interface Lengths {
  readonly rounds: number;
  readonly forMs: number;
  readonly firstWarmUpMs: number;
  readonly warmUpMs: number;
}

const FULL: Lengths = { rounds: 20, forMs: 1000, firstWarmUpMs: 5000, warmUpMs: 300 };
const QUICK: Lengths = { rounds: 4, forMs: 250, firstWarmUpMs: 500, warmUpMs: 50 };

/** Options of the comparison. */
export interface AgainstOptions {
  /** Folder of the other checkout, with its packages installed. */
  readonly folder: string;
  /** Fewer and shorter rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/** Results of all runtimes. */
export interface AgainstResult {
  readonly rows: readonly Row[];
  readonly goals: readonly Goal[];
}

/**
 * Compares this checkout with another one.
 *
 * @param lab The running KMS
 * @param options The other checkout, the runtimes and the length
 * @param random Numbers from 0 to 1 for the order within a round
 * @param progress Gets a line for each step
 * @throws {TypeError} When the folder has no benchmark
 */
export async function runAgainst(
  lab: Lab,
  { folder, isQuick, runtimes }: AgainstOptions,
  random: () => number,
  progress: (text: string) => void,
): Promise<AgainstResult> {
  const lengths = isQuick ? QUICK : FULL;
  const folders = foldersOf(folder);
  if (!existsSync(workerOf(folders.other))) {
    throw new TypeError("against needs the folder of another checkout: there is no bench/worker.ts in it");
  }
  const [rows, goals]: [Row[], Goal[]] = [[], []];
  for (const runtime of runtimes) {
    progress(`starting both checkouts on ${runtime}`);
    await using measured = await Subjects.start(lab, runtime, folders);
    await using fast = await SpeedSubjects.start(lab, runtime, folders);
    for (const subject of measured.all) await subject.measure(lengths.firstWarmUpMs, 0);
    for (const subject of fast.all) await subject.measure(lengths.firstWarmUpMs / 2);
    const rounds: Round[] = [];
    const speeds: SpeedRound[] = [];
    while (rounds.length < lengths.rounds) {
      progress(`round ${rounds.length + 1} of ${lengths.rounds} on ${runtime}`);
      rounds.push(await measured.round(lengths, random));
      speeds.push(await speedRound(fast, lengths.forMs / 2, random));
    }
    rows.push(...comparisonOf(runtime, rounds), ...speedRows(runtime, speeds));
    goals.push(...judgeAgainst(runtime, rounds, speeds));
  }
  return { rows, goals };
}

async function speedRound({ all }: SpeedSubjects, forMs: number, random: () => number): Promise<SpeedRound> {
  const round = Object.fromEntries(SPEEDS.map((name) => [name, {}])) as Record<
    SpeedName,
    Partial<Record<SpeedSide, Speed>>
  >;
  for (const { side, name, measure } of shuffle(all, random)) round[name][side] = await measure(forMs);
  return round;
}

function workerOf(folder: string): string {
  return join(folder, "bench", "worker.ts");
}

/** One path of one checkout, in processes of its own. */
class Subject implements AsyncDisposable {
  readonly side: Side;
  readonly path: ComparedPath;
  readonly #worker: Child;

  constructor(side: Side, path: ComparedPath, worker: Child) {
    this.side = side;
    this.path = path;
    this.#worker = worker;
  }

  /** Warms up, then decrypts one after the other. */
  async measure(forMs: number, warmUpMs: number): Promise<Cost> {
    const order: SliceOrder = { roundTripMs: 0, atOnce: 1, forMs };
    if (warmUpMs > 0) await this.#worker.ask<Slice>({ ...order, forMs: warmUpMs });
    const before = this.#processorTimeMs();
    const { latenciesMs, failures } = await this.#worker.ask<Slice>(order);
    const cpuMs = (this.#processorTimeMs() - before) / latenciesMs.length;
    const [failure] = Object.keys(failures);
    if (failure !== undefined) throw new Error(`${this.path} of ${this.side} checkout fails: ${failure}`);
    return { p50Ms: median(latenciesMs), cpuMs };
  }

  /** Ends the processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker[Symbol.asyncDispose]();
  }

  #processorTimeMs(): number {
    return processorTimeMs(this.#worker.pid, SCRIPTS[this.path]);
  }
}

/** Both paths of both checkouts. */
class Subjects implements AsyncDisposable {
  readonly all: Subject[] = [];

  static async start(lab: Lab, runtime: Runtime, folders: Record<Side, string>): Promise<Subjects> {
    const subjects = new Subjects();
    try {
      for (const side of SIDES) {
        for (const path of COMPARED) {
          const worker = await lab.start(runtime, workerOf(folders[side]), [path]);
          subjects.all.push(new Subject(side, path, worker));
        }
      }
      return subjects;
    } catch (error) {
      await subjects[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Measures each once, in random order. */
  async round({ forMs, warmUpMs }: Lengths, random: () => number): Promise<Round> {
    const costs = { this: {}, other: {} } as Record<Side, Record<ComparedPath, Cost>>;
    for (const subject of shuffle(this.all, random)) {
      costs[subject.side][subject.path] = await subject.measure(forMs, warmUpMs);
    }
    return costs;
  }

  /** Ends all processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((subject) => subject[Symbol.asyncDispose]()));
  }
}
