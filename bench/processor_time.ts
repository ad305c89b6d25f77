import { readdirSync, readFileSync } from "node:fs";

/** Length of a tick of the kernel's clock, in milliseconds: 100 a second on every Linux. */
const TICK_MS = 10;

/** One process as /proc shows it. */
interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuMs: number;
}

/**
 * Adds up the processor time of a process and of its descendants that run a script.
 *
 * @param root Process id of the ancestor
 * @param script End of the script's path, such as `/worker.ts`
 * @returns Milliseconds, all threads, in steps of 10; 0 when no such process runs
 */
export function processorTimeMs(root: number, script: string): number {
  return find(root, script).reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}

/**
 * Adds up the processor time of the first threads, which run the event loops; parameters and result are those of
 * {@link processorTimeMs}.
 */
export function loopTimeMs(root: number, script: string): number {
  const loops = find(root, script).flatMap(({ pid }) => readStat(`${pid}/task/${pid}`));
  return loops.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}

function find(root: number, script: string): ProcessStat[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap(readStat);
  return [...familyOf(root, all)].filter(({ pid }) => runs(pid, script));
}

function* familyOf(root: number, all: readonly ProcessStat[]): Generator<ProcessStat> {
  for (const one of all) {
    if (one.pid === root) yield one;
    if (one.parent === root) yield* familyOf(one.pid, all);
  }
}

function readStat(name: string): ProcessStat[] {
  const stat = read(`/proc/${name}/stat`);
  if (stat === undefined) return [];
  const fields = stat.replace(/^.*\) /s, "").split(" ").map(Number);
  return [{
    pid: Number(name.split("/")[0]),
    parent: fields[1] ?? 0,
    cpuMs: ((fields[11] ?? 0) + (fields[12] ?? 0)) * TICK_MS,
  }];
}

/**
 * Tells whether a process runs a script on a runtime. A supervisor names the script as well, with a program
 * of its own.
 */
function runs(pid: number, script: string): boolean {
  const [program = "", ...args] = (read(`/proc/${pid}/cmdline`) ?? "").split("\0");
  return /\b(node|deno)$/.test(program) && args.some((arg) => arg.endsWith(script));
}

/** Reads a file of /proc; undefined when the process has ended meanwhile. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
