/**
 * What the fault matrix came to on engine `sdk-client` over the real C SDK, as real_client.ts wrote it down.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** How often each outcome was seen: `plaintext`, an error's code, the signal that ended the process, or `hung`. */
export type Tally = Readonly<Record<string, number>>;

/** One row of the matrix. */
export interface RealRow {
  /** Of the decrypt that met the fault. */
  readonly fault: Tally;
  /** Of the next one by the same process. */
  readonly next: Tally;
}

/** All of them. */
export interface RealResults {
  /** Where it was run. */
  readonly platform: string;
  /** Processes for each row. */
  readonly tries: number;
  readonly rows: Readonly<Record<string, RealRow>>;
}

/** Where it is written down. */
export const REAL_RESULTS: URL = new URL("real_results.json", import.meta.url);

/** @returns What was written down last */
export function readRealResults(): RealResults {
  return JSON.parse(readFileSync(REAL_RESULTS, "utf8")) as RealResults;
}

/** One more of an outcome. */
export function addTo(tally: Tally, outcome: string): Tally {
  return { ...tally, [outcome]: (tally[outcome] ?? 0) + 1 };
}

/** `plaintext`, or `ERR_TIMEOUT 2, SIGSEGV 1`: the most frequent one first. */
export function describeTally(tally: Tally): string {
  const entries = Object.entries(tally).sort(([, left], [, right]) => right - left);
  if (entries.length === 1) return entries[0]![0];
  return entries.map(([outcome, count]) => `${outcome} ${count}`).join(", ");
}
