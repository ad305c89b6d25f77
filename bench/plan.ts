import type { MicroPart } from "./micro.ts";
import type { Turns } from "./micro/turns.ts";
import { pathKind, type PathName, PATHS } from "./paths/paths.ts";
import type { Runtime } from "./runtimes.ts";
import { ROUND_TRIPS_MS, type RoundTripMs } from "./setting.ts";

/** One line of the comparison: a path on a runtime, over a network, so many at once. */
export interface Cell {
  readonly path: PathName;
  readonly runtime: Runtime;
  readonly roundTripMs: RoundTripMs;
  readonly atOnce: number;
  /** Measured to watch the event loop, and nothing else. */
  readonly watchesLoop: boolean;
}

/** Cells that are measured in rounds, and the length of the rounds. */
export interface RoundPlan {
  readonly cells: readonly Cell[];
  readonly rounds: number;
  /** Time for one cell in one round, in milliseconds; slow paths take longer. */
  readonly forMs: number;
  readonly slowForMs: number;
  /**
   * Warm-up of each process of a warm path for each network, in milliseconds, so that V8 optimises its code.
   */
  readonly firstWarmUpMs: number;
  /** Warm-up before each cell of a warm path, in milliseconds. */
  readonly warmUpMs: number;
  /** After so many milliseconds no round begins, however busy the machine is. */
  readonly latestRoundMs: number;
}

/** The same, and what is measured beside the rounds. */
export interface Plan extends RoundPlan {
  /** Number of process starts that are measured. */
  readonly starts: number;
  /** Number of turns for each part that is measured by itself. */
  readonly turns: Readonly<Record<MicroPart, Turns>>;
  /** Whether vsock is measured, which takes a virtual machine and a minute. */
  readonly hasGuest: boolean;
}

const AT_ONCE = [1, 16, 64];

/** Those whose loop stays this process's own while decrypts run. */
const WATCHED: readonly PathName[] = ["direct", "sdk", "aws-sdk", "floor"];
const WATCHED_AT_ONCE = 16;

/**
 * Makes the plan of a run.
 *
 * @param isQuick Whether it must end within a minute
 * @param runtimes Runtimes to measure
 */
export function makePlan(isQuick: boolean, runtimes: readonly Runtime[]): Plan {
  const cells = runtimes.flatMap((runtime) => [...comparisons(runtime), ...watches(runtime)]);
  return isQuick ? { ...QUICK, cells: cells.filter(isWorthAMinute) } : { ...FULL, cells };
}

type Lengths = Omit<Plan, "cells">;

const QUICK: Lengths = {
  rounds: 3,
  forMs: 120,
  slowForMs: 120,
  firstWarmUpMs: 250,
  warmUpMs: 0,
  starts: 1,
  turns: {
    ffi: { warmUp: 10, rounds: 20 },
    policy: { warmUp: 50, rounds: 100 },
    attestation: { warmUp: 10, rounds: 20 },
  },
  latestRoundMs: 36_000,
  hasGuest: false,
};

const FULL: Lengths = {
  rounds: 3,
  forMs: 500,
  slowForMs: 1000,
  firstWarmUpMs: 2500,
  warmUpMs: 1000,
  starts: 7,
  turns: {
    ffi: { warmUp: 50, rounds: 200 },
    policy: { warmUp: 500, rounds: 2000 },
    attestation: { warmUp: 100, rounds: 500 },
  },
  latestRoundMs: Infinity,
  hasGuest: true,
};

function comparisons(runtime: Runtime): Cell[] {
  const all = (Object.keys(PATHS) as PathName[]).flatMap((path) =>
    ROUND_TRIPS_MS.flatMap((roundTripMs) =>
      AT_ONCE.map((atOnce) => ({ path, runtime, roundTripMs, atOnce, watchesLoop: false }))
    )
  );
  return all.filter(isMeasurable);
}

/**
 * Tells whether a cell is measured. 64 key pairs at once take both cores of a small machine half a minute on
 * Deno, so slow paths have 64 at once without a network only. sdk-client makes one call at a time, however
 * many wait.
 */
function isMeasurable({ path, roundTripMs, atOnce }: Cell): boolean {
  if (path === "sdk-client" && atOnce > 1) return false;
  return !(pathKind(path).isSlow && atOnce === 64 && roundTripMs > 0);
}

function watches(runtime: Runtime): Cell[] {
  const watched = WATCHED.map((path) => ({ path, atOnce: WATCHED_AT_ONCE }));
  return [...watched, { path: "direct" as const, atOnce: 0 }]
    .map((cell) => ({ ...cell, runtime, roundTripMs: 0, watchesLoop: true }));
}

function isWorthAMinute({ path, runtime, roundTripMs, atOnce, watchesLoop }: Cell): boolean {
  if (watchesLoop) return true;
  if (atOnce === 64 || roundTripMs === 20) return false;
  if (roundTripMs === 5) return !pathKind(path).isSlow && path !== "server" && atOnce === 16;
  return atOnce === 1 || !pathKind(path).isSlow || (path === "subprocess" && runtime === "Node");
}
