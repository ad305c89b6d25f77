import assert from "node:assert/strict";
import { describe, test } from "#test";
import { appGoal, appRows, type Costs, rotationGoal, rotationRow } from "../../bench/app/costs.ts";
import { SUBJECTS } from "../../bench/app/subject_order.ts";
import { readOptions } from "../../bench/options.ts";

const costs = (app: readonly number[]): Costs => ({
  bare: [10, 100, 20],
  kept: [20, 200, 40],
  app,
  log: [13, 130, 26],
  gate: [14, 140, 28],
  jwt: [15, 150, 30],
  tls: [16, 160, 32],
  sealed: [90, 900, 180],
});

describe("bench app", () => {
  test("compares round by round, so that a disturbed round counts once", () => {
    const rows = appRows("Node", costs([12, 500, 24]));
    assert.deepEqual(rows.map(({ ratio }) => ratio), [undefined, 2, 1.2, 1.3, 1.4, 1.5, 1.6, 9]);
    assert.deepEqual(rows.map(({ p50 }) => p50), [20, 40, 24, 26, 28, 30, 32, 180]);
    assert.equal(new Set(rows.map(({ what }) => what)).size, SUBJECTS.length);
  });

  test("judges the base by the bound of its runtime", () => {
    const outcome = (runtime: "Node" | "Deno", app: number) => appGoal(runtime, costs([app])).outcome;
    assert.deepEqual([outcome("Node", 12.5), outcome("Node", 12.6)], ["passed", "missed"]);
    assert.deepEqual([outcome("Deno", 13), outcome("Deno", 13.1)], ["passed", "missed"]);
    assert.equal(appGoal("Node", costs([NaN])).outcome, "missed");
  });

  test("is a command of its own", () => {
    const options = readOptions(["app", "--quick", "--runtime", "Deno"]);
    assert.ok(options !== "help");
    assert.deepEqual([options.isApp, options.isQuick, options.runtimes], [true, true, ["Deno"]]);
    assert.throws(() => readOptions(["ap"]), TypeError);
  });

  test("counts the requests that fail while credentials rotate, and misses the goal by one", () => {
    const rotated = { rotations: 1000, ms: 5000, requests: 20_000, failures: 0 };
    assert.deepEqual(rotationGoal("Deno", rotated).outcome, "passed");
    assert.deepEqual(rotationGoal("Deno", { ...rotated, failures: 1 }).outcome, "missed");
    const { p50, perSecond, note } = rotationRow("Node", { ...rotated, failures: 2 });
    assert.deepEqual([p50, perSecond, note], [5, 4000, "2 of 20000 requests failed"]);
  });
});
