/**
 * Secrets that arrive at boot, beside what has to be done anyway: a cold decrypt, and age.
 *
 * @module
 */
import { Child } from "../child.ts";
import type { Goal } from "../goals.ts";
import { commandOf, type Runtime } from "../runtimes.ts";
import { median, medianRatio } from "../statistics.ts";
import type { Row } from "../table.ts";

/** Measurements of one round, in milliseconds. */
export interface SecretsRound {
  /** From the first byte on 7100 to the secret handed over. */
  readonly enclaveMs: number;
  /** Cold decrypt of the identity, and age. */
  readonly plainMs: number;
}

/** Largest ratio of the two. */
const AT_MOST = 1.3;

const SECTION = "Secrets at boot";

/** Options of the comparison. */
export interface SecretsBenchOptions {
  /** Fewer rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/**
 * Measures both in every round, each first in turn. The first round does not count: it compiles.
 *
 * @param options Runtimes and length
 * @param progress Gets a line for each runtime
 * @returns Rounds of each runtime
 */
export async function runSecrets(
  { isQuick, runtimes }: SecretsBenchOptions,
  progress: (text: string) => void,
): Promise<ReadonlyMap<Runtime, readonly SecretsRound[]>> {
  const measured = new Map<Runtime, readonly SecretsRound[]>();
  for (const runtime of runtimes) {
    progress(`secrets on ${runtime}`);
    await using child = new Child(commandOf(runtime, "secrets/subject.ts"));
    const rounds: SecretsRound[] = [];
    for (let round = 0; round <= (isQuick ? 6 : 20); round++) {
      rounds.push(await child.ask<SecretsRound>(round % 2 === 0 ? "enclave first" : "enclave last"));
    }
    measured.set(runtime, rounds.slice(1));
  }
  return measured;
}

/**
 * Makes the rows of the table.
 *
 * @param measured Rounds of each runtime
 */
export function secretsRows(measured: ReadonlyMap<Runtime, readonly SecretsRound[]>): Row[] {
  return [...measured].flatMap(([runtime, rounds]): Row[] => [
    {
      section: SECTION,
      what: "first byte on 7100 to handed over",
      runtime,
      p50: median(rounds.map(({ enclaveMs }) => enclaveMs)),
      unit: "ms",
      ratio: ratioOf(rounds),
      baseline: "a cold decrypt, and age",
    },
    {
      section: SECTION,
      what: "a cold decrypt, and age",
      runtime,
      p50: median(rounds.map(({ plainMs }) => plainMs)),
      unit: "ms",
    },
  ]);
}

/**
 * Judges the goal.
 *
 * @param measured Rounds of each runtime
 */
export function judgeSecrets(measured: ReadonlyMap<Runtime, readonly SecretsRound[]>): Goal[] {
  return [...measured].map(([runtime, rounds]) => {
    const value = ratioOf(rounds);
    return {
      goal: `${runtime}, first byte on 7100 to handed over, against a cold decrypt and age`,
      value,
      bound: AT_MOST,
      direction: "at most",
      unit: " x",
      outcome: value <= AT_MOST ? "passed" : "missed",
    };
  });
}

function ratioOf(rounds: readonly SecretsRound[]): number {
  return medianRatio(rounds.map(({ enclaveMs }) => enclaveMs), rounds.map(({ plainMs }) => plainMs));
}
