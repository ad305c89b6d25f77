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
 * Makes the rows of one runtime: each path, and the server's share, which is the server's cost less the
 * client's in the same round.
 *
 * @param runtime Runtime of all processes
 * @param rounds At least one
 * @returns Two rows for each quantity, of this checkout and of the other one. Ratios are medians of the
 *   rounds' ratios
 */
export function comparisonOf(runtime: Runtime, rounds: readonly Round[]): Row[] {
  const quantities: readonly (readonly [string, (round: Round, side: Side) => Cost])[] = [
    ["server over a unix socket", (round, side) => round[side].server],
    ["direct, warm", (round, side) => round[side].direct],
    ["the server's share", (round, side) => difference(round[side].server, round[side].direct)],
  ];
  return quantities.flatMap(([what, costOf]) => {
    const of = (side: Side) => rounds.map((round) => costOf(round, side));
    const row = { section: `Against the other checkout, on ${runtime}`, runtime, unit: "ms" };
    return [
      { ...row, ...medians(of("other")), what, under: "other" },
      {
        ...row,
        ...medians(of("this")),
        what,
        under: "this",
        ratio: ratioOf(of("this"), of("other"), "p50Ms"),
        baseline: "other",
        note: spreads(of("this"), of("other")),
      },
    ];
  });
}

/** Formats the ratios with their quartiles: a ratio says something when both lie on one side of 1. */
function spreads(ours: readonly Cost[], theirs: readonly Cost[]): string {
  const spread = (quantity: keyof Cost) => {
    const ratios = ours.map((cost, round) => cost[quantity] / (theirs[round]?.[quantity] ?? NaN));
    return `${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`;
  };
  const cpuRatio = ratioOf(ours, theirs, "cpuMs").toFixed(2);
  return `p50: ${spread("p50Ms")}; CPU ratio ${cpuRatio}: ${spread("cpuMs")}`;
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
