import type { Goal } from "../goals.ts";
import type { Runtime } from "../runtimes.ts";
import { median, medianRatio } from "../statistics.ts";
import type { Row } from "../table.ts";
import { IN_FLIGHT, type Rotated } from "./rotation_order.ts";
import { type SubjectName, SUBJECTS } from "./subject_order.ts";

/** Processor time of one request in each round, in microseconds, by application. */
export type Costs = Readonly<Record<SubjectName, readonly number[]>>;

/** Most that the base may cost, as a multiple of bare @hono/node-server. */
const BOUNDS: Readonly<Record<Runtime, number>> = { Node: 1.25, Deno: 1.3 };

const WORDS: Readonly<Record<SubjectName, string>> = {
  bare: "bare @hono/node-server",
  kept: "the same, globals kept",
  app: "on the base, log level warn",
  log: "and a line of the log",
  gate: "and the gate, a Cedar policy",
  jwt: "and a token, ES256",
  tls: "and TLS that ends inside",
  sealed: "and sealed HTTP",
};

/**
 * Makes the rows of one runtime. A ratio is the median of the rounds' ratios.
 *
 * @param runtime Runtime of all processes
 * @param costs At least one round
 */
export function appRows(runtime: Runtime, costs: Costs): Row[] {
  const section = "A GET of the application's own, 200 bytes of JSON: processor time of a request";
  return SUBJECTS.map((name) => ({
    section,
    what: WORDS[name],
    runtime,
    p50: median(costs[name]),
    unit: "µs",
    ...(name === "bare" ? {} : { ratio: medianRatio(costs[name], costs.bare), baseline: "bare" }),
  }));
}

/**
 * Judges the goal of one runtime.
 *
 * @param runtime Runtime of all processes
 * @param costs At least one round
 */
export function appGoal(runtime: Runtime, costs: Costs): Goal {
  const [value, bound] = [medianRatio(costs.app, costs.bare), BOUNDS[runtime]];
  const goal = `CPU of an application's request, to bare @hono/node-server, on ${runtime}`;
  return {
    goal,
    value,
    bound,
    direction: "at most",
    unit: "x",
    outcome: value <= bound ? "passed" : "missed",
  };
}

/**
 * Makes the row of rotations.
 *
 * @param runtime Runtime of the process
 * @param rotated Findings
 */
export function rotationRow(runtime: Runtime, { rotations, ms, requests, failures }: Rotated): Row {
  return {
    section: `Credentials of an application that rotate, with ${IN_FLIGHT} requests to KMS in flight`,
    what: `${rotations} rotations`,
    runtime,
    p50: ms / rotations,
    unit: "ms",
    perSecond: requests / (ms / 1000),
    note: `${failures} of ${requests} requests failed`,
  };
}

/**
 * Judges the goal of rotations.
 *
 * @param runtime Runtime of the process
 * @param rotated Findings
 */
export function rotationGoal(runtime: Runtime, { rotations, failures }: Rotated): Goal {
  return {
    goal: `requests that fail during ${rotations} rotations of credentials, on ${runtime}`,
    value: failures,
    bound: 0,
    direction: "at most",
    unit: "",
    outcome: failures === 0 ? "passed" : "missed",
  };
}
