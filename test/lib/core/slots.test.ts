import assert from "node:assert/strict";
import { describe, test } from "#test";
import { Slots } from "../../../lib/core/slots.ts";

const never = new AbortController().signal;

/** Whether a promise has settled by now: a few turns of the loop later. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol("open");
  const turns = new Promise((resolve) => setTimeout(() => resolve(open), 5));
  return await Promise.race([promise.catch(() => {}), turns]) !== open;
}

describe("Slots", () => {
  test("as many at once as there are, then one for each that is freed, in the order they came", async () => {
    const slots = new Slots(2);
    const [first, second] = [await slots.take(never), await slots.take(never)];
    const [third, fourth] = [slots.take(never), slots.take(never)];
    assert.equal(await isSettled(third), false);
    first[Symbol.dispose]();
    const inThird = await third;
    assert.equal(await isSettled(fourth), false);
    second[Symbol.dispose]();
    const inFourth = await fourth;
    inThird[Symbol.dispose]();
    inFourth[Symbol.dispose]();
    using _fifth = await slots.take(never);
    using _sixth = await slots.take(never);
    assert.equal(await isSettled(slots.take(never)), false);
  });

  test("who is handed a slot is not passed by who comes at that moment", async () => {
    const slots = new Slots(1);
    const first = await slots.take(never);
    const waiting = slots.take(never);
    first[Symbol.dispose]();
    const late = slots.take(never);
    using _turn = await waiting;
    assert.equal(await isSettled(late), false);
  });

  test("an abort ends the wait with its reason, and the turn goes to the next", async () => {
    const slots = new Slots(1);
    const first = await slots.take(never);
    const controller = new AbortController();
    const aborted = slots.take(controller.signal);
    const next = slots.take(never);
    const last = slots.take(never);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(aborted, reason);
    assert.equal(await isSettled(next), false);
    first[Symbol.dispose]();
    const turn = await next;
    assert.equal(await isSettled(last), false);
    turn[Symbol.dispose]();
    using _last = await last;
  });

  test("takes no slot for a caller that has given up already", async () => {
    const slots = new Slots(1);
    const reason = new Error("enough");
    await assert.rejects(slots.take(AbortSignal.abort(reason)), reason);
    using _slot = await slots.take(never);
  });

  test("an abort after its turn changes nothing, and leaves no listener behind", async () => {
    const slots = new Slots(1);
    const first = await slots.take(never);
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));
    const second = slots.take(signal);
    const third = slots.take(never);
    first[Symbol.dispose]();
    const turn = await second;
    assert.equal(listeners, 0);
    controller.abort(new Error("too late"));
    assert.equal(await isSettled(third), false);
    turn[Symbol.dispose]();
    using _third = await third;
  });
});
