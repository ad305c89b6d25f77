import assert from "node:assert/strict";
import { judgeOneShots, type OneShot, oneShotRows } from "../../../bench/one_shot/verdict.ts";
import { formatTable } from "../../../bench/table.ts";
import { describe, test } from "#test";

const SHOTS: readonly OneShot[] = [
  { what: "tool", runtime: "", label: "kmstool", timesMs: [100, 300, NaN] },
  { what: "command line", runtime: "Node", label: "cli", timesMs: [310, 300, 290] },
  { what: "sdk", runtime: "Node", label: "sdk", timesMs: [180, 170, 190] },
  { what: "sdk", runtime: "Deno", label: "sdk", timesMs: [181, 182, 183] },
  { what: "direct", runtime: "Node", label: "direct", timesMs: [90, 100, 110] },
];

describe("the verdict on one-shot decrypts", () => {
  test("compares medians, and leaves out what failed", () => {
    const goals = judgeOneShots(SHOTS, true);
    assert.deepEqual(goals.map(({ value }) => value), [1.5, 0.9, 0.91, 0.5]);
    assert.deepEqual(goals.map(({ outcome }) => outcome), ["passed", "passed", "missed", "passed"]);
    assert.match(formatTable(oneShotRows(SHOTS)), /kmstool +200 +298 +ms .* 1 failed/);
  });

  test("judges nothing by the substitute, or by what was not measured", () => {
    assert.ok(judgeOneShots(SHOTS, false).every(({ outcome }) => outcome === "not measured"));
    const [, , deno] = judgeOneShots(SHOTS.filter(({ runtime }) => runtime !== "Deno"), true);
    assert.equal(deno?.outcome, "not measured");
  });
});
