import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "#test";
import { Pauses } from "../../../lib/core/pauses.ts";

describe("Pauses", () => {
  const { now } = performance;
  let ms: number;

  beforeEach(() => {
    ms = 0;
    performance.now = () => ms;
  });
  afterEach(() => {
    performance.now = now;
  });

  /** Reads the next pause, in milliseconds. */
  function next(pauses: Pauses): number {
    pauses.begin();
    const startedAt = ms;
    while (!pauses.areOver) ms++;
    return ms - startedAt;
  }

  test("double up to the limit, and begin anew after a success", () => {
    const pauses = new Pauses({ firstMs: 10, maxMs: 50 }, () => 0);
    assert.equal(pauses.areOver, true);
    assert.deepEqual([1, 2, 3, 4, 5].map(() => next(pauses)), [10, 20, 40, 50, 50]);
    assert.equal(pauses.remainingMs, 0);
    pauses.begin();
    ms += 20;
    assert.deepEqual([pauses.remainingMs, pauses.areOver], [30, false]);
    pauses.reset();
    assert.equal(pauses.areOver, true);
    assert.equal(next(pauses), 10);
  });

  test("are cut by up to half at random", () => {
    for (const [random, length] of [[0, 100], [0.5, 75], [1, 50]] as const) {
      assert.equal(next(new Pauses({ firstMs: 100, maxMs: 100 }, () => random)), length);
    }
    const pauses = new Pauses({ firstMs: 1000, maxMs: 1000 });
    const lengths = Array.from({ length: 20 }, () => next(pauses));
    assert.ok(new Set(lengths).size > 1);
    assert.ok(lengths.every((length) => length >= 500 && length <= 1000));
  });

  test("stay at the limit after any number of failures", () => {
    const pauses = new Pauses({ firstMs: 1, maxMs: 3 }, () => 0);
    for (let failures = 0; failures < 2000; failures++) pauses.begin();
    assert.equal(next(pauses), 3);
  });
});
