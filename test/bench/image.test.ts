import assert from "node:assert/strict";
import { describe, test } from "#test";
import { imageRows, judgeImage } from "../../bench/image/run.ts";

describe("the bench of the image builder", () => {
  const rounds = [
    { buildMs: 1800, hashMs: 300, peakMib: 150 },
    { buildMs: 2000, hashMs: 250, peakMib: 160 },
    { buildMs: 1900, hashMs: 200, peakMib: 155 },
  ];
  const outcomes = (measured: typeof rounds) =>
    judgeImage(new Map([["Node" as const, measured]])).map(({ outcome }) => outcome);

  test("judges ratio, CPU time and memory by the median, and memory by the largest", () => {
    assert.deepEqual(outcomes(rounds), ["passed", "passed", "passed"]);
    assert.deepEqual(outcomes(rounds.map((round) => ({ ...round, hashMs: 100 }))), [
      "missed",
      "passed",
      "passed",
    ]);
    assert.deepEqual(outcomes(rounds.map((round) => ({ ...round, buildMs: 3001, hashMs: 900 }))), [
      ...["passed", "missed", "passed"],
    ]);
    const [first, ...others] = rounds;
    assert.deepEqual(outcomes([{ ...first!, peakMib: 201 }, ...others]), ["passed", "passed", "missed"]);
  });

  test("has a row for each of them", () => {
    const rows = imageRows(new Map([["Node" as const, rounds]]));
    assert.deepEqual(rows.map(({ what, p50 }) => [what, p50]), [
      ["built, read again and measured", 1900],
      ["SHA-384 of it", 250],
      ["peak of memory", 160],
    ]);
  });
});
