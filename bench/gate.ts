import type { CallCounts } from "./call_counts.ts";
import type { Lab } from "./lab.ts";
import { pathKind, type PathName } from "./paths/paths.ts";
import type { Cell, RoundPlan } from "./plan.ts";
import { cpuPerCall, ratioOf } from "./results.ts";
import { runRounds } from "./rounds.ts";
import { type Runtime, RUNTIMES } from "./runtimes.ts";
import { seededRandom } from "./statistics.ts";
import { heapPerCall } from "./starts.ts";
import type { Slice, SliceOrder } from "./slice.ts";
import { number } from "./table.ts";

/** One thing that must not get worse, whatever the machine. */
export interface Check {
  readonly what: string;
  readonly value: number;
  /** Generous: half as much again as it was when it was set, or what must never be more. */
  readonly atMost: number;
}

const DECRYPTS = 100;
const AT_ONCE = 16;

/** Connections that a client keeps at most. */
const MAX_CONNECTIONS = 16;

/**
 * Checks what shows a regression on a machine of any speed: counts per decrypt, and ratios of processor time.
 *
 * @param lab The running KMS
 * @param progress Gets a line for each step
 */
export async function runGate(lab: Lab, progress: (text: string) => void): Promise<Check[]> {
  const engines = (["direct", "sdk"] as const).filter((path) =>
    pathKind(path).missing?.(lab.parts) === undefined
  );
  const checks: Check[] = [];
  for (const path of engines) {
    progress(`calls of ${path}`);
    checks.push(...await callChecks(lab, path));
    for (const runtime of RUNTIMES) {
      progress(`requests, connections and memory of ${path} on ${runtime}`);
      checks.push(...await requestChecks(lab, path, runtime), await heapCheck(lab, path, runtime));
    }
  }
  progress("processor time");
  return [...checks, ...wireChecks(lab), ...await timeChecks(lab)];
}

/** Formats one line for each check. */
export function formatGate(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ what }) => what.length));
  return checks.map((check) => {
    const { what, value, atMost } = check;
    return `${isHeld(check) ? "ok  " : "FAIL"}  ${what.padEnd(width)}  ${
      number(value).padStart(6)
    }  at most ${atMost}`;
  }).join("\n");
}

/** Tells whether a check holds. One that was not measured does not. */
export function isHeld({ value, atMost }: Check): boolean {
  return value <= atMost;
}

const CALLS: Readonly<Record<"direct" | "sdk", CallCounts>> = {
  direct: { functions: 950, foreign: 20, reads: 2, writes: 2 },
  sdk: { functions: 1550, foreign: 40, reads: 2, writes: 2 },
};

/** Counts calls on Node. Its engine and the library are the same as on Deno. */
async function callChecks(lab: Lab, path: "direct" | "sdk"): Promise<Check[]> {
  await using child = await lab.start("Node", "call_counts.ts", [path]);
  const counts = await child.ask<CallCounts>(DECRYPTS);
  const bounds = CALLS[path];
  const check = (name: keyof CallCounts, what: string): Check => ({
    what: `${path}: ${what}, a decrypt`,
    value: counts[name],
    atMost: bounds[name],
  });
  return [
    check("functions", "functions of ours called"),
    check("foreign", "calls into C"),
    check("reads", "system calls that read"),
    check("writes", "system calls that write"),
  ];
}

async function requestChecks(lab: Lab, path: PathName, runtime: Runtime): Promise<Check[]> {
  await using worker = await lab.start(runtime, "worker.ts", [path]);
  const before = await lab.counts();
  const order: SliceOrder = { roundTripMs: 0, atOnce: AT_ONCE, forMs: 500, warmUpMs: 0 };
  const { latenciesMs } = await worker.ask<Slice>(order);
  const after = await lab.counts();
  const decrypts = latenciesMs.length + AT_ONCE;
  const name = `${path} on ${runtime}, ${AT_ONCE} at once`;
  return [
    {
      what: `${name}: requests to KMS, a decrypt`,
      value: (after.requests - before.requests) / decrypts,
      atMost: 1,
    },
    { what: `${name}: connections`, value: after.connections - before.connections, atMost: MAX_CONNECTIONS },
    { what: `${name}: attestation documents`, value: after.documents - before.documents, atMost: 1 },
  ];
}

/** KiB; it was 59 on Node.js and 67 on Deno for direct, 74 on Deno for sdk. */
const MAX_HEAP_KIB = 110;

async function heapCheck(lab: Lab, path: PathName, runtime: Runtime): Promise<Check> {
  const value = await heapPerCall(lab, runtime, path) / 1024;
  return { what: `${path} on ${runtime}: KiB of heap, a decrypt`, value, atMost: MAX_HEAP_KIB };
}

/** Bytes; most of them are the document of the software NSM, and the session token. */
function wireChecks({ setting: { wire } }: Lab): Check[] {
  return [
    { what: "bytes to KMS, a decrypt", value: wire.requestBytes, atMost: 9000 },
    { what: "bytes from KMS, a decrypt", value: wire.answerBytes, atMost: 2000 },
  ];
}

const TIME_PLAN: Omit<RoundPlan, "cells"> = {
  rounds: 5,
  forMs: 250,
  slowForMs: 250,
  firstWarmUpMs: 600,
  warmUpMs: 0,
  latestRoundMs: Infinity,
};

/**
 * Checks ratios of processor time. Both parts are measured in the same rounds, so that a busy machine slows
 * both.
 */
async function timeChecks(lab: Lab): Promise<Check[]> {
  const cell = (path: PathName, runtime: Runtime): Cell => ({
    path,
    runtime,
    roundTripMs: 0,
    atOnce: AT_ONCE,
    watchesLoop: false,
  });
  const [direct, floor, aws] = [cell("direct", "Node"), cell("floor", "Node"), cell("aws-sdk", "Node")];
  const [directOnDeno, sdkOnDeno] = [cell("direct", "Deno"), cell("sdk", "Deno")];
  const cells = [direct, floor, aws, directOnDeno, sdkOnDeno];
  const { measured } = await runRounds(lab, { ...TIME_PLAN, cells }, seededRandom(1), () => {});
  const check = (what: string, one: Cell, other: Cell, atMost: number): Check => ({
    what: `processor time: ${what}`,
    value: ratioOf(measured, one, other, cpuPerCall),
    atMost,
  });
  const checks = [
    check("direct against the floor, Node", direct, floor, 2.4),
    check("direct against @aws-sdk/client-kms, Node", direct, aws, 1),
    // Over node:crypto it takes three times as much on Deno.
    check("direct on Deno against Node", directOnDeno, direct, 1.7),
  ];
  const hasSdk = pathKind("sdk").missing?.(lab.parts) === undefined;
  return hasSdk ? [...checks, check("sdk against direct, Deno", sdkOnDeno, directOnDeno, 1.7)] : checks;
}
