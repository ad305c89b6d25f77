import assert from "node:assert/strict";
import { type Costs, costsOf, type PinnedCell } from "../../../bench/cores/costs.ts";
import type { MeasuredCell } from "../../../bench/cores/run.ts";
import { boundOf, coresRows, judgeCores } from "../../../bench/cores/verdict.ts";
import type { Parts } from "../../../bench/setting.ts";
import { formatTable } from "../../../bench/table.ts";
import { describe, test } from "#test";

const PARTS: Parts = {
  kmstool: undefined,
  vsockRedirect: undefined,
  sdkLibrary: undefined,
  sdkCrypto: undefined,
  libcrypto: undefined,
  hasDevice: true,
  cli: "cli.js",
};

function costs(change: Partial<Costs>): Costs {
  return { p50Ms: 1, perSecond: 1000, cpuMs: 0.6, loopMs: 0.3, kmsMs: 0.06, delayP99Ms: 2, ...change };
}

function cell(change: Partial<PinnedCell>, ...rounds: Partial<Costs>[]): MeasuredCell {
  return {
    cell: { path: "direct", runtime: "Node", replays: true, cores: 1, atOnce: 16, ...change },
    rounds: rounds.map(costs),
  };
}

const MEASURED = [
  cell({}, { perSecond: 1000 }, { perSecond: 100 }, { perSecond: 1100 }),
  cell({ cores: 2 }, { perSecond: 1500 }, { perSecond: 150 }, { perSecond: 2000 }),
  cell({ cores: 2, atOnce: 1 }, { p50Ms: 1 }, { p50Ms: 10 }),
  cell({ runtime: "Deno", cores: 2, atOnce: 1 }, { p50Ms: 1.2 }, { p50Ms: 14 }),
];

describe("the verdict on a second core", () => {
  test("compares within rounds, so that a slow round changes nothing", () => {
    const goals = judgeCores(MEASURED);
    assert.deepEqual(goals.map(({ value }) => value), [1.5, NaN, 1.2999999999999998]);
    assert.deepEqual(goals.map(({ outcome }) => outcome), ["passed", "not measured", "passed"]);
    assert.match(goals[0]?.goal ?? "", /bound 1\.82/);
  });

  test("bounds it by the loop, and by what KMS takes", () => {
    assert.equal(boundOf({ cpuMs: 1, loopMs: 0.8, kmsMs: 0.1 }), 1.25);
    assert.equal(boundOf({ cpuMs: 1, loopMs: 0.1, kmsMs: 0.25 }), 1.6);
  });

  test("reckons on paper with KMS elsewhere, and leaves the parent two cores", () => {
    const rows = coresRows(MEASURED, PARTS).filter(({ section }) => section.startsWith("On paper"));
    assert.deepEqual(rows.map(({ under, perSecond }) => `${under}: ${Math.round(perSecond ?? NaN)}`), [
      "4 vCPUs, 2 of them the enclave's: 3333",
      "4 vCPUs, 2 of them the enclave's: 3333",
      "8 vCPUs, 6 of them the enclave's: 3333",
      "8 vCPUs, 6 of them the enclave's: 10000",
      "16 vCPUs, 14 of them the enclave's: 3333",
      "16 vCPUs, 14 of them the enclave's: 23333",
    ]);
  });

  test("names KMS, the cores and the shares in the table", () => {
    const table = formatTable(coresRows([cell({ atOnce: 1, replays: false }, {})], PARTS));
    assert.match(table, /Pinned clients, verifying KMS, 1 at once/);
    assert.match(table, /1 core .*of it 0\.300 ms on the loop; KMS 0\.0600 ms$/m);
  });

  test("judges nothing where nothing can be pinned", () => {
    assert.deepEqual(judgeCores([]).map(({ outcome }) => outcome), new Array(3).fill("not measured"));
  });

  test("takes no slice in which a decrypt failed", () => {
    const slice = { latenciesMs: [1, 3], perSecond: 500, cpuMs: 0, failures: {}, loopDelaysMs: [4] };
    const before = { all: 10, loop: 10, kms: 0 };
    const after = { all: 14, loop: 12, kms: 1 };
    const expected = { p50Ms: 2, perSecond: 500, cpuMs: 2, loopMs: 1, kmsMs: 0.5, delayP99Ms: 4 };
    assert.deepEqual(costsOf(slice, before, after), expected);
    assert.throws(() => costsOf({ ...slice, failures: { TIMEOUT: 1 } }, before, after), /TIMEOUT/);
  });
});
