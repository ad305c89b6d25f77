import type { Goal } from "../goals.ts";
import type { Runtime } from "../runtimes.ts";
import { median, medianRatio } from "../statistics.ts";
import type { Row } from "../table.ts";

/** Requests that are measured: a decrypt, and the cheapest that there is. */
export const REQUESTS = ["decrypt", "healthz"] as const;

/** Name of a request. */
export type RequestName = typeof REQUESTS[number];

/** Server without and with an exporter. */
export const SIDES = ["without", "with"] as const;

/** Name of a server. */
export type Side = typeof SIDES[number];

/** Measurements of one round. */
export interface Cost {
  /** Processor time of a request in the server's process, in milliseconds. */
  readonly cpuMs: number;
  /** 99th percentile of the round's requests, in milliseconds. */
  readonly p99Ms: number;
}

/** Rounds by request and server. */
export type Costs = Readonly<Record<RequestName, Readonly<Record<Side, readonly Cost[]>>>>;

const WORDS: Readonly<Record<RequestName, string>> = {
  decrypt: "POST /v1/decrypt, 100 Cedar policies, a line of the log",
  healthz: "GET /healthz, no line of the log",
};

/** Most that a decrypt with an exporter may cost, as a multiple of one without. */
const BOUNDS = { cpuMs: 1.05, p99Ms: 1.25 } as const;

const VALUES = { cpuMs: "processor time", p99Ms: "p99" } as const;

type Value = keyof typeof VALUES;

/**
 * Makes the rows of one runtime. A ratio is the median of the rounds' ratios.
 *
 * @param runtime Runtime of the servers
 * @param costs At least one round
 */
export function telemetryRows(runtime: Runtime, costs: Costs): Row[] {
  return REQUESTS.flatMap((request) =>
    (Object.keys(VALUES) as Value[]).flatMap((value) =>
      SIDES.map((side): Row => ({
        section: `A request with an exporter and without: ${WORDS[request]}`,
        what: `${VALUES[value]}, ${side}`,
        runtime,
        p50: median(valuesOf(costs, request, side, value)),
        unit: "ms",
        ...(side === "with" ? { ratio: ratioOf(costs, request, value), baseline: "without" } : {}),
      }))
    )
  );
}

/**
 * Judges the goals of one runtime, which are those of a decrypt.
 *
 * @param runtime Runtime of the servers
 * @param costs At least one round
 */
export function telemetryGoals(runtime: Runtime, costs: Costs): Goal[] {
  return (Object.keys(VALUES) as Value[]).map((name) => {
    const [value, bound] = [ratioOf(costs, "decrypt", name), BOUNDS[name]];
    return {
      goal: `${VALUES[name]} of a decrypt with an exporter, to one without, on ${runtime}`,
      value,
      bound,
      direction: "at most",
      unit: "x",
      outcome: value <= bound ? "passed" : "missed",
    };
  });
}

function ratioOf(costs: Costs, request: RequestName, value: Value): number {
  return medianRatio(valuesOf(costs, request, "with", value), valuesOf(costs, request, "without", value));
}

function valuesOf(costs: Costs, request: RequestName, side: Side, value: Value): readonly number[] {
  return costs[request][side].map((cost) => cost[value]);
}
