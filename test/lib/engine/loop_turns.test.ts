import assert from "node:assert/strict";
import { setImmediate, setTimeout } from "node:timers";
import { LoopTurns } from "../../../lib/engine/loop_turns.ts";
import { describe, test } from "#test";

const COUNT = 16;

/** Says which turn of the event loop it is. */
function countTurns(): { now(): number } & Disposable {
  let turn = 0;
  let isOver = false;
  const tick = () => {
    turn++;
    if (!isOver) setImmediate(tick);
  };
  setImmediate(tick);
  return {
    now: () => turn,
    [Symbol.dispose]: () => isOver = true,
  };
}

describe("LoopTurns", () => {
  test("who comes first does not wait for a turn", async () => {
    using turns = countTurns();
    await new LoopTurns().take();
    assert.equal(turns.now(), 0);
  });

  test("of many at once, each gets a turn of its own, in order", async () => {
    using turns = countTurns();
    const openings = new LoopTurns();
    const taken: { readonly index: number; readonly turn: number }[] = [];
    await Promise.all(Array.from({ length: COUNT }, async (_, index) => {
      await openings.take();
      taken.push({ index, turn: turns.now() });
    }));
    assert.deepEqual(taken.map(({ index }) => index), Array.from({ length: COUNT }, (_, index) => index));
    assert.equal(new Set(taken.map(({ turn }) => turn)).size, COUNT);
  });

  test("timers fire in between", async () => {
    const openings = new LoopTurns();
    let fired = 0;
    let done = false;
    const again = () => {
      fired++;
      if (!done) setTimeout(again, 0);
    };
    setTimeout(again, 0);
    await Promise.all(Array.from({ length: COUNT }, async () => {
      await openings.take();
      const end = performance.now() + 3;
      while (performance.now() < end);
    }));
    done = true;
    assert.ok(fired >= COUNT / 2, `${fired} timers in ${COUNT} turns`);
  });

  test("when all have had theirs, the next does not wait", async () => {
    const openings = new LoopTurns();
    await Promise.all([openings.take(), openings.take()]);
    await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
    using turns = countTurns();
    await openings.take();
    assert.equal(turns.now(), 0);
  });
});
