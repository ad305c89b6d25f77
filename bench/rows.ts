import type { Cell } from "./plan.ts";
import type { Result } from "./results.ts";
import type { Row } from "./table.ts";

/**
 * Makes the rows of the comparison, grouped by network and concurrency.
 *
 * @param results Results in the table's order
 */
export function comparisonRows(results: readonly Result[]): Row[] {
  const compared = results.filter(({ cell }) => !cell.watchesLoop);
  const places = [...new Set(compared.map(({ cell }) => sectionOf(cell)))];
  return places.sort(byRoundTrip(compared)).flatMap((section) =>
    compared.filter(({ cell }) => sectionOf(cell) === section).map((result) => ({
      section,
      what: result.label,
      runtime: result.cell.runtime,
      p50: result.p50Ms,
      p99: result.p99Ms,
      unit: "ms",
      perSecond: result.perSecond,
      cpuMs: result.cpuMs,
      timesFloor: result.timesFloor,
      ratio: result.timesSubprocess,
      baseline: "subprocess",
      note: failureNote(result),
    }))
  );
}

/**
 * Makes the rows of the event loop.
 *
 * @param results Results; those that watched the event loop are taken
 */
export function loopRows(results: readonly Result[]): Row[] {
  const watched = results.filter(({ cell }) => cell.watchesLoop);
  return watched.map((result) => {
    const { cell: { runtime, atOnce }, label, loopP99Ms } = result;
    const idle = watched.find(({ cell }) => cell.runtime === runtime && cell.atOnce === 0);
    return {
      section: "By how much the event loop is late",
      what: atOnce === 0 ? "an idle process" : label,
      runtime,
      under: atOnce === 0 ? "" : `${atOnce} at once`,
      p99: loopP99Ms,
      unit: "ms",
      ratio: loopP99Ms / (idle?.loopP99Ms ?? NaN),
      baseline: "an idle process",
      note: failureNote(result),
    };
  });
}

function sectionOf({ roundTripMs, atOnce }: Cell): string {
  return `Decrypts, round trip ${roundTripMs} ms, ${atOnce} at once`;
}

function byRoundTrip(results: readonly Result[]): (a: string, b: string) => number {
  const place = (section: string) => {
    const cell = results.find((result) => sectionOf(result.cell) === section)?.cell;
    return (cell?.roundTripMs ?? 0) * 1000 + (cell?.atOnce ?? 0);
  };
  return (a, b) => place(a) - place(b);
}

function failureNote({ failures, calls }: Result): string {
  const counts = Object.entries(failures);
  if (counts.length === 0) return "";
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  return `${total} of ${total + calls} failed: ${
    counts.map(([name, count]) => `${name} ${count}`).join(", ")
  }`;
}
