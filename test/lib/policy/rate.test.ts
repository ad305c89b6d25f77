import assert from "node:assert/strict";
import { describe, test } from "#test";
import { RateCounter } from "../../../lib/policy/mod.ts";

function counter(): { rate: RateCounter; wait: (ms: number) => void } {
  let now = 5000;
  const rate = new RateCounter({ windowSeconds: 60, now: () => now });
  return { rate, wait: (ms) => void (now += ms) };
}

describe("RateCounter", () => {
  test("sweeps seldom when many are recent: each sweep looks at all", () => {
    const { rate } = counter();
    const prototype = Map.prototype;
    const { entries } = prototype;
    let sweeps = 0;
    prototype[Symbol.iterator] = function () {
      if (this.size >= 1024) sweeps++;
      return entries.call(this);
    };
    try {
      for (let caller = 0; caller < 20_000; caller++) rate.reserve(`Token:issuer|${caller}`);
    } finally {
      prototype[Symbol.iterator] = entries;
    }
    assert.ok(sweeps > 0 && sweeps <= 5, `${sweeps} sweeps`);
    assert.equal(rate.recentCount("Token:issuer|0"), 1);
  });

  test("counts each caller by itself, with the request that asks", () => {
    const { rate } = counter();
    assert.deepEqual([7, 7, 8, 7].map((cid) => rate.reserve(String(cid)).count), [1, 2, 1, 3]);
  });

  test("many at once see different counts", () => {
    const { rate } = counter();
    const counts = Array.from({ length: 100 }, () => rate.reserve("7").count);
    assert.deepEqual(counts, Array.from({ length: 100 }, (_, index) => index + 1));
  });

  test("forgets what is older than the window, and not before", () => {
    const { rate, wait } = counter();
    rate.reserve("7");
    wait(59_000);
    assert.equal(rate.reserve("7").count, 2);
    wait(2000);
    assert.equal(rate.reserve("7").count, 2);
    wait(61_000);
    assert.equal(rate.reserve("7").count, 1);
  });

  test("what is given back does not count, and only once", () => {
    const { rate, wait } = counter();
    const first = rate.reserve("7");
    rate.reserve("7");
    first.giveBack();
    first.giveBack();
    assert.equal(rate.reserve("7").count, 2);
    const late = rate.reserve("7");
    wait(120_000);
    assert.equal(rate.reserve("7").count, 1);
    late.giveBack();
    assert.equal(rate.reserve("7").count, 2);
  });

  test("a reservation given back after its caller was forgotten harms nobody", () => {
    const { rate, wait } = counter();
    const reservations = Array.from({ length: 1024 }, (_, cid) => rate.reserve(String(cid)));
    wait(120_000);
    assert.equal(rate.reserve("5000").count, 1);
    reservations.forEach((reservation) => reservation.giveBack());
    assert.equal(rate.reserve("7").count, 1);
  });

  test("keeps no more callers than have asked in the window, from a thousand on", () => {
    const { prototype } = Map;
    const { set } = prototype;
    let largest = 0;
    prototype.set = function (key, value) {
      set.call(this, key, value);
      largest = Math.max(largest, this.size);
      return this;
    };
    try {
      const { rate, wait } = counter();
      for (let cid = 0; cid < 5000; cid++) {
        if (cid % 1024 === 0) wait(120_000);
        rate.reserve(String(cid));
      }
    } finally {
      prototype.set = set;
    }
    assert.equal(largest, 1024);
  });

  test("goes by the process's own clock when it is given none", () => {
    const { now } = performance;
    let later = 0;
    performance.now = () => now.call(performance) + later;
    try {
      const rate = new RateCounter({ windowSeconds: 10 });
      assert.deepEqual([rate.reserve("7").count, rate.reserve("7").count], [1, 2]);
      later = 20_000;
      assert.equal(rate.reserve("7").count, 1);
    } finally {
      performance.now = now;
    }
  });

  test("refuses a window that is none", () => {
    for (const windowSeconds of [0, -1, 1.5, 86_401]) {
      assert.throws(() => new RateCounter({ windowSeconds }), RangeError);
    }
  });
});
