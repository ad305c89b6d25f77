import assert from "node:assert/strict";
import fc from "fast-check";
import { median, medianRatio, quantile, seededRandom, shuffle, summarize } from "../../bench/statistics.ts";
import { describe, test } from "#test";

describe("statistics", () => {
  test("quantile() interpolates, and takes values in any order", () => {
    assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
    assert.equal(quantile([10, 30, 20], 0.5), 20);
    assert.equal(quantile([10, 20], 0.99), 19.9);
    assert.equal(quantile([7], 0.99), 7);
    assert.ok(Number.isNaN(quantile([], 0.5)));
  });

  test("quantile() lies between the values, and grows with the share", () => {
    const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1 });
    const share = fc.double({ noNaN: true, min: 0, max: 1 });
    fc.assert(fc.property(values, share, share, (list, one, other) => {
      const [low, high] = [Math.min(one, other), Math.max(one, other)];
      const [below, above] = [quantile(list, low), quantile(list, high)];
      assert.ok(below >= Math.min(...list) && above <= Math.max(...list) && below <= above);
    }));
  });

  test("median() leaves out what was not measured", () => {
    assert.equal(median([NaN, 3, 1, NaN, 2]), 2);
    assert.ok(Number.isNaN(median([NaN])));
  });

  test("summarize() counts a disturbed round once, however many values it has", () => {
    const disturbed = Array.from({ length: 100 }, () => 50);
    const { p50, p99, count } = summarize([[1, 1, 1], disturbed, [2, 2, 2]]);
    assert.deepEqual({ p50, p99, count }, { p50: 2, p99: 50, count: 106 });
  });

  test("medianRatio() compares within rounds: a slow machine does not show", () => {
    assert.equal(medianRatio([2, 200, 20], [1, 100, 10]), 2);
    assert.equal(medianRatio([2, NaN, 30], [1, 100, 10]), 2.5);
    assert.ok(Number.isNaN(medianRatio([1], [])));
  });

  test("shuffle() keeps every item, and a seed repeats the order", () => {
    fc.assert(fc.property(fc.array(fc.integer()), fc.integer(), (items, seed) => {
      const [once, again] = [shuffle(items, seededRandom(seed)), shuffle(items, seededRandom(seed))];
      assert.deepEqual(once, again);
      assert.deepEqual(once.toSorted(), items.toSorted());
    }));
  });

  test("shuffle() brings every item to every place", () => {
    const random = seededRandom(1);
    const first = Array.from({ length: 3000 }, () => shuffle([0, 1, 2], random)[0]);
    for (const item of [0, 1, 2]) {
      const count = first.filter((value) => value === item).length;
      assert.ok(count > 900 && count < 1100, `${item} came first ${count} times of 3000`);
    }
  });
});
