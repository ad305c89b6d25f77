import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import type { Footprint } from "./fresh.ts";
import type { Lab } from "./lab.ts";
import { pathKind, type PathName } from "./paths/paths.ts";
import { type CommandLine, commandLine } from "./paths/subprocess.ts";
import type { Plan } from "./plan.ts";
import type { Runtime } from "./runtimes.ts";
import { median, medianRatio, quantile, shuffle } from "./statistics.ts";
import type { Row } from "./table.ts";

/** Something to start, and how long it took in each round. */
interface Start {
  readonly what: string;
  readonly runtime: Runtime | "";
  readonly path: PathName | undefined;
  readonly timesMs: number[];
  /** After {@link CALLS}. */
  readonly rssMiB: number[];
}

const STARTED: readonly PathName[] = ["sdk", "direct", "aws-sdk"];
const CALLS = 200;
const MIB = 1 << 20;
const START_SECTION = "Cold start: from nothing to the first plaintext";
const MEMORY_SECTION = `Memory of the process after ${CALLS} decrypts`;
const ALLOCATION_SECTION = "JavaScript heap that a warm decrypt uses";
const EMPTY = "a runtime that does nothing";

/**
 * Measures cold start and memory, in processes of their own, in rounds of random order.
 *
 * @param lab The running KMS
 * @param plan Number of starts
 * @param runtimes Runtimes to measure
 * @param random Numbers from 0 to 1 for the order
 */
export async function startRows(
  lab: Lab,
  plan: Plan,
  runtimes: readonly Runtime[],
  random: () => number,
): Promise<Row[]> {
  const starts = startsOf(lab, runtimes);
  for (let round = 0; round < plan.starts; round++) {
    for (const start of shuffle(starts, random)) {
      await (start.runtime === "" ? runTool : runFresh)(lab, start);
    }
  }
  const empty = (runtime: string) =>
    starts.find((start) => start.runtime === runtime && start.path === undefined);
  const tool = starts.find(({ path }) => path === "subprocess");
  return [
    ...starts.map((start) => startRow(start, tool)),
    ...starts.filter(({ rssMiB }) => rssMiB.length > 0).map((start) =>
      memoryRow(start, empty(start.runtime))
    ),
  ];
}

/**
 * Measures the heap of JavaScript that a decrypt uses, in a process with a heap too large to be collected
 * meanwhile.
 *
 * @param lab The running KMS
 * @param runtimes Runtimes to measure
 */
export async function allocationRows(lab: Lab, runtimes: readonly Runtime[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const runtime of runtimes) {
    const used: [string, number][] = [];
    for (const path of available(lab, ["floor", ...STARTED])) {
      used.push([pathKind(path).label(lab.parts), await heapPerCall(lab, runtime, path)]);
    }
    for (const [what, bytes] of used) {
      const ratio = bytes / (used[0]?.[1] ?? NaN);
      rows.push({
        section: ALLOCATION_SECTION,
        what,
        runtime,
        p50: bytes / 1024,
        unit: "KiB",
        ratio,
        baseline: "floor",
      });
    }
  }
  return rows;
}

/**
 * Measures the heap of JavaScript that a decrypt uses.
 *
 * @param lab The running KMS
 * @param runtime Runtime to measure
 * @param path Path to measure
 * @returns Bytes
 */
export async function heapPerCall(lab: Lab, runtime: Runtime, path: PathName): Promise<number> {
  await using child = await lab.start(runtime, "fresh.ts", [path], LARGE_HEAP[runtime]);
  await child.ask<Footprint>(CALLS);
  const { heapBytesPerCall } = await child.ask<Footprint>(CALLS);
  return heapBytesPerCall > 0 ? heapBytesPerCall : NaN;
}

const V8_FLAGS = ["--expose-gc", "--min-semi-space-size=128", "--max-semi-space-size=128"];

const LARGE_HEAP: Readonly<Record<Runtime, readonly string[]>> = {
  Node: V8_FLAGS,
  Deno: [`--v8-flags=${V8_FLAGS.join(",")}`],
};

function startsOf(lab: Lab, runtimes: readonly Runtime[]): Start[] {
  const fresh = runtimes.flatMap((runtime) => [
    { what: EMPTY, runtime, path: undefined },
    ...available(lab, STARTED).map((path) => ({ what: pathKind(path).label(lab.parts), runtime, path })),
  ]);
  const tool = {
    what: pathKind("subprocess").label(lab.parts),
    runtime: "" as const,
    path: "subprocess" as const,
  };
  return [tool, ...fresh].map((start) => ({ ...start, timesMs: [], rssMiB: [] }));
}

function available({ parts }: Lab, paths: readonly PathName[]): PathName[] {
  return paths.filter((path) => pathKind(path).missing?.(parts) === undefined);
}

async function runFresh(lab: Lab, { runtime, path, timesMs, rssMiB }: Start): Promise<void> {
  if (runtime === "") return;
  const startedAt = performance.now();
  await using child = await lab.start(runtime, "fresh.ts", path === undefined ? [] : [path]);
  timesMs.push(performance.now() - startedAt);
  const { rssBytes } = await child.ask<Footprint>(CALLS);
  rssMiB.push(rssBytes / MIB);
}

/** Measures the tool, which makes a cold start for each call. A start that crashed does not count. */
async function runTool(lab: Lab, start: Start): Promise<void> {
  start.timesMs.push(await timeOfProgram(lab, commandLine(lab.setting, lab.parts, 0)));
}

/**
 * Measures a program from its start to its end, with a plaintext printed. What crashes is tried again.
 *
 * @param lab The running KMS
 * @param command Program and arguments beside the ciphertext
 * @returns Milliseconds; NaN when it never printed one
 */
export async function timeOfProgram(lab: Lab, command: CommandLine): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const timeMs = await runOnce(lab, command);
    if (timeMs !== undefined) return timeMs;
  }
  return NaN;
}

async function runOnce(lab: Lab, { program, args, env }: CommandLine): Promise<number | undefined> {
  const sample = lab.setting.samples[0]!;
  const [supervised = "", ...rest] = lab.supervise([program, ...args, "--ciphertext", sample.ciphertext]);
  const startedAt = performance.now();
  const options = {
    env: { ...process.env, ...env },
    timeout: TOOL_TIMEOUT_MS,
    killSignal: "SIGKILL",
  } as const;
  const { stdout } = await promisify(execFile)(supervised, rest, options).catch(() => ({ stdout: "" }));
  return stdout.includes(sample.plaintext) ? performance.now() - startedAt : undefined;
}

const MAX_TRIES = 4;
const TOOL_TIMEOUT_MS = 8_000;

function startRow({ what, runtime, timesMs }: Start, tool: Start | undefined): Row {
  return {
    section: START_SECTION,
    what,
    runtime,
    p50: median(timesMs),
    p99: quantile(timesMs.filter((time) => !Number.isNaN(time)), 0.99),
    unit: "ms",
    ratio: medianRatio(timesMs, tool?.timesMs ?? []),
    baseline: "subprocess",
  };
}

function memoryRow({ what, runtime, rssMiB }: Start, empty: Start | undefined): Row {
  return {
    section: MEMORY_SECTION,
    what,
    runtime,
    p50: median(rssMiB),
    unit: "MiB",
    ratio: medianRatio(rssMiB, empty?.rssMiB ?? []),
    baseline: EMPTY,
  };
}
