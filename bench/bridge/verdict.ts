import type { Goal } from "../goals.ts";
import type { Runtime } from "../runtimes.ts";
import { median, medianRatio } from "../statistics.ts";
import type { Row } from "../table.ts";
import type { SubjectName } from "./subjects.ts";

/** Measurements of one program in one round. */
export interface BridgeRound {
  readonly cpuMsPerGib: number;
  readonly gibPerSecond: number;
  readonly roundTripUs: number;
}

/** Idle connections through one program. */
export interface IdleResult {
  readonly kibEach: number;
  readonly lost: number;
}

/** Everything that was measured. Without socat its rounds are missing. */
export interface BridgeFindings {
  readonly rounds: ReadonlyMap<SubjectName, readonly BridgeRound[]>;
  readonly idle: ReadonlyMap<Runtime, IdleResult>;
  readonly idleCount: number;
  /** Median times of a unary call of gRPC in each round, in microseconds: directly, and through both halves. */
  readonly grpc: ReadonlyMap<Runtime | "direct", readonly number[]>;
}

type Quantity = keyof BridgeRound;

/** Largest memory of an idle connection, in KiB. */
const IDLE_KIB: Readonly<Record<Runtime, number>> = { Node: 16, Deno: 32 };

/** Largest time of a call of gRPC through both halves, as so many times a direct one's. */
const GRPC_RATIO: Readonly<Record<Runtime, number>> = { Node: 1.5, Deno: 2 };

/** Goals that compare with socat: at most, or at least, so many times what it has. */
const AGAINST: readonly (readonly [Quantity, string, SubjectName, Goal["direction"], number])[] = [
  ["cpuMsPerGib", "CPU for a GiB", "socat", "at most", 0.5],
  ["cpuMsPerGib", "CPU for a GiB", "socat -b 65536", "at most", 2],
  ["gibPerSecond", "throughput", "socat", "at least", 1.5],
  ["gibPerSecond", "throughput", "socat -b 65536", "at least", 0.6],
  ["roundTripUs", "round trip, p50", "socat", "at most", 1.2],
];

/**
 * Judges the goals.
 *
 * @param findings Measurements
 */
export function judgeBridges({ rounds, idle, idleCount, grpc }: BridgeFindings): Goal[] {
  const direct = grpc.get("direct") ?? [];
  return [...idle].flatMap(([runtime, { kibEach, lost }]) => [
    ...AGAINST.map(([quantity, what, other, direction, bound]) => {
      const [ours = [], theirs = []] = [runtime, other].map((name) => rounds.get(name));
      const value = theirs.length === 0
        ? NaN
        : medianRatio(ours.map((one) => one[quantity]), theirs.map((one) => one[quantity]));
      return makeGoal(`${runtime}, ${what} against ${other}`, value, direction, bound, " x");
    }),
    makeGoal(`${runtime}, lost of ${idleCount} connections`, lost, "at most", 0, ""),
    makeGoal(`${runtime}, memory of an idle connection`, kibEach, "at most", IDLE_KIB[runtime], " KiB"),
    makeGoal(
      `${runtime}, gRPC through both halves, p50 against direct`,
      medianRatio(grpc.get(runtime) ?? [], direct),
      "at most",
      GRPC_RATIO[runtime],
      " x",
    ),
  ]);
}

/**
 * Makes the rows of the table.
 *
 * @param findings Measurements
 * @param missing Reason why there are none of socat
 */
export function bridgeRows({ rounds, idle, grpc }: BridgeFindings, missing: string | undefined): Row[] {
  const rows = [...rounds].flatMap(([name, measured]): Row[] => {
    const middle = (quantity: Quantity) => median(measured.map((round) => round[quantity]));
    const of = { section: "Bridges, TCP to unix", what: name.startsWith("socat") ? name : "openBridge" };
    const runtime = name.startsWith("socat") ? "" : name;
    return [
      {
        ...of,
        runtime,
        under: "a stream",
        unit: "GiB/s",
        p50: middle("gibPerSecond"),
        cpuMs: middle("cpuMsPerGib"),
      },
      { ...of, runtime, under: "one question at a time", unit: "µs", p50: middle("roundTripUs") },
    ];
  });
  const idleRows = [...idle].map(([runtime, { kibEach }]): Row => {
    return {
      section: "Bridges, idle",
      what: "openBridge",
      runtime,
      under: "each",
      unit: "KiB",
      p50: kibEach,
    };
  });
  const note = missing === undefined
    ? []
    : [{ section: "Bridges, TCP to unix", what: "socat", runtime: "", unit: "", note: missing }];
  const grpcRows = [...grpc].map(([way, times]): Row => ({
    section: "gRPC, a unary call",
    what: way === "direct" ? "direct" : "both halves",
    runtime: way === "direct" ? "" : way,
    under: "one at a time",
    unit: "µs",
    p50: median(times),
  }));
  return [...rows, ...note, ...idleRows, ...grpcRows];
}

function makeGoal(
  goal: string,
  value: number,
  direction: Goal["direction"],
  bound: number,
  unit: string,
): Goal {
  const isMet = direction === "at most" ? value <= bound : value >= bound;
  const outcome = Number.isNaN(value) ? "not measured" : isMet ? "passed" : "missed";
  return { goal, value, bound, direction, unit, outcome };
}
