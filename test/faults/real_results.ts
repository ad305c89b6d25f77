/**
 * Results of the fault matrix on engine `sdk-client` over the real C SDK, as real_client.ts wrote them.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** Count of each outcome: `plaintext`, an error's code, the signal that ended the process, or `hung`. */
export type Tally = Readonly<Record<string, number>>;

/** One row of the matrix. */
export interface RealRow {
  /** Outcomes of the decrypt that met the fault. */
  readonly fault: Tally;
  /** Outcomes of the next one by the same process. */
  readonly next: Tally;
}

/** All of them. */
export interface RealResults {
  /** Platform of the run. */
  readonly platform: string;
  /** Processes for each row. */
  readonly tries: number;
  readonly rows: Readonly<Record<string, RealRow>>;
}

/** File of the results. */
export const REAL_RESULTS: URL = new URL("real_results.json", import.meta.url);

/** Reads the last results. */
export function readRealResults(): RealResults {
  return JSON.parse(readFileSync(REAL_RESULTS, "utf8")) as RealResults;
}

/** Counts one more of an outcome. */
export function addTo(tally: Tally, outcome: string): Tally {
  return { ...tally, [outcome]: (tally[outcome] ?? 0) + 1 };
}

/** Formats a tally as `plaintext`, or `ERR_TIMEOUT 2, SIGSEGV 1`: the most frequent outcome first. */
export function describeTally(tally: Tally): string {
  const entries = Object.entries(tally).sort(([, left], [, right]) => right - left);
  if (entries.length === 1) return entries[0]![0];
  return entries.map(([outcome, count]) => `${outcome} ${count}`).join(", ");
}
