import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { KmsFault } from "../../sim/mod.ts";
import { CC } from "../support/c_compiler.ts";
import { type Enclave, type EngineCase, startEnclave } from "../support/engines.ts";
import { makeRequests } from "./corpus.ts";
import { growth, liveBytes, rise } from "./growth.ts";
import type { Control, Footprint, SoakTask } from "./soak_task.ts";

/** Options of a soak. */
export interface SoakOptions {
  readonly engineCase: EngineCase;
  readonly runtime: "Node" | "Deno";
  /** Calls that are measured; those of the warm-up come on top. */
  readonly calls: number;
  readonly concurrency: number;
  /** Follows in the same process. */
  readonly control?: Control | undefined;
  /** Is shown every measurement as it is made. */
  readonly onFootprint?: ((footprint: Footprint, calls: number) => void) | undefined;
}

/** Report of a soak. */
export interface SoakReport {
  readonly footprints: readonly Footprint[];
  /** Growth of the memory held, over the run; see `growth()`. */
  readonly growthBytes: number;
  /** Failures, one sentence each; none when the soak has passed. */
  readonly failures: readonly string[];
  /** The same of the control: what it got wrong on purpose. */
  readonly control?: Omit<SoakReport, "control">;
}

/**
 * The most that a process may come to hold over a run. A leak is a block of C memory (32 bytes and more) or
 * an object on V8's heap (16 and more) that is lost again and again: over a million calls a megabyte is one
 * such block in sixteen calls or more. Noise is a tenth of that.
 */
export const MAX_GROWTH_BYTES = 1 << 20;

/**
 * The most that resident memory may grow, as a second look at what neither V8 nor malloc counts (mapped
 * pages, stacks, code). It includes holes that malloc keeps for later.
 */
export const MAX_RESIDENT_GROWTH_BYTES = 24 << 20;

/** The runtimes' own pools come and go. */
const MAX_MORE_THREADS = 2;
const MAX_MORE_FILES = 2;
/** Beside one for each call in flight: the runtime's own. */
const MAX_OTHER_SOCKETS = 8;

/** Often enough to pass through the NSM, a new key pair and a new connection many times. */
const DOCUMENT_MAX_AGE_MS = 200;
const KEY_PAIRS = 8;
const FAULT_EVERY = 100;
const LOOK_EVERY_MS = 10;
const ABANDON_EVERY = 211;

/** The client's own, on a machine that does much else. */
const TIMEOUT_MS = 60_000;
/** Nobody waits longer than this for the next measurement. */
const MAX_SILENCE_MS = 3_600_000;
const CREDENTIALS_LIFETIME_MS = 1000 * 3600 * 100;

/** As many as there can be: that faults strike every one of them does not happen. */
const MAX_ATTEMPTS = 10;

/** Each is gone after one request, which the client sends again. */
const FAULTS: readonly KmsFault[] = [
  { kind: "closeWhenIdle", afterMs: 0 },
  { kind: "throttled" },
  { kind: "resetAtByte", byte: 60 },
  { kind: "internalError" },
  { kind: "truncate", byte: 400 },
  { kind: "unavailable" },
];

/**
 * V8 grows its young generation by megabytes, and drops as much compiled code, whenever it likes: not here.
 */
const V8_FLAGS = ["--expose-gc", "--max-semi-space-size=1", "--no-flush-bytecode"];
const COMMANDS: Readonly<Record<SoakOptions["runtime"], readonly string[]>> = {
  Node: ["node", ...V8_FLAGS],
  Deno: [
    ...["deno", "run", "--quiet", "--no-prompt", "--no-check", "--allow-all"],
    `--v8-flags=${V8_FLAGS.join(",")}`,
  ],
};

const CHILD = fileURLToPath(new URL("./soak_child.ts", import.meta.url));
const PROBE_SOURCE = fileURLToPath(new URL("./memory_probe.c", import.meta.url));

/**
 * Runs one client through so many calls, in a process of its own, against a KMS in this one that fails now
 * and then, and judges what came of it.
 *
 * @throws {Error} When the process cannot be run, or falls silent
 */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  await using enclave = await startEnclave();
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-soak-"));
  try {
    const task = await makeTask(enclave, options, folder);
    await writeFile(join(folder, "task.json"), JSON.stringify(task), { mode: 0o600 });
    using _faults = options.engineCase.speaksHttps ? injectFaults(enclave) : undefined;
    const all = await runChild(options, join(folder, "task.json"));
    const [footprints, others] = [all.slice(0, task.samples + 1), all.slice(task.samples + 1)];
    const { control } = options;
    if (control === undefined) return reportOf(all, task);
    return {
      ...reportOf(footprints, task),
      control: reportOf(others, { ...task, warmUp: 0, calls: control.calls }),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function reportOf(footprints: readonly Footprint[], task: Parameters<typeof judge>[1]) {
  return { footprints, growthBytes: growth(footprints, liveBytes), failures: judge(footprints, task) };
}

/**
 * @param footprints Measurements
 * @param task Task of the process
 * @returns Failures of the run, one sentence each
 */
export function judge(
  footprints: readonly Footprint[],
  task: Pick<SoakTask, "calls" | "warmUp" | "samples" | "concurrency">,
): string[] {
  const growthBytes = growth(footprints, liveBytes);
  const { decrypted, refused, abandoned, wrong, firstWrong } = footprints.at(-1)!.outcomes;
  const asked = task.warmUp + task.calls;
  const residentGrowth = growth(footprints, ({ residentBytes }) => residentBytes);
  const threads = rise(footprints, (footprint) => footprint.threads);
  const files = rise(footprints, (footprint) => footprint.files);
  const sockets = Math.max(...footprints.map((footprint) => footprint.sockets));
  return [
    wrong > 0 && `${wrong} answers are wrong, the first one: ${firstWrong}`,
    decrypted + refused + abandoned + wrong !== asked && `Of ${asked} calls some were never answered`,
    (decrypted === 0 || refused === 0) && `${decrypted} plaintexts and ${refused} refusals prove little`,
    footprints.length !== task.samples + 1 && `${footprints.length} measurements`,
    growthBytes > MAX_GROWTH_BYTES &&
    `What it holds grew by ${kibibytes(growthBytes)} KiB, ${perCall(growthBytes, footprints)} bytes a call`,
    residentGrowth > MAX_RESIDENT_GROWTH_BYTES && `Resident memory grew by ${kibibytes(residentGrowth)} KiB`,
    threads > MAX_MORE_THREADS && `${threads} threads more`,
    files > MAX_MORE_FILES && `${files} descriptors more`,
    sockets > task.concurrency + MAX_OTHER_SOCKETS && `${sockets} sockets at once`,
  ].filter((failure) => failure !== false);
}

/** Computes the growth for one call, in bytes. */
export function perCall(growthBytes: number, footprints: readonly Footprint[]): string {
  return (growthBytes / footprints.at(-1)!.calls).toFixed(2);
}

/** Formats bytes as KiB. */
export function kibibytes(bytes: number): string {
  return (bytes / 1024).toFixed(0);
}

async function makeTask(enclave: Enclave, options: SoakOptions, folder: string): Promise<SoakTask> {
  const { simulator } = enclave;
  const { engineCase, calls, concurrency, control } = options;
  const { credentials: _, ...clientOptions } = enclave.optionsFor(engineCase);
  const issue = () => simulator.kms.issueCredentials({ lifetimeMs: CREDENTIALS_LIFETIME_MS });
  const { speaksHttps } = engineCase;
  return {
    options: {
      ...clientOptions,
      timeoutMs: TIMEOUT_MS,
      ...(speaksHttps && {
        maxAttempts: MAX_ATTEMPTS,
        attestationMaxAgeMs: DOCUMENT_MAX_AGE_MS,
        keyPairMaxUses: Math.ceil(calls / KEY_PAIRS),
      }),
    },
    credentials: [issue(), issue(), issue()],
    requests: await makeRequests(simulator),
    concurrency,
    calls,
    warmUp: speaksHttps ? warmUpOf(calls) : Math.ceil(calls / 10),
    samples: calls >= 100_000 ? 50 : 20,
    abandonEvery: speaksHttps ? ABANDON_EVERY : 0,
    probe: await compileProbe(folder),
    control,
  };
}

async function compileProbe(folder: string): Promise<string> {
  const path = join(folder, "memory_probe.so");
  const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"];
  await promisify(execFile)(CC, [...flags, "-o", path, PROBE_SOURCE]);
  return path;
}

/** Computes the calls of a warm-up: V8 must have compiled the code, and every pool must be full. */
function warmUpOf(calls: number): number {
  return Math.min(Math.max(Math.ceil(calls / 5), 500), 20_000);
}

/**
 * Injects faults by the number of requests. By time, a slow machine would have every attempt of a call fail.
 */
function injectFaults({ simulator: { kms } }: Enclave): Disposable {
  let struck = 0;
  const timer = setInterval(() => {
    if (kms.requestCount < (struck + 1) * FAULT_EVERY) return;
    void kms.injectFault(FAULTS[struck++ % FAULTS.length]!, { times: 1 });
  }, LOOK_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function runChild(options: SoakOptions, taskPath: string): Promise<Footprint[]> {
  const [program = "", ...args] = COMMANDS[options.runtime];
  const child = spawn(program, [...args, CHILD, taskPath], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | string>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  const footprints: Footprint[] = [];
  let watchdog = setTimeout(() => {}, 0);
  const watch = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => child.kill("SIGKILL"), MAX_SILENCE_MS);
  };
  try {
    watch();
    for await (const line of createInterface({ input: child.stdout })) {
      watch();
      const footprint = JSON.parse(line) as Footprint;
      footprints.push(footprint);
      options.onFootprint?.(footprint, options.calls);
    }
    const code = await ended;
    if (code !== 0) throw new Error(`The process under test ended with ${code}`);
    return footprints;
  } finally {
    clearTimeout(watchdog);
    child.kill("SIGKILL");
  }
}
