import type { Runtime } from "../runtimes.ts";
import { median, medianRatio, quantile } from "../statistics.ts";
import type { Row } from "../table.ts";

/** Paths that are compared: the server, and the client that it calls. */
export const COMPARED = ["server", "direct"] as const;

/** One of {@link COMPARED}. */
export type ComparedPath = (typeof COMPARED)[number];

/** The two checkouts. */
export type Side = "this" | "other";

/** One path of one checkout in one round, per decrypt, in milliseconds. */
export interface Cost {
  readonly p50Ms: number;
  readonly cpuMs: number;
}

/** Costs of one round. */
export type Round = Readonly<Record<Side, Readonly<Record<ComparedPath, Cost>>>>;

/**
 * Makes the rows of one runtime: each path, and the server's share, which is the server's cost less the client's in the
 * same round.
 *
 * @param runtime Runtime of all processes
 * @param rounds At least one
 * @returns Two rows for each quantity, of the other checkout and of this one. A path's ratio is the median of the rounds'
 *   ratios; the share's is the ratio of its medians, since a share of one round may be close to 0
 */
export function comparisonOf(runtime: Runtime, rounds: readonly Round[]): Row[] {
  const section = `Against the other checkout, on ${runtime}`;
  const rowsOf = (what: string, costOf: (round: Round, side: Side) => Cost, compare: Compare) => {
    const [ours, theirs] = [
      rounds.map((round) => costOf(round, "this")),
      rounds.map((round) => costOf(round, "other")),
    ];
    const row = { section, what, runtime, unit: "ms" };
    return [
      { ...row, ...medians(theirs), under: "other" },
      { ...row, ...medians(ours), under: "this", baseline: "other", ...compare(ours, theirs) },
    ];
  };
  return [
    ...rowsOf("server over a unix socket", (round, side) => round[side].server, compareRounds),
    ...rowsOf("direct, warm", (round, side) => round[side].direct, compareRounds),
    ...rowsOf(
      "the server's share",
      (round, side) => difference(round[side].server, round[side].direct),
      compareMedians,
    ),
  ];
}

type Compare = (ours: readonly Cost[], theirs: readonly Cost[]) => Pick<Row, "ratio" | "note">;

/** Compares round by round. A ratio says something when both its quartiles lie on one side of 1. */
function compareRounds(ours: readonly Cost[], theirs: readonly Cost[]): Pick<Row, "ratio" | "note"> {
  const spread = (quantity: keyof Cost) => {
    const ratios = ours.map((cost, round) => cost[quantity] / (theirs[round]?.[quantity] ?? NaN));
    return `${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`;
  };
  const cpuRatio = ratioOf(ours, theirs, "cpuMs").toFixed(2);
  return {
    ratio: ratioOf(ours, theirs, "p50Ms"),
    note: `p50: ${spread("p50Ms")}; CPU ratio ${cpuRatio}: ${spread("cpuMs")}`,
  };
}

function compareMedians(ours: readonly Cost[], theirs: readonly Cost[]): Pick<Row, "ratio" | "note"> {
  const [own, other] = [medians(ours), medians(theirs)];
  return { ratio: own.p50 / other.p50, note: `CPU ratio ${(own.cpuMs / other.cpuMs).toFixed(2)}` };
}

function difference(server: Cost, direct: Cost): Cost {
  return { p50Ms: server.p50Ms - direct.p50Ms, cpuMs: server.cpuMs - direct.cpuMs };
}

function medians(costs: readonly Cost[]): { p50: number; cpuMs: number } {
  return { p50: median(costs.map(({ p50Ms }) => p50Ms)), cpuMs: median(costs.map(({ cpuMs }) => cpuMs)) };
}

function ratioOf(ours: readonly Cost[], theirs: readonly Cost[], quantity: keyof Cost): number {
  return medianRatio(ours.map((cost) => cost[quantity]), theirs.map((cost) => cost[quantity]));
}
