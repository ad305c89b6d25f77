import type { PathName } from "./paths/paths.ts";
import type { Cell } from "./plan.ts";
import { addedMs, cpuPerCall, ratioOf, type Result } from "./results.ts";
import type { Measured } from "./rounds.ts";
import type { Runtime } from "./runtimes.ts";
import type { Parts } from "./setting.ts";
import type { Slice } from "./slice.ts";
import { median } from "./statistics.ts";
import { number } from "./table.ts";

/** Goal and the value that was measured. */
export interface Goal {
  readonly goal: string;
  readonly value: number;
  readonly bound: number;
  /** Side of the bound on which the value must be. */
  readonly direction: "at least" | "at most";
  readonly unit: string;
  readonly outcome: "passed" | "missed" | "not measured";
}

/** Measurements that the goals are judged by. */
export interface Findings {
  readonly measured: readonly Measured[];
  readonly results: readonly Result[];
  readonly parts: Parts;
}

const perSecond = ({ perSecond }: Slice) => perSecond || NaN;
const p50Rate = ({ latenciesMs }: Slice) => latenciesMs.length === 0 ? NaN : 1 / median(latenciesMs);

/**
 * Judges all goals.
 *
 * @param findings Measurements of one run
 */
export function judge(findings: Findings): Goal[] {
  return [
    ...cpuGoals(findings),
    ...awsSdkGoals(findings),
    throughput(
      findings,
      `direct on Deno, throughput against sdk over ${findings.parts.sdkCrypto} there`,
      ["direct", "Deno"],
      ["sdk", "Deno"],
      16,
      0.8,
    ),
    ...subprocessGoals(findings),
    ...loopGoals(findings),
    ...serverGoals(findings),
  ];
}

/** Formats one line for each goal. */
export function formatGoals(goals: readonly Goal[]): string {
  const width = Math.max(...goals.map(({ goal }) => goal.length));
  const lines = goals.map(({ goal, value, bound, direction, unit, outcome }) => {
    const found = outcome === "not measured" ? "" : `${number(value)}${unit}`;
    return `${outcome.padEnd(12)}  ${goal.padEnd(width)}  ${found.padStart(9)}  ${direction} ${bound}${unit}`;
  });
  return ["Goals", ...lines.map((line) => line.trimEnd())].join("\n");
}

function cpuGoals(findings: Findings): Goal[] {
  return [1, 16].map((atOnce) => {
    const value = compare(findings, ["direct", "Node"], ["floor", "Node"], atOnce, cpuPerCall);
    return makeGoal(
      `warm direct on Node, CPU against the floor, ${atOnce} at once`,
      value,
      "at most",
      1.5,
      " x",
    );
  });
}

function awsSdkGoals(findings: Findings): Goal[] {
  const name = "warm direct on Node against @aws-sdk/client-kms";
  const speed = compare(findings, ["direct", "Node"], ["aws-sdk", "Node"], 1, p50Rate);
  return [
    makeGoal(`${name}, p50, 1 at once`, speed, "at least", 1, " x"),
    throughput(findings, `${name}, throughput`, ["direct", "Node"], ["aws-sdk", "Node"], 16, 1),
  ];
}

/** Makes the goals against the real tool. Its substitute is slower than it. */
function subprocessGoals(findings: Findings): Goal[] {
  const warm = [["direct", "Node"], ["sdk", "Deno"]] as const;
  return warm.flatMap((one) =>
    ([[1, 50], [16, 100]] as const).map(([atOnce, bound]) => {
      const goal = throughput(
        findings,
        `warm ${one.join(" on ")}, throughput against the real subprocess`,
        one,
        ["subprocess", one[1]],
        atOnce,
        bound,
      );
      return findings.parts.kmstool === undefined
        ? { ...goal, value: NaN, outcome: "not measured" as const }
        : goal;
    })
  );
}

function loopGoals({ results }: Findings): Goal[] {
  const watched = results.filter(({ cell }) =>
    cell.watchesLoop && cell.atOnce > 0 && (cell.path === "direct" || cell.path === "sdk")
  );
  return watched.map(({ cell: { path, runtime, atOnce }, loopP99Ms }) =>
    makeGoal(
      `event loop with ${atOnce} in flight, ${path} on ${runtime}, p99`,
      loopP99Ms,
      "at most",
      5,
      " ms",
    )
  );
}

function serverGoals({ measured, results }: Findings): Goal[] {
  const servers = results.filter(({ cell }) =>
    cell.path === "server" && cell.atOnce === 1 && cell.roundTripMs === 0
  );
  return servers.map(({ cell }) => {
    const value = addedMs(measured, cell, "direct");
    return makeGoal(`the server on ${cell.runtime}, added to a decrypt, p50`, value, "at most", 0.5, " ms");
  });
}

type Side = readonly [path: PathName, runtime: Runtime];

function throughput(
  findings: Findings,
  goal: string,
  one: Side,
  other: Side,
  atOnce: number,
  bound: number,
): Goal {
  const value = compare(findings, one, other, atOnce, perSecond);
  return makeGoal(`${goal}, ${atOnce} at once`, value, "at least", bound, " x");
}

function compare(
  { measured, results }: Findings,
  one: Side,
  other: Side,
  atOnce: number,
  value: (slice: Slice) => number,
): number {
  const cellOf = ([path, runtime]: Side): Cell | undefined =>
    results.find(({ cell }) =>
      cell.path === path && cell.runtime === runtime && cell.atOnce === atOnce && cell.roundTripMs === 0 &&
      !cell.watchesLoop
    )?.cell;
  return ratioOf(measured, cellOf(one), cellOf(other), value);
}

/**
 * Judges a value.
 *
 * @param goal Name of the goal
 * @param value The value, NaN when it was not measured
 * @param direction Side of the bound on which it must be
 * @param bound The bound
 * @param unit Unit of both, with a space before it
 */
export function makeGoal(
  goal: string,
  value: number,
  direction: Goal["direction"],
  bound: number,
  unit: string,
): Goal {
  const isReached = direction === "at least" ? value >= bound : value <= bound;
  const outcome = Number.isNaN(value) ? "not measured" : isReached ? "passed" : "missed";
  return { goal, value, bound, direction, unit, outcome };
}
