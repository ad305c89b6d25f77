/**
 * One decrypt with everything made anew: by the C tool, by the command line as it is packed, and by `kmsDecrypt` in a
 * process that runs.
 *
 * @module
 */
import type { Child } from "../child.ts";
import type { Lab } from "../lab.ts";
import { pathKind } from "../paths/paths.ts";
import { commandLine, ownCommandLine } from "../paths/subprocess.ts";
import type { Runtime } from "../runtimes.ts";
import type { Slice, SliceOrder } from "../slice.ts";
import { timeOfProgram } from "../starts.ts";
import { shuffle } from "../statistics.ts";
import type { OneShot } from "./verdict.ts";

const ROUNDS = 60;
const QUICK_ROUNDS = 2;

/** Options of the measurement. */
export interface OneShotOptions {
  /** Fewer rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/** One decrypt to measure. */
interface Subject extends Omit<OneShot, "timesMs"> {
  readonly timesMs: number[];
  measure(): Promise<number>;
}

/**
 * Measures each once in every round, in random order.
 *
 * @param lab The running KMS
 * @param options Runtimes and length
 * @param random Numbers from 0 to 1 for the order
 * @param progress Gets a line for each step
 */
export async function runOneShots(
  lab: Lab,
  { isQuick, runtimes }: OneShotOptions,
  random: () => number,
  progress: (text: string) => void,
): Promise<OneShot[]> {
  const workers: Child[] = [];
  try {
    progress("warming up");
    const subjects = [toolOf(lab), commandLineOf(lab)];
    for (const runtime of runtimes) {
      for (const engine of ["sdk", "direct"] as const) {
        const path = pathKind(`${engine}-cold`);
        if (path.missing?.(lab.parts) !== undefined) continue;
        const worker = await lab.start(runtime, "worker.ts", [`${engine}-cold`]);
        workers.push(worker);
        const label = `kmsDecrypt(): ${path.label(lab.parts)}`;
        subjects.push({ what: engine, runtime, label, timesMs: [], measure: () => timeOfCall(worker) });
      }
    }
    for (const { measure } of subjects) await measure();
    const rounds = isQuick ? QUICK_ROUNDS : ROUNDS;
    for (let round = 0; round < rounds; round++) {
      if (round % 10 === 0) progress(`round ${round + 1} of ${rounds}`);
      for (const { timesMs, measure } of shuffle(subjects, random)) timesMs.push(await measure());
    }
    return subjects;
  } finally {
    await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}

function toolOf(lab: Lab): Subject {
  const command = commandLine(lab.setting, lab.parts, 0);
  const label = pathKind("subprocess").label(lab.parts);
  return { what: "tool", runtime: "", label, timesMs: [], measure: () => timeOfProgram(lab, command) };
}

function commandLineOf(lab: Lab): Subject {
  const command = ownCommandLine(lab.setting, lab.parts, 0);
  const label = "command line, as it is packed";
  return {
    what: "command line",
    runtime: "Node",
    label,
    timesMs: [],
    measure: () => timeOfProgram(lab, command),
  };
}

async function timeOfCall(worker: Child): Promise<number> {
  const order: SliceOrder = { roundTripMs: 0, atOnce: 1, forMs: 0 };
  const { latenciesMs } = await worker.ask<Slice>(order);
  return latenciesMs[0] ?? NaN;
}
