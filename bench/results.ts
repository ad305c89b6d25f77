import { pathKind, type PathName } from "./paths/paths.ts";
import type { Cell } from "./plan.ts";
import type { Measured } from "./rounds.ts";
import type { Parts } from "./setting.ts";
import type { Slice } from "./slice.ts";
import { median, medianRatio, quantile, summarize } from "./statistics.ts";

/** Result of the rounds for one cell. NaN: there was no call. */
export interface Result {
  readonly cell: Cell;
  readonly label: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
  readonly cpuMs: number;
  /** Throughput, as a multiple of the subprocess's on the same runtime, network and concurrency. */
  readonly timesSubprocess: number;
  /** CPU per call, as a multiple of the floor's. */
  readonly timesFloor: number;
  /** p99 of the event loop's delays, where it was watched. */
  readonly loopP99Ms: number;
  readonly calls: number;
  readonly failures: Readonly<Record<string, number>>;
}

/**
 * Computes the results of all cells.
 *
 * @param measured All cells
 * @param parts Parts that the labels name
 */
export function makeResults(measured: readonly Measured[], parts: Parts): Result[] {
  return measured.map((one) => {
    const { cell, slices } = one;
    const { p50, p99, count } = summarize(slices.map(({ latenciesMs }) => latenciesMs));
    const isOwn = isCpuCounted(cell.path);
    return {
      cell,
      label: pathKind(cell.path).label(parts),
      p50Ms: p50,
      p99Ms: p99,
      perSecond: median(slices.map(({ perSecond }) => perSecond)),
      cpuMs: isOwn ? median(slices.map(cpuPerCall)) : NaN,
      timesSubprocess: ratio(one, sibling(measured, cell, "subprocess"), ({ perSecond }) => perSecond),
      timesFloor: isOwn ? ratio(one, sibling(measured, cell, "floor"), cpuPerCall) : NaN,
      loopP99Ms: quantile(slices.flatMap(({ loopDelaysMs }) => loopDelaysMs), 0.99),
      calls: count,
      failures: addUp(slices),
    };
  });
}

/** Computes the difference between the p50 of one path and that of another, round by round. */
export function addedMs(measured: readonly Measured[], cell: Cell, to: PathName): number {
  const own = measured.find((one) => one.cell === cell);
  const other = sibling(measured, cell, to);
  if (own === undefined || other === undefined) return NaN;
  return median(
    own.slices.map(({ latenciesMs }, round) =>
      median(latenciesMs) - median(other.slices[round]?.latenciesMs ?? [])
    ),
  );
}

/** Computes the ratio of one number of two cells, round by round. */
export function ratioOf(
  measured: readonly Measured[],
  one: Cell | undefined,
  other: Cell | undefined,
  value: (slice: Slice) => number,
): number {
  const find = (cell: Cell | undefined) => measured.find((candidate) => candidate.cell === cell);
  return ratio(find(one), find(other), value);
}

/** Computes the processor time of a call, in milliseconds; NaN for a slice without calls. */
export function cpuPerCall({ cpuMs, latenciesMs }: Slice): number {
  return latenciesMs.length === 0 ? NaN : cpuMs / latenciesMs.length;
}

/** Tells whether the processor time is counted. The server's is in another process, which goes on. */
function isCpuCounted(path: PathName): boolean {
  return path !== "server";
}

function ratio(
  one: Measured | undefined,
  other: Measured | undefined,
  value: (slice: Slice) => number,
): number {
  if (one === undefined || other === undefined) return NaN;
  return medianRatio(one.slices.map(value), other.slices.map((slice) => value(slice) || NaN));
}

function sibling(measured: readonly Measured[], cell: Cell, path: PathName): Measured | undefined {
  const { runtime, roundTripMs, atOnce, watchesLoop } = cell;
  return measured.find(({ cell: other }) =>
    other.path === path && other.runtime === runtime && other.roundTripMs === roundTripMs &&
    other.atOnce === atOnce && other.watchesLoop === watchesLoop
  );
}

function addUp(slices: readonly Slice[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const { failures } of slices) {
    for (const [name, count] of Object.entries(failures)) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}
