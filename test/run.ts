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
import { DIVIDED_VARIABLE, type Runtime } from "./support/divided.ts";
import { sourceFiles } from "./support/source_files.ts";
import { shareOfFiles, testFiles } from "./support/test_files.ts";
import {
  countTests,
  failedTests,
  filesToRunAgain,
  joinCounts,
  type TestPart,
} from "./support/test_outcomes.ts";
import { type Outcome, WatchedRuns } from "./support/watched_run.ts";
import { surviveClosedOutput } from "./support/closed_output.ts";

surviveClosedOutput();

/** Whether everything is to run, on both runtimes. */
const isSlow = process.env["SLOW"] === "1";
/** A test file's path must contain one of them; there are none where all run. */
const FILTERS = process.argv.slice(2);

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

/** Command line that runs test files, by runtime. */
type Commands = Readonly<Record<Runtime, (paths: readonly string[]) => string[]>>;

const sockets = mkdtempSync(join(tmpdir(), "enclave-kms-nsm-"));
/**
 * Folder of Node's compile cache, for the many child processes that load the library. Deno always keeps one.
 */
const compiled = mkdtempSync(join(tmpdir(), "enclave-kms-compiled-"));
process.on("exit", () => {
  for (const folder of [sockets, compiled]) rmSync(folder, { recursive: true, force: true });
});

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
  const commands: Commands = {
    Node: (paths) => wrap(["vitest", "run", ...paths]),
    Deno: (paths) => wrap([...DENO_TEST, ...paths]),
  };
  const limit = limitTo(AT_ONCE);
  const checks = Object.entries(CHECKS).map(([name, command]) => limit(() => runCheck(name, command)));
  const runPart = async (name: Runtime, paths: readonly string[]) => ({
    paths,
    outcome: await run(commands[name](paths)),
  });
  const results = await Promise.all([
    runTests("Node", [runPart("Node", FILTERS)]),
    runTests("Deno", denoBatches().map((paths) => limit(() => runPart("Deno", paths)))),
  ]);
  const failedChecks = (await Promise.all(checks)).flat();
  // When nothing else runs.
  const judged = [];
  for (const { name, parts } of results) judged.push(await judge(name, parts, commands));
  const total = joinCounts(judged.map(({ counts }) => counts));
  console.log(`\ntests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  // Last, where a reader of a long log begins.
  for (const { name, unstable, failures } of judged) {
    for (const test of unstable) console.error(`Unstable on ${name}, passed when it ran again: ${test}`);
    for (const test of failures) console.error(`Failed on ${name}: ${test}`);
  }
  const failedRuns = judged.filter(({ isFailed }) => isFailed).map(({ name }) => `tests on ${name}`);
  return [...failedChecks, ...failedRuns];
}

async function runCheck(name: string, command: readonly string[]): Promise<string[]> {
  const started = performance.now();
  const { code, output } = await run(command);
  console.log(`${code === 0 ? "ok  " : "FAIL"} ${name} (${seconds(started)} s)`);
  if (code === 0) return [];
  console.error(output);
  return [name];
}

async function runTests(name: Runtime, running: readonly Promise<TestPart>[]) {
  const started = performance.now();
  const parts = await Promise.all(running);
  const code = parts.find(({ outcome }) => outcome.code !== 0)?.outcome.code ?? 0;
  const took = seconds(started);
  const output = parts.map(({ outcome }) => outcome.output).join("");
  console.log(`${code === 0 ? "ok  " : "FAIL"} tests on ${name} (${took} s)`);
  console.log(
    `\n--- tests on ${name}\n${output}--- ${name}: ${code === 0 ? "ok" : `exit code ${code}`} (${took} s)`,
  );
  return { name, parts };
}

/**
 * Judges what ran on a runtime. Files that failed run once more, each alone: a test that passes then is unstable, which is
 * printed with its first error.
 */
async function judge(name: Runtime, parts: readonly TestPart[], commands: Commands) {
  const again: TestPart[] = [];
  for (const path of filesToRunAgain(name, parts)) {
    const outcome = await run(commands[name]([path]));
    console.log(`\n--- ${path} again on ${name}\n${outcome.output}`);
    again.push({ paths: [path], outcome });
  }
  const first = failedTests(name, parts);
  const failures = again.length === 0 ? first : failedTests(name, again);
  return {
    name,
    counts: countTests(name, parts, again),
    failures,
    unstable: again.length === 0 ? [] : first.filter((test) => !failures.includes(test)),
    isFailed: (again.length === 0 ? parts : again).some(({ outcome }) => outcome.code !== 0),
  };
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

function seconds(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}
