/**
 * Runs the processes of the tests, and ends one that hangs.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { PROGRESS_VARIABLE } from "./test_progress.ts";

/** End of a process. */
export interface Outcome {
  /** 1 when a signal ended it. */
  readonly code: number;
  /** Both streams, in the order in which they came. */
  readonly output: string;
}

/**
 * A process whose tests neither start nor finish for this long, in milliseconds, hangs if it is also idle.
 */
const STALL_MS = 600_000;

/** A process that uses less than this part of one processor, and waits for none whenever it is looked at, is idle. */
const IDLE_SHARE = 0.01;

/**
 * Looks at the processes so many times within the time limit. They are counted: time during which nothing ran, on a machine
 * that stood still, is nobody's idleness.
 */
const LOOKS = 20;

/** Clock ticks of `/proc/<pid>/stat` in a second: `USER_HZ`, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

interface Mark {
  readonly progress: string;
  readonly since: number;
  readonly cpuMs: number;
  /** Looks since, with nothing new. */
  looks: number;
}

/**
 * Processes with tests in them. One that hangs is killed with all its children, and named: a failed assertion
 * may leave a socket open, and its process would wait for ever.
 */
export class WatchedRuns implements Disposable {
  /** The tests that hung, each as its process noted it. */
  readonly hung: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "enclave-kms-progress-"));
  readonly #stallMs: number;
  readonly #marks = new Map<number, Mark>();
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param stallMs The time limit for one test, in milliseconds */
  constructor(stallMs: number = STALL_MS) {
    this.#stallMs = stallMs;
    this.#timer = setInterval(() => this.#look(), stallMs / LOOKS);
    this.#timer.unref();
  }

  /**
   * Runs a process to its end.
   *
   * @param command The program and its arguments
   * @param env Variables beside this process's own
   */
  run(command: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Promise<Outcome> {
    const [program = "", ...args] = command;
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...env, [PROGRESS_VARIABLE]: this.#folder, NO_COLOR: "1" },
      });
      const note = join(this.#folder, String(child.pid));
      if (child.pid !== undefined) writeFileSync(note, `${command.join(" ")}: before its first test`);
      let output = "";
      const collect = (chunk: Uint8Array) => {
        output += String(chunk);
      };
      child.stdout.on("data", collect);
      child.stderr.on("data", collect);
      child.on("error", reject);
      child.on("close", (code, signal) => {
        rmSync(note, { force: true });
        resolve({ code: signal === null ? code ?? 1 : 1, output });
      });
    });
  }

  /** Stops looking, and removes the notes. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #look(): void {
    const processes = readProcesses();
    const noted = readdirSync(this.#folder);
    for (const name of noted) {
      const pid = Number(name);
      const family = withChildren(processes, pid);
      // A child that notes for itself can name the test.
      if (family.some((member) => member.pid !== pid && noted.includes(String(member.pid)))) continue;
      const mark = this.#mark(pid, join(this.#folder, name), family);
      if (mark === undefined || !this.#hangs(pid, mark, family)) continue;
      this.hung.push(readFileSync(join(this.#folder, name), "utf8"));
      rmSync(join(this.#folder, name), { force: true });
      this.#marks.delete(pid);
      for (const { pid: member } of family) kill(member);
    }
  }

  /** Reads the state of a process; `undefined` when it has ended. */
  #mark(pid: number, path: string, family: readonly ProcessStatus[]): Mark | undefined {
    if (family.length === 0) return void this.#marks.delete(pid);
    const progress = `${statSync(path).mtimeMs} ${readFileSync(path, "utf8")}`;
    const cpuMs = family.reduce((total, member) => total + member.cpuMs, 0);
    return { progress, since: performance.now(), cpuMs, looks: 0 };
  }

  #hangs(pid: number, now: Mark, family: readonly ProcessStatus[]): boolean {
    const last = this.#marks.get(pid);
    if (last === undefined || last.progress !== now.progress || family.some(({ isWaiting }) => !isWaiting)) {
      this.#marks.set(pid, now);
      return false;
    }
    const elapsedMs = now.since - last.since;
    if (++last.looks < LOOKS || elapsedMs < this.#stallMs) return false;
    if (now.cpuMs - last.cpuMs < elapsedMs * IDLE_SHARE) return true;
    this.#marks.set(pid, now);
    return false;
  }
}

interface ProcessStatus {
  readonly pid: number;
  readonly parent: number;
  readonly cpuMs: number;
  /** Whether it waits for an event: it neither runs, nor wants to, nor reads from a disk. */
  readonly isWaiting: boolean;
}

/** @returns The processes of this machine */
function readProcesses(): ProcessStatus[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap(readProcess);
}

/** See proc_pid_stat(5). The name in parentheses may have spaces in it. */
function readProcess(name: string): [ProcessStatus] | [] {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [parent, ...ticks] = [1, 11, 12, 13, 14].map((index) => Number(fields[index]));
    const cpuMs = ticks.reduce((sum, each) => sum + each, 0) * 1000 / TICKS_PER_SECOND;
    const [state = ""] = fields;
    const isWaiting = !["R", "D"].includes(state);
    return state === "Z" ? [] : [{ pid: Number(name), parent: parent ?? 0, cpuMs, isWaiting }];
  } catch {
    return []; // it has ended meanwhile
  }
}

/** @returns A process and all that descend from it; nothing when it is not there */
function withChildren(processes: readonly ProcessStatus[], pid: number): ProcessStatus[] {
  const family = processes.filter((each) => each.pid === pid);
  for (const member of family) {
    family.push(...processes.filter(({ parent }) => parent === member.pid));
  }
  return family;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}
