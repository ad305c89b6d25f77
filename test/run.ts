/**
 * Program of `npm test`: the static checks, then the same tests on Node and on Deno, both with a `/dev/nsm`
 * that the software NSM answers. Prints one line with the totals at the end.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compileInstrument, supervise } from "../sim/instruments.ts";
import { DIVIDED_VARIABLE } from "./support/divided.ts";
import { sourceFiles } from "./support/source_files.ts";
import { shareOfFiles, testFiles } from "./support/test_files.ts";
import { type Outcome, WatchedRuns } from "./support/watched_run.ts";
import { surviveClosedOutput } from "./support/closed_output.ts";

surviveClosedOutput();

/** Whether everything is to run, on both runtimes. */
const isSlow = process.env["SLOW"] === "1";
/** A test file's path must contain one of them; there are none where all run. */
const FILTERS = process.argv.slice(2);

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const DENO_TEST = [
  "deno",
  "test",
  "--quiet",
  "--no-check",
  "--allow-all",
  "--no-prompt",
  "--unstable-vsock",
];

/** Deno checks what its users import; tsc checks the tests as well, and Deno with all that is slow. */
const CHECKED_BY_DENO = sourceFiles().filter((path) => isSlow || !/^(?:test|bench)\//.test(path));

const CHECKS: Readonly<Record<string, readonly string[]>> = {
  "types (tsc)": ["tsc", "-p", "."],
  "types (deno)": ["deno", "check", "--quiet", ...CHECKED_BY_DENO],
  "lint": ["deno", "lint", "--quiet"],
  "format": ["deno", "fmt", "--check", "--quiet"],
};

const sockets = mkdtempSync(join(tmpdir(), "enclave-kms-nsm-"));
/**
 * Folder of Node's compile cache, for the many child processes that load the library. Deno always keeps one.
 */
const compiled = mkdtempSync(join(tmpdir(), "enclave-kms-compiled-"));
process.on("exit", () => {
  for (const folder of [sockets, compiled]) rmSync(folder, { recursive: true, force: true });
});

/** The introduction of a failed test by each runner, and the first line of its error. */
const FAILURES = { Node: /^ *FAIL +(.+)\n(.+)$/gm, Deno: /^(\S.*) => \S+:\d+:\d+\nerror: (.+)$/gm };

const SUMMARIES = { Node: /^\s*Tests\s.*$/m, Deno: /^.*\d+ passed.*failed.*$/m };

/**
 * Processes at once of what is not Node's, which has two (vitest.config.ts). A test waits for a third of its
 * time, for a time-out or a child: so many keep two cores busy. Deno's tests take longer, so they get one
 * more.
 */
const AT_ONCE = 3;

/** Files that take longest. They start first, so that none runs alone at the end. */
const LONGEST = /^test\/(?:soak\/endurance|faults\/(?:faults|memory))\.test\.ts$/;

/** Test files to one process on Deno: few, and the last processes end together; many, and few start up. */
const DENO_BATCH = 16;

using runs = new WatchedRuns();
const failed = await runAll();
for (const name of runs.hung) console.error(`\nHung, and was ended: ${name}`);
if (failed.length > 0) {
  console.error(`\nFailed: ${failed.join(", ")}`);
  process.exitCode = 1;
}

/** @returns The names of what failed */
async function runAll(): Promise<string[]> {
  const supervised = (await compileInstrument("nsm-supervisor")) !== undefined;
  // Once, before five processes find at the same time that it is not there yet.
  if (supervised) await compileInstrument("sdk-double");
  else {
    console.log("No C compiler: what needs the NSM device or the double of the C SDK is skipped");
  }
  const wrap = (command: string[]) => supervised ? supervise(command, sockets) : command;
  const limit = limitTo(AT_ONCE);
  const checks = Object.entries(CHECKS).map(([name, command]) => limit(() => runCheck(name, command)));
  const batches = denoBatches().map((paths) => wrap([...DENO_TEST, ...paths]));
  const results = await Promise.all([
    runTests("Node", [run(wrap(["vitest", "run", ...FILTERS]))]),
    runTests("Deno", batches.map((command) => limit(() => run(command)))),
  ]);
  for (const { name, code, output, took } of results) {
    console.log(
      `\n--- tests on ${name}\n${output}--- ${name}: ${code === 0 ? "ok" : `exit code ${code}`} (${took} s)`,
    );
  }
  const total = (word: keyof Counts) => sum(results.map(({ counts }) => counts[word]));
  console.log(`\ntests: ${total("passed")} passed, ${total("failed")} failed, ${total("skipped")} skipped`);
  const failedChecks = (await Promise.all(checks)).flat();
  // Last, where a reader of a long log begins.
  for (const { name, failures } of results) {
    for (const test of failures) console.error(`Failed on ${name}: ${test}`);
  }
  const failedRuns = results.filter(({ code }) => code !== 0).map(({ name }) => `tests on ${name}`);
  return [...failedChecks, ...failedRuns, ...runs.hung];
}

async function runCheck(name: string, command: readonly string[]): Promise<string[]> {
  const started = performance.now();
  const { code, output } = await run(command);
  console.log(`${code === 0 ? "ok  " : "FAIL"} ${name} (${seconds(started)} s)`);
  if (code === 0) return [];
  console.error(output);
  return [name];
}

async function runTests(name: keyof typeof SUMMARIES, processes: readonly Promise<Outcome>[]) {
  const started = performance.now();
  const outcomes = await Promise.all(processes);
  const took = seconds(started);
  const code = outcomes.find((outcome) => outcome.code !== 0)?.code ?? 0;
  console.log(`${code === 0 ? "ok  " : "FAIL"} tests on ${name} (${took} s)`);
  const counted = outcomes.map(({ output }) => count(output.match(SUMMARIES[name])?.[0] ?? ""));
  const total = (word: keyof Counts) => sum(counted.map((counts) => counts[word]));
  const counts: Counts = { passed: total("passed"), failed: total("failed"), skipped: total("skipped") };
  const output = outcomes.map((outcome) => outcome.output).join("");
  const failures = new Set(
    Array.from(output.matchAll(FAILURES[name]), ([, test, error]) => `${test}: ${error}`),
  );
  return { name, code, output, took, counts, failures };
}

/** Limits the number that run at a time; they start in the order in which they come. */
function limitTo(most: number): <T>(start: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (start) => {
    if (running === most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await start();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}

/** Counts tests in a summary. On Deno the groups of a file are tests, and its tests are steps. */
function count(summary: string): Counts {
  const steps = (word: string) => Number(new RegExp(`${word} \\((\\d+) steps?\\)`).exec(summary)?.[1] ?? 0);
  const tests = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(summary)?.[1] ?? 0);
  const number = summary.includes("step") ? steps : tests;
  return {
    passed: number("passed"),
    failed: number("failed"),
    skipped: number("skipped") + number("ignored"),
  };
}

/** `NODE_COMPILE_CACHE` may be set from outside. */
function run(command: readonly string[]): Promise<Outcome> {
  return runs.run(command, {
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? compiled,
    [DIVIDED_VARIABLE]: isSlow ? undefined : FILTERS.length === 0 ? "files" : "cases",
    // Otherwise each child process on Deno looks for a new version on the internet.
    DENO_NO_UPDATE_CHECK: "1",
  });
}

/**
 * Makes the processes for Deno. Filters work as vitest's do: a path must contain one of them. Node alone reads the
 * repository's texts, unless all is to run on both.
 */
function denoBatches(): string[][] {
  const { together, alone, ofTexts } = testFiles();
  const own = isSlow || FILTERS.length > 0 ? [...together, ...alone] : shareOfFiles("Deno");
  const isMeant = (path: string) =>
    own.includes(path) && (FILTERS.length === 0 || FILTERS.some((filter) => path.includes(filter)));
  const shared = together.filter((path) => isSlow || !ofTexts.includes(path));
  const single = alone.filter(isMeant).map((path) => [path]);
  const isLong = ([path = ""]: readonly string[]) => LONGEST.test(path);
  return [
    ...single.filter(isLong),
    ...inBatches(shared.filter(isMeant)),
    ...single.filter((batch) => !isLong(batch)),
  ];
}

/** Deals paths out in turn: neighbours, which take about as long, come into different batches. */
function inBatches(paths: readonly string[]): string[][] {
  const count = Math.ceil(paths.length / DENO_BATCH);
  return Array.from({ length: count }, (_, batch) => paths.filter((_, index) => index % count === batch));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((left, right) => left + right, 0);
}

function seconds(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}
