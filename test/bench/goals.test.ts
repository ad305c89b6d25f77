import assert from "node:assert/strict";
import { formatGoals, judge } from "../../bench/goals.ts";
import type { PathName } from "../../bench/paths/paths.ts";
import type { Cell } from "../../bench/plan.ts";
import { makeResults } from "../../bench/results.ts";
import type { Measured } from "../../bench/rounds.ts";
import type { Runtime } from "../../bench/runtimes.ts";
import type { Parts } from "../../bench/setting.ts";
import type { Slice } from "../../bench/slice.ts";
import { describe, test } from "#test";

const PARTS: Parts = {
  kmstool: "/kmstool",
  vsockRedirect: "",
  sdkLibrary: "/sdk.so",
  sdkCrypto: "AWS-LC 1.73.0",
  libcrypto: "/libcrypto.so.3",
  hasDevice: true,
  cli: "cli.js",
};

/** Makes the slice of one round: latency in ms, calls a second, CPU ms for each of two calls. */
function slice(latencyMs: number, perSecond: number, cpuMs: number, loopMs: readonly number[] = []): Slice {
  return {
    latenciesMs: [latencyMs, latencyMs],
    perSecond,
    cpuMs: cpuMs * 2,
    failures: {},
    loopDelaysMs: loopMs,
  };
}

function measured(
  path: PathName,
  runtime: Runtime,
  atOnce: number,
  slices: readonly Slice[],
  watchesLoop = false,
): Measured {
  const cell: Cell = { path, runtime, roundTripMs: 0, atOnce, watchesLoop };
  return { cell, slices };
}

const outcomes = (all: readonly Measured[], parts = PARTS) => {
  const goals = judge({ measured: all, results: makeResults(all, parts), parts });
  return (text: string) => goals.filter(({ goal }) => goal.includes(text)).map(({ outcome }) => outcome);
};

describe("goals", () => {
  test("judge() compares within rounds: a slow round slows both parts", () => {
    const direct = measured("direct", "Node", 16, [
      slice(1, 1000, 1.4),
      slice(9, 100, 14),
      slice(1, 1000, 1.6),
    ]);
    const floor = measured("floor", "Node", 16, [slice(1, 2000, 1), slice(9, 200, 10), slice(1, 2000, 1)]);
    assert.deepEqual(outcomes([direct, floor])("CPU against the floor, 16"), ["passed"]);
    const slower = measured("direct", "Node", 16, [
      slice(1, 1000, 1.6),
      slice(9, 100, 16),
      slice(1, 1000, 1.6),
    ]);
    assert.deepEqual(outcomes([slower, floor])("CPU against the floor, 16"), ["missed"]);
  });

  test("judge() takes the subprocess for real only if it is", () => {
    const all = [
      measured("direct", "Node", 1, [slice(1, 1000, 1)]),
      measured("subprocess", "Node", 1, [slice(100, 10, 80)]),
    ];
    const name = "direct on Node, throughput against the real subprocess, 1 at once";
    assert.deepEqual(outcomes(all)(name), ["passed"]);
    assert.deepEqual(outcomes(all, { ...PARTS, kmstool: undefined })(name), ["not measured"]);
  });

  test("judge() does not pass what was not measured", () => {
    assert.deepEqual(new Set(outcomes([])("")), new Set(["not measured"]));
    const failed: Slice = {
      latenciesMs: [],
      perSecond: 0,
      cpuMs: 5,
      failures: { ERR_KMS: 3 },
      loopDelaysMs: [],
    };
    const all = [
      measured("direct", "Node", 1, [slice(1, 1000, 1)]),
      measured("subprocess", "Node", 1, [failed]),
    ];
    assert.deepEqual(outcomes(all)("against the real subprocess, 1 at once")[0], "not measured");
  });

  test("judge() looks at the tail of the event loop, and at what the server adds", () => {
    const all = [
      measured("direct", "Node", 16, [slice(1, 1, 1, [...Array<number>(98).fill(1), 9, 9])], true),
      measured("sdk", "Deno", 16, [slice(1, 1, 1, Array<number>(100).fill(4))], true),
      measured("direct", "Node", 1, [slice(1, 1, 1), slice(5, 1, 1)]),
      measured("server", "Node", 1, [slice(1.4, 1, 1), slice(5.4, 1, 1)]),
    ];
    assert.deepEqual(outcomes(all)("event loop"), ["missed", "passed"]);
    assert.deepEqual(outcomes(all)("the server on Node"), ["passed"]);
  });

  test("formatGoals() has a line for each, with the bound", () => {
    const text = formatGoals(judge({ measured: [], results: [], parts: PARTS }));
    assert.match(
      text,
      /^not measured +warm direct on Node, CPU against the floor, 16 at once +at most 1\.5 x$/m,
    );
  });
});
