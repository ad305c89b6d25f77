import { type Goal, makeGoal } from "../goals.ts";
import type { Runtime } from "../runtimes.ts";
import { median, quantile } from "../statistics.ts";
import type { Row } from "../table.ts";

/** One decrypt with everything made anew, and its time in every round. */
export interface OneShot {
  readonly what: "tool" | "command line" | "sdk" | "direct";
  readonly runtime: Runtime | "";
  /** Name in the table. */
  readonly label: string;
  /** Milliseconds; NaN where it failed. */
  readonly timesMs: readonly number[];
}

/**
 * Makes a row for each.
 *
 * @param shots All that were measured
 */
export function oneShotRows(shots: readonly OneShot[]): Row[] {
  const tool = medianOf(shots.find(({ what }) => what === "tool"));
  return shots.map(({ label, runtime, timesMs }) => {
    const succeeded = timesMs.filter((timeMs) => !Number.isNaN(timeMs));
    const failed = timesMs.length - succeeded.length;
    return {
      section: `One decrypt with everything made anew, ${timesMs.length} of each`,
      what: label,
      runtime,
      p50: median(succeeded),
      p99: quantile(succeeded, 0.99),
      unit: "ms",
      ratio: median(succeeded) / tool,
      baseline: "subprocess",
      note: failed === 0 ? "" : `${failed} failed`,
    };
  });
}

/**
 * Judges the goals. Key generation varies sixfold, so that medians are compared, not rounds; and the substitute of the
 * real tool is slower than it, so that nothing is judged by that.
 *
 * @param shots All that were measured
 * @param hasTool Whether the tool is the real one
 */
export function judgeOneShots(shots: readonly OneShot[], hasTool: boolean): Goal[] {
  const tool = hasTool ? medianOf(shots.find(({ what }) => what === "tool")) : NaN;
  const ratioOf = (what: OneShot["what"], runtime: Runtime) =>
    medianOf(shots.find((shot) => shot.what === what && shot.runtime === runtime)) / tool;
  const name = "one-shot kmsDecrypt against the real subprocess";
  return [
    makeGoal(
      "command line on Node against the real tool",
      ratioOf("command line", "Node"),
      "at most",
      1.5,
      " x",
    ),
    makeGoal(`${name}, sdk on Node`, ratioOf("sdk", "Node"), "at most", 0.9, " x"),
    makeGoal(`${name}, sdk on Deno`, ratioOf("sdk", "Deno"), "at most", 0.9, " x"),
    makeGoal(`${name}, direct on Node`, ratioOf("direct", "Node"), "at most", 0.9, " x"),
  ];
}

function medianOf(shot: OneShot | undefined): number {
  return median(shot?.timesMs ?? []);
}
