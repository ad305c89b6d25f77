import { type Goal, makeGoal } from "../goals.ts";
import { pathKind } from "../paths/paths.ts";
import { type Runtime, RUNTIMES } from "../runtimes.ts";
import type { Parts } from "../setting.ts";
import { median, medianRatio } from "../statistics.ts";
import { number, type Row } from "../table.ts";
import type { Costs, PinnedCell } from "./costs.ts";
import type { MeasuredCell } from "./run.ts";

/** vCPUs of instances that are reckoned with on paper, and those that the parent keeps. */
const SIZES = [4, 8, 16] as const;
const PARENTS_CORES = 2;

type Quantity = (costs: Costs) => number;

const perSecond: Quantity = (costs) => costs.perSecond;
const p50: Quantity = (costs) => costs.p50Ms;

/**
 * Makes the rows: every client with one core and with two, then what more cores would do on paper.
 *
 * @param measured All cells
 * @param parts Parts that the labels name
 */
export function coresRows(measured: readonly MeasuredCell[], parts: Parts): Row[] {
  const sections = [...new Set(measured.map(({ cell }) => sectionOf(cell)))];
  const rows = sections.flatMap((section) =>
    measured.filter(({ cell }) => sectionOf(cell) === section).map((one): Row => {
      const { cell } = one;
      const of = (quantity: Quantity) => median(one.rounds.map(quantity));
      return {
        section,
        what: pathKind(cell.path).label(parts),
        runtime: cell.runtime,
        under: coreCount(cell.cores),
        p50: of(p50),
        unit: "ms",
        perSecond: of(perSecond),
        cpuMs: of(({ cpuMs }) => cpuMs),
        ratio: cell.cores === 1
          ? NaN
          : ratio(measured, { ...cell, cores: 2 }, { ...cell, cores: 1 }, perSecond),
        baseline: "throughput of one core",
        note: `of it ${
          number(of(({ loopMs }) => loopMs))
        } ms on the loop; KMS ${number(of(({ kmsMs }) => kmsMs))} ms` +
          (cell.atOnce === 1
            ? ""
            : `; the loop is late by ${
              number(of(({ delayP99Ms }) => delayP99Ms))
            } ms, p99`),
      };
    })
  );
  return [...rows, ...RUNTIMES.flatMap((runtime) => paperRows(measured, runtime))];
}

/**
 * Judges the goals: what a second core brings, and Deno beside Node.js.
 *
 * @param measured All cells; of none, nothing is measured
 */
export function judgeCores(measured: readonly MeasuredCell[]): Goal[] {
  const cores = RUNTIMES.map((runtime) => {
    const value = ratio(
      measured,
      { ...DIRECT, runtime, cores: 2 },
      { ...DIRECT, runtime, cores: 1 },
      perSecond,
    );
    const bound = boundOf(sharesOf(measured, runtime));
    const on = Number.isNaN(bound) ? "" : ` (bound ${number(bound)})`;
    return makeGoal(
      `direct on ${runtime}, 16 at once, two cores against one, replaying KMS${on}`,
      value,
      "at least",
      1.35,
      " x",
    );
  });
  const alone = { ...DIRECT, cores: 2, atOnce: 1 } as const;
  const deno = ratio(measured, { ...alone, runtime: "Deno" }, { ...alone, runtime: "Node" }, p50);
  return [...cores, makeGoal("direct on Deno against Node, one at a time, p50", deno, "at most", 1.3, " x")];
}

/** Shares of a decrypt with 16 in flight on one core, where no core is shared with KMS, in milliseconds. */
interface Shares {
  readonly cpuMs: number;
  readonly loopMs: number;
  readonly kmsMs: number;
}

const DIRECT = { path: "direct", replays: true, atOnce: 16 } as const;

function sharesOf(measured: readonly MeasuredCell[], runtime: Runtime): Shares {
  const rounds = find(measured, { ...DIRECT, runtime, cores: 1 })?.rounds ?? [];
  const of = (quantity: Quantity) => median(rounds.map(quantity));
  return {
    cpuMs: of(({ cpuMs }) => cpuMs),
    loopMs: of(({ loopMs }) => loopMs),
    kmsMs: of(({ kmsMs }) => kmsMs),
  };
}

/**
 * Computes what two cores can bring at most, by Amdahl's law: the loop runs on one at a time, and KMS takes its share of
 * the second.
 */
export function boundOf({ cpuMs, loopMs, kmsMs }: Shares): number {
  return cpuMs / Math.max(loopMs, (cpuMs + kmsMs) / 2);
}

/** Reckons with KMS elsewhere, with two cores for the parent, and with cores that are all as fast as this one. */
function paperRows(measured: readonly MeasuredCell[], runtime: Runtime): Row[] {
  const { cpuMs, loopMs } = sharesOf(measured, runtime);
  if (Number.isNaN(cpuMs)) return [];
  return SIZES.flatMap((size) => {
    const cores = size - PARENTS_CORES;
    const row = { section: PAPER, runtime, unit: "", under: `${size} vCPUs, ${cores} of them the enclave's` };
    return [
      { ...row, what: "direct, one process", perSecond: 1000 / Math.max(loopMs, cpuMs / cores) },
      { ...row, what: "direct, a process for each core", perSecond: cores * 1000 / cpuMs },
    ];
  });
}

const PAPER = "On paper, KMS elsewhere: decrypts a second";

function coreCount(cores: number): string {
  return cores === 1 ? "1 core" : `${cores} cores`;
}

function sectionOf({ replays, atOnce }: PinnedCell): string {
  return `Pinned clients, ${replays ? "replaying" : "verifying"} KMS, ${atOnce} at once`;
}

function ratio(
  measured: readonly MeasuredCell[],
  one: PinnedCell,
  other: PinnedCell,
  quantity: Quantity,
): number {
  const values = (cell: PinnedCell) => find(measured, cell)?.rounds.map(quantity) ?? [];
  return medianRatio(values(one), values(other));
}

function find(measured: readonly MeasuredCell[], wanted: PinnedCell): MeasuredCell | undefined {
  const names = Object.keys(wanted) as (keyof PinnedCell)[];
  return measured.find(({ cell }) => names.every((name) => cell[name] === wanted[name]));
}
