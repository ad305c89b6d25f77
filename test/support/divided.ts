/**
 * Variable that `npm test` sets for the runners of both runtimes, unless `SLOW` is: `files` where it runs all, `cases`
 * where some files are named, each of which runs on both.
 */
export const DIVIDED_VARIABLE = "ENCLAVE_KMS_TESTS_DIVIDED";

/** Runtime of tests. */
export type Runtime = "Node" | "Deno";

/** The golden ratio's fraction, by 2^32: its multiples fall evenly, in whatever steps one counts. */
const GOLDEN = 0x9e3779b1;

/**
 * Deals cases in pairs, one to each runtime, and in another order from pair to pair: where every second or third case is
 * of one kind, both runtimes have some of it.
 *
 * @param index Number of the case in its row, from 0
 * @param first Runtime of the first case
 * @returns Runtime of the case where the runtimes share
 */
export function runtimeOf(index: number, first: Runtime = "Node"): Runtime {
  const isSwapped = Math.imul(index >>> 1, GOLDEN) < 0;
  if ((index % 2 === 1) === isSwapped) return first;
  return first === "Node" ? "Deno" : "Node";
}
