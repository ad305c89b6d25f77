import { median, medianRatio, quantile } from "../statistics.ts";
import { number } from "../table.ts";
import type { AttackName } from "./attacks.ts";
import type { Served } from "./good_caller.ts";

/** One round: the good caller by itself, and beside the attack. */
export interface AttackRound {
  readonly alone: Served;
  readonly attacked: Served;
  /** Repetitions of the attack meanwhile. */
  readonly done: number;
}

/** Result of the rounds of one attack. */
export interface Verdict {
  readonly attack: AttackName;
  readonly where: string;
  /** Medians of the rounds, in milliseconds. */
  readonly alone: { readonly p50: number; readonly p99: number };
  readonly attacked: { readonly p50: number; readonly p99: number };
  /** The median of the rounds' ratios of p99. */
  readonly ratio: number;
  readonly calls: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Repetitions of the attack in a round, the median. */
  readonly done: number;
}

/** Largest ratio of a good caller's p99 beside an attack to its p99 alone. */
export const MAX_RATIO = 3;

/**
 * Judges the rounds of an attack.
 *
 * @param attack Name of the attack
 * @param where Runtime and transport
 * @param rounds At least one
 */
export function judgeAttack(attack: AttackName, where: string, rounds: readonly AttackRound[]): Verdict {
  const of = (served: readonly Served[], share: number) =>
    served.map(({ latenciesMs }) => quantile(latenciesMs, share));
  const [alone, attacked] = [rounds.map((round) => round.alone), rounds.map((round) => round.attacked)];
  const failures: Record<string, number> = {};
  for (const served of attacked) {
    for (const [text, count] of Object.entries(served.failures)) {
      failures[text] = (failures[text] ?? 0) + count;
    }
  }
  return {
    attack,
    where,
    alone: { p50: median(of(alone, 0.5)), p99: median(of(alone, 0.99)) },
    attacked: { p50: median(of(attacked, 0.5)), p99: median(of(attacked, 0.99)) },
    ratio: medianRatio(of(attacked, 0.99), of(alone, 0.99)),
    calls: attacked.reduce((sum, { latenciesMs }) => sum + latenciesMs.length, 0),
    failures,
    done: median(rounds.map((round) => round.done)),
  };
}

/** Tells whether the ratio is within the limit. A verdict without a ratio is not. */
export function isWithin({ ratio }: Verdict): boolean {
  return ratio <= MAX_RATIO;
}

function failureLines({ attack, where, failures }: Verdict): string[] {
  return Object.entries(failures).map(([text, count]) => `${attack}, ${where}: ${count} times "${text}"`);
}

/** Formats one line for each attack, and one for each kind of failure. */
export function formatVerdicts(verdicts: readonly Verdict[]): string {
  const head = [
    "",
    "attack",
    "where",
    "alone: p50",
    "p99",
    "attacked: p50",
    "p99",
    "ratio",
    "failed",
    "done",
  ];
  const lines = verdicts.map((verdict) => {
    const { attack, where, alone, attacked, ratio, calls, failures, done } = verdict;
    const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
    const numbers = [alone.p50, alone.p99, attacked.p50, attacked.p99, ratio].map(number);
    return [
      isWithin(verdict) ? "ok" : "FAIL",
      attack,
      where,
      ...numbers,
      `${failed} of ${calls}`,
      number(done),
    ];
  });
  const widths = head.map((title, index) =>
    Math.max(title.length, ...lines.map((cells) => cells[index]?.length ?? 0))
  );
  const isText = (index: number) => index < 3;
  const table = [head, ...lines].map((cells) =>
    cells.map((cell, index) => {
      const width = widths[index] ?? 0;
      return isText(index) ? cell.padEnd(width) : cell.padStart(width);
    }).join("  ").trimEnd()
  );
  return [...table, ...verdicts.flatMap(failureLines)].join("\n");
}
