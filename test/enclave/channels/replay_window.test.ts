import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ReplayWindow } from "../../../enclave/channels/replay_window.ts";

const START = Date.UTC(2026, 10, 30, 8);

describe("ReplayWindow", () => {
  test("takes an id once", () => {
    const { window } = at(START);
    assert.equal(window.take("a", START), "first");
    assert.equal(window.take("a", START), "repeated");
    assert.equal(window.take("b", START), "first");
  });

  test("refuses dates outside of the window, at its borders", () => {
    const { window } = at(START);
    assert.equal(window.take("a", START - 60_000), "first");
    assert.equal(window.take("b", START - 61_000), "outside");
    assert.equal(window.take("c", START + 30_000), "first");
    assert.equal(window.take("d", START + 31_000), "outside");
    assert.equal(window.take("e", NaN), "outside");
    assert.equal(window.take("f", Infinity), "outside");
  });

  test("never takes an id again, however time passes, until its date is refused", () => {
    const { window, clock } = at(START);
    for (let date = START - 60_000; date <= START + 30_000; date += 1000) window.take("a", date);
    for (let passed = 0; passed < 200_000; passed += 700) {
      clock.now = START + passed;
      for (let date = START - 60_000; date <= START + 30_000; date += 1000) {
        assert.notEqual(window.take("a", date), "first", `${date} after ${passed} ms`);
      }
    }
  });

  test("takes an id once, with another date, too", () => {
    for (const [first, later] of [[0, 30_000], [30_000, 0], [-60_000, 30_000], [-30_000, -29_000]] as const) {
      const { window, clock } = at(START);
      assert.equal(window.take("a", START + first), "first");
      assert.equal(window.take("a", START + later), "repeated");
      for (let passed = 0; passed < 300_000; passed += 500) {
        clock.now = START + passed;
        for (const date of [first, later]) assert.notEqual(window.take("a", START + date), "first");
      }
    }
  });

  test("takes none whose date was ahead once it was sealed again, with one up to two minutes earlier", () => {
    for (const [aheadMs, verdict] of [[120_000, "repeated"], [181_000, "first"]] as const) {
      const { window, clock } = at(START);
      assert.equal(window.take("a", START + aheadMs), "outside");
      assert.equal(window.take("a", START), "first");
      clock.now = START + aheadMs + 60_000;
      assert.equal(window.take("a", START + aheadMs), verdict);
    }
  });

  test("does not take what it forgot when its clock is set back", () => {
    const { window, clock } = at(START);
    assert.equal(window.take("a", START), "first");
    clock.now = START + 61_000;
    assert.equal(window.take("b", START + 61_000), "first");
    clock.now = START;
    assert.equal(window.take("a", START), "outside");
  });

  test("takes none when it is full, and forgets none early", () => {
    const { window, clock } = at(START, { maxRequests: 3 });
    for (const id of ["a", "b", "c"]) assert.equal(window.take(id, START), "first");
    assert.equal(window.take("d", START), "full");
    assert.equal(window.take("a", START), "repeated");
    clock.now = START + 180_000;
    assert.equal(window.take("d", START + 180_000), "full");
    clock.now = START + 180_001;
    assert.equal(window.take("d", START + 180_001), "first");
    clock.now = START + 86_400_000;
    for (const id of ["a", "b", "c"]) assert.equal(window.take(id, clock.now), "first", "a day later");
    assert.equal(window.take("d", clock.now), "full");
  });

  test("goes by the time at the start and what has passed", () => {
    const window = new ReplayWindow();
    assert.ok(Math.abs(window.nowMs - Date.now()) < 3_600_000);
    assert.equal(window.take("a", window.nowMs), "first");
  });
});

function at(now: number, options: { readonly maxRequests?: number } = {}) {
  const clock = { now };
  return { clock, window: new ReplayWindow({ ...options, now: () => clock.now }) };
}
