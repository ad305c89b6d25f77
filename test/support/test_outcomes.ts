/**
 * Reading of the output that runners print.
 *
 * @module
 */
import type { Runtime } from "./divided.ts";
import type { Outcome } from "./watched_run.ts";

/** Numbers of tests. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A process with tests in it, and its end. */
export interface TestPart {
  /** Its files; on Node, where all run in one process, what their paths must contain. */
  readonly paths: readonly string[];
  readonly outcome: Outcome;
}

/** The introduction of a failed test by each runner, and the first line of its error. */
const FAILURES = { Node: /^ *FAIL +(.+)\n(.+)$/gm, Deno: /^(\S.*) => \S+:\d+:\d+\nerror: (.+)$/gm };

const SUMMARIES = { Node: /^\s*Tests\s.*$/m, Deno: /^.*\d+ passed.*failed.*$/m };

/** The file of a failed test, as vitest prints it. */
const FAILED_FILE = /^ *FAIL +(?:\|[^|]*\| +)?(test\/\S+\.test\.ts)\b/gm;

/** Errors outside of any test, as vitest counts them: which file they come from it may not know. */
const UNHANDLED = /^\s*Errors\s+\d+ errors?\s*$/m;

/** More files than this are not run again: they did not fail by chance. */
const MOST_AGAIN = 32;

/**
 * Lists files that may have failed by chance.
 *
 * @param name The runtime
 * @param parts Processes that ran there
 * @returns Files to run once more: on Deno those of each process that failed, whose output may lack the name after a crash;
 *   none, when there are too many, or when vitest failed and names no file, or had errors outside of tests
 */
export function filesToRunAgain(name: Runtime, parts: readonly TestPart[]): readonly string[] {
  const failed = parts.filter(({ outcome }) => outcome.code !== 0);
  if (name === "Node" && failed.some(({ outcome }) => UNHANDLED.test(outcome.output))) return [];
  const files = failed.flatMap(({ paths, outcome }) =>
    name === "Deno" ? paths : Array.from(outcome.output.matchAll(FAILED_FILE), ([, path = ""]) => path)
  );
  const once = [...new Set(files)];
  return once.length > MOST_AGAIN ? [] : once;
}

/** Lists failed tests, each with the first line of its error, or the end of a process that crashed. */
export function failedTests(name: Runtime, parts: readonly TestPart[]): readonly string[] {
  const failed = parts.filter(({ outcome }) => outcome.code !== 0);
  return [
    ...new Set(failed.flatMap(({ paths, outcome: { code, output } }) => {
      const tests = Array.from(output.matchAll(FAILURES[name]), ([, test, error]) => `${test}: ${error}`);
      return tests.length > 0 ? tests : [`exit code ${code} of ${paths.join(" ") || "all files"}`];
    })),
  ];
}

/**
 * Counts tests.
 *
 * @param name The runtime
 * @param parts Processes that ran there
 * @param again Those that ran once more: a test that passed then has passed
 */
export function countTests(name: Runtime, parts: readonly TestPart[], again: readonly TestPart[]): Counts {
  const isCrashed = ({ outcome }: TestPart) => !SUMMARIES[name].test(outcome.output);
  const counted = joinCounts(parts.filter((part) => again.length === 0 || !isCrashed(part)).map(count));
  if (again.length === 0) return counted;
  const second = joinCounts(again.map(count));
  const crashed = parts.filter((part) => part.outcome.code !== 0 && isCrashed(part)).flatMap(({ paths }) =>
    paths
  );
  const added = joinCounts(
    again.filter(({ paths }) => paths.some((path) => crashed.includes(path))).map(count),
  );
  return {
    passed: counted.passed + counted.failed - second.failed + added.passed + added.failed,
    failed: second.failed,
    skipped: counted.skipped + added.skipped,
  };

  function count({ outcome }: TestPart): Counts {
    return readSummary(outcome.output.match(SUMMARIES[name])?.[0] ?? "");
  }
}

/** Adds counts up. */
export function joinCounts(counts: readonly Counts[]): Counts {
  const total = (word: keyof Counts) => counts.reduce((sum, one) => sum + one[word], 0);
  return { passed: total("passed"), failed: total("failed"), skipped: total("skipped") };
}

/** On Deno the groups of a file are tests, and its tests are steps. */
function readSummary(summary: string): Counts {
  const steps = (word: string) => Number(new RegExp(`${word} \\((\\d+) steps?\\)`).exec(summary)?.[1] ?? 0);
  const tests = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(summary)?.[1] ?? 0);
  const number = summary.includes("step") ? steps : tests;
  return {
    passed: number("passed"),
    failed: number("failed"),
    skipped: number("skipped") + number("ignored"),
  };
}
