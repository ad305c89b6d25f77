import assert from "node:assert/strict";
import { formatGate, isHeld } from "../../bench/gate.ts";
import { judge } from "../../bench/goals.ts";
import { readOptions } from "../../bench/options.ts";
import { type PathName, PATHS } from "../../bench/paths/paths.ts";
import { makePlan } from "../../bench/plan.ts";
import { makeResults } from "../../bench/results.ts";
import { RUNTIMES } from "../../bench/runtimes.ts";
import { type Parts, ROUND_TRIPS_MS } from "../../bench/setting.ts";
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
const SLICE: Slice = { latenciesMs: [1], perSecond: 1, cpuMs: 1, failures: {}, loopDelaysMs: [1] };

/**
 * Tells whether a cell is measured. `sdk-client` makes one call at a time; slow paths have 64 at once without
 * a network only.
 */
function isMeasuredAt({ path, roundTripMs, count }: { path: PathName; roundTripMs: number; count: number }) {
  if (path === "sdk-client") return count === 1;
  return count < 64 || !("isSlow" in PATHS[path]) || roundTripMs === 0;
}

describe("plan", () => {
  for (const isQuick of [false, true]) {
    test(`what a goal needs is measured, ${isQuick ? "quick" : "in full"}`, () => {
      const measured = makePlan(isQuick, RUNTIMES).cells.map((cell) => ({ cell, slices: [SLICE] }));
      const goals = judge({ measured, results: makeResults(measured, PARTS), parts: PARTS });
      const quick = isQuick ? ["warm sdk on Deno, throughput against the real subprocess, 16 at once"] : [];
      const missing = goals.filter(({ outcome }) => outcome === "not measured").map(({ goal }) => goal);
      assert.deepEqual(missing, quick);
      assert.ok(goals.length >= 14, String(goals.length));
    });
  }

  test("in full, every path is measured over every network, at 1, 16 and 64 where that ends and says something", () => {
    const { cells } = makePlan(false, RUNTIMES);
    for (const path of Object.keys(PATHS) as PathName[]) {
      for (const roundTripMs of ROUND_TRIPS_MS) {
        const found = cells.filter((cell) =>
          cell.path === path && cell.roundTripMs === roundTripMs && !cell.watchesLoop &&
          cell.runtime === "Deno"
        );
        const counts = [1, 16, 64].filter((count) => isMeasuredAt({ path, roundTripMs, count }));
        assert.deepEqual(found.map(({ atOnce }) => atOnce), counts, `${path}, ${roundTripMs} ms`);
      }
    }
  });

  test("readOptions() takes what the help names, and refuses the rest", () => {
    assert.deepEqual(readOptions(["--quick", "--runtime", "Node", "--seed", "7"]), {
      isQuick: true,
      isGate: false,
      attacks: undefined,
      isApp: false,
      against: undefined,
      isBridge: false,
      isImage: false,
      isCores: false,
      isOneShot: false,
      isSecrets: false,
      isTelemetry: false,
      out: "build/bench",
      runtimes: ["Node"],
      seed: 7,
    });
    assert.equal(readOptions(["-h"]), "help");
    assert.partialDeepStrictEqual(readOptions(["bridge"]), { isBridge: true });
    assert.partialDeepStrictEqual(readOptions(["against", "../before"]), { against: "../before" });
    for (
      const wrong of [["--fast"], ["--runtime", "Bun"], ["--seed", "x"], ["against"], ["bridge", "x"], [
        "faster",
      ]]
    ) {
      assert.throws(() => readOptions(wrong), TypeError);
    }
  });
});

describe("gate", () => {
  test("what was not measured is not held", () => {
    assert.deepEqual([1, 2, 2.1, NaN].map((value) => isHeld({ what: "a", value, atMost: 2 })), [
      true,
      true,
      false,
      false,
    ]);
    assert.match(formatGate([{ what: "a", value: NaN, atMost: 2 }]), /^FAIL {2}a/);
  });
});
