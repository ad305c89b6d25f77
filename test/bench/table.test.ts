import assert from "node:assert/strict";
import { formatTable, number } from "../../bench/table.ts";
import { describe, test } from "#test";

describe("table", () => {
  test("formatTable() aligns columns under one heading for each section", () => {
    const table = formatTable([
      {
        section: "Decrypts",
        what: "direct",
        runtime: "Node",
        p50: 1.234,
        unit: "ms",
        ratio: 2,
        baseline: "floor",
      },
      { section: "Decrypts", what: "floor", runtime: "Deno", p50: 123.4, unit: "ms" },
      { section: "Policies", what: "Cedar", runtime: "Node", p50: 0.5, unit: "ms" },
    ]);
    assert.deepEqual(table.split("\n").map((line) => line.replaceAll(/ {2,}/g, " | ")), [
      "Decrypts",
      "what | on | under | p50 | p99 | a second | CPU ms | CPU/floor | ratio | to",
      "direct | Node | 1.23 | ms | 2.00 | floor",
      "floor | Deno | 123 | ms",
      "",
      "Policies",
      "what | on | under | p50 | p99 | a second | CPU ms | CPU/floor | ratio | to",
      "Cedar | Node | 0.500 | ms",
    ]);
    const [first = "", second = ""] = table.split("\n").slice(2);
    assert.equal(first.indexOf(" ms"), second.indexOf(" ms"));
    assert.equal(first.indexOf("1.23") + 4, second.indexOf("123") + 3, "numbers end at the same place");
  });

  test("formatTable() names no baseline where there is no ratio", () => {
    const [, , line] = formatTable([
      { section: "a", what: "b", runtime: "Node", unit: "ms", ratio: NaN, baseline: "floor" },
    ]).split("\n");
    assert.doesNotMatch(line ?? "", /floor|NaN/);
  });

  test("number() keeps three digits that count", () => {
    const texts = [0.00123, 0.0456, 0.5, 1.005, 12.345, 123.45, 12_345.6, 0, -1.5].map(number);
    assert.deepEqual(texts, ["0.0012", "0.0456", "0.500", "1.00", "12.3", "123", "12346", "0", "-1.50"]);
    assert.equal(number(NaN), "");
    assert.equal(number(undefined), "");
    assert.equal(number(Infinity), "Infinity");
  });
});
