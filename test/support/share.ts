/**
 * Division of what is dear between the two runtimes. Where `npm test` runs both, each case that stands here runs on one
 * of them; with `SLOW=1`, or by a runner that is started by itself, all run on both.
 *
 * @module
 */
import process from "node:process";
import { test } from "#test";
import { DIVIDED_VARIABLE, type Runtime, runtimeOf } from "./divided.ts";

const runtime: Runtime = "Deno" in globalThis ? "Deno" : "Node";
/** Whether each runtime has its share only. */
export const isDivided: boolean = Boolean(process.env[DIVIDED_VARIABLE]);

/** A test that is declared as with `#test`. */
export interface DividedTest {
  (name: string, body: () => void | Promise<void>, timeoutMs?: number): void;
  skipIf(condition: boolean): DividedTest;
  /** For a test that runs on both runtimes, such as one that the tests after it need. */
  onBoth(name: string, body: () => void | Promise<void>, timeoutMs?: number): void;
}

/**
 * Picks this runtime's share of cases.
 *
 * @param cases Cases of one kind
 * @param first Runtime of the first case
 * @returns All of them where nothing is divided
 */
export function shareOf<T>(cases: readonly T[], first: Runtime = "Node"): readonly T[] {
  return cases.filter((_, index) => isOurs(index, first));
}

/**
 * Divides a number of random cases.
 *
 * @param count Cases on both runtimes together
 * @returns Cases on this runtime: all of them where nothing is divided
 */
export function halfOf(count: number): number {
  return isDivided ? Math.ceil(count / 2) : count;
}

/**
 * Makes a `test` for the tests of one file, none of which may need another one.
 *
 * @param first Runtime of the first test
 * @returns The function in place of `test`; the other runtime's tests are skipped, each with this reason
 */
export function divideTests(first: Runtime = "Node"): DividedTest {
  let count = 0;
  const declare = (isSkipped: boolean): DividedTest => {
    const declareOne = (name: string, body: () => void | Promise<void>, timeoutMs?: number): void => {
      if (isOurs(count++, first)) test.skipIf(isSkipped)(name, body, timeoutMs);
      else test.skipIf(true)(`${name} (skipped: on the other runtime; SLOW=1 runs it on both)`, body);
    };
    return Object.assign(declareOne, {
      skipIf: (condition: boolean) => declare(isSkipped || condition),
      onBoth: test.skipIf(isSkipped),
    });
  };
  return declare(false);
}

function isOurs(index: number, first: Runtime): boolean {
  return !isDivided || runtimeOf(index, first) === runtime;
}
