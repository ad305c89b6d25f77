/**
 * `npm run test:vsock`: boots a small Linux guest, and in it runs every scenario on Node and on Deno, over
 * real AF_VSOCK. The guest's CID is 3, the parent's as an enclave sees it, so that the fixed address of the
 * proxy to KMS works as it is. The servers, and the programs of `flow`, are bundled
 * beforehand, on the host. Arguments are parts of the
 * names of the scenarios to run; without any, all run that do not measure: `attack` must be named.
 *
 * The host needs x86-64 Debian 12 or later, and qemu-system-x86, which it installs when it is root. A guest
 * that does not boot is a failure, never a skip. On the host nothing connects over AF_VSOCK. A scenario that fails runs
 * once more, in a second guest; one that passes then is printed as unstable.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { compileInstrument } from "../../sim/instruments.ts";
import { bundleServers } from "../../tools/bundle_server.ts";
import { bundleFlow } from "./bundle_flow.ts";
import { Guest } from "./guest.ts";
import { BUNDLES_VARIABLE } from "./server_process.ts";
import { surviveClosedOutput } from "../support/closed_output.ts";

surviveClosedOutput();

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SCENARIOS = "test/vsock/scenarios";

/** Against what hangs: on two cores that eight others wanted as well, the slowest scenario took 82 s. */
const SCENARIO_TIMEOUT_MS = 600_000;

/**
 * Scenarios that hold a measurement to a bound, which a busy machine may miss. They run when they are named.
 */
const MEASURING: readonly string[] = ["attack"];

/** Scenarios that measure for longer, or start many processes. */
const LONGER_MS: Readonly<Record<string, number>> = {
  attack: 900_000,
  flow: 900_000,
  flow_socat: 600_000,
  grpc: 600_000,
  kmstool_instance: 480_000,
  secrets: 480_000,
};

/**
 * The same for all of them: 412 s there, 130 s for `doctor` and `entropy`, 600 s for `flow` and `flow_socat`, and twice the
 * time of `attack`.
 */
const RUN_TIMEOUT_MS = 3_600_000;

const RUNTIMES: Readonly<Record<string, string>> = {
  Node: "node",
  Deno: "deno run --quiet --no-prompt --no-check --allow-all --unstable-vsock",
};

/** Scenarios that say nothing about the other runtime. */
const ONLY_ON: Readonly<Record<string, string>> = { throughput: "Node" };

/** More tasks than this do not run again: they did not fail by chance. */
const MOST_AGAIN = 2;

/** A scenario on a runtime. */
interface Task {
  readonly name: string;
  readonly runtime: string;
}

const started = performance.now();

const supervisor = await compileInstrument("nsm-supervisor");
if (supervisor === undefined || await compileInstrument("sdk-double") === undefined) {
  throw new Error(
    "Cannot run: the NSM and the C SDK's double need a C compiler (apt-get install gcc libc6-dev)",
  );
}

// The guest sees what was there before it started.
const bundles = mkdtempSync(join(tmpdir(), "enclave-kms-bundles-"));
process.on("exit", () => rmSync(bundles, { recursive: true, force: true }));
await bundleServers(bundles);
await bundleFlow(bundles);
const patchedCode = compile("patched_code.c");

const failed = await runInGuest(wantedTasks());
const isBroken = failed.length > MOST_AGAIN;
const failures = failed.length === 0 || isBroken ? failed : await runInGuest(failed);
if (!isBroken) {
  for (const task of failed.filter((one) => !failures.includes(one))) {
    console.log(`\nUnstable, passed in a second guest: ${task.name} on ${task.runtime}`);
  }
}
console.log(
  `\nvsock: ${failures.length === 0 ? "all right" : `failed: ${failures.map(nameOf).join(", ")}`} (${
    seconds(started)
  } s)`,
);
process.exitCode = failures.length === 0 ? 0 : 1;

/** Boots a guest, runs tasks in it, and lists those that failed. */
async function runInGuest(tasks: readonly Task[]): Promise<readonly Task[]> {
  const booting = performance.now();
  await using guest = await Guest.boot();
  console.log(`\nok   guest booted (${seconds(booting)} s)`);
  await expectFaithfulProcessor(guest);
  const unsuccessful: Task[] = [];
  for (const task of tasks) {
    if (await runScenario(guest, task) !== 0) unsuccessful.push(task);
  }
  return unsuccessful;
}

function wantedTasks(): readonly Task[] {
  return scenarios(process.argv.slice(2)).flatMap((name) =>
    (ONLY_ON[name] === undefined ? Object.keys(RUNTIMES) : [ONLY_ON[name]]).map((runtime) => ({
      name,
      runtime,
    }))
  );
}

function nameOf({ name, runtime }: Task): string {
  return `${name} on ${runtime}`;
}

/** Checks the emulated processor first: V8's crash on a wrong one is hard to read. */
async function expectFaithfulProcessor(guest: Guest): Promise<void> {
  const { code, output } = await guest.run(quote(patchedCode), SCENARIO_TIMEOUT_MS);
  if (code !== 0) throw new Error(`Cannot trust the guest's processor: exit code ${code}, ${output.trim()}`);
  console.log(`ok   its processor runs code that was patched: ${output.trim()}`);
}

async function runScenario(guest: Guest, { name, runtime }: Task): Promise<number> {
  console.log(`\n--- ${name} on ${runtime}`);
  const began = performance.now();
  const leftMs = Math.min(LONGER_MS[name] ?? SCENARIO_TIMEOUT_MS, RUN_TIMEOUT_MS - (began - started));
  if (leftMs <= 0) throw new Error(`Cannot run ${name} on ${runtime}: the whole run has used up its time`);
  const { code } = await guest.run(commandLine(name, runtime, leftMs), leftMs + 5000, (text) => {
    process.stdout.write(text);
  });
  console.log(`--- ${code === 0 ? "ok" : `exit code ${code}`} (${seconds(began)} s)`);
  return code;
}

function compile(source: string): string {
  const program = join(bundles, source.replace(/\.c$/, ""));
  const flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];
  execFileSync(process.env["CC"] || "cc", [...flags, "-o", program, join(ROOT, "test/vsock", source)]);
  return program;
}

/** Makes a command line in the guest. Every program runs supervised, so that it has a /dev/nsm. */
function commandLine(name: string, runtime: string, timeoutMs: number): string {
  return [
    `cd ${quote(ROOT)} && mkdir -p /tmp/nsm && export NO_COLOR=1 HOME=/tmp ${BUNDLES_VARIABLE}=${
      quote(bundles)
    }`,
    `PATH=${quote(join(ROOT, "node_modules/.bin"))}:/usr/local/bin:/usr/bin:/bin`,
    `&& exec timeout -k 2 ${Math.ceil(timeoutMs / 1000)}`,
    `${quote(supervisor ?? "")} /tmp/nsm ${RUNTIMES[runtime]} ${quote(join(SCENARIOS, `${name}.ts`))}`,
  ].join(" ");
}

function scenarios(filters: readonly string[]): string[] {
  const names = readdirSync(join(ROOT, SCENARIOS)).map((file) => file.replace(/\.ts$/, "")).sort();
  if (filters.length === 0) return names.filter((name) => !MEASURING.includes(name));
  return names.filter((name) => filters.some((part) => name.includes(part)));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}
