import assert from "node:assert/strict";
import { describe, test } from "#test";
import { followSignal } from "../../aws_sdk/caller_signal.ts";

/** Signal that takes no listeners, as SDK clients may give. */
interface HandlerSignal {
  aborted: boolean;
  onabort: ((event: unknown) => void) | null;
}

describe("followSignal()", () => {
  test("listens to a signal of the platform until it is left", () => {
    const controller = new AbortController();
    let count = 0;
    const leave = followSignal(controller.signal, () => count++);
    const other = followSignal(controller.signal, () => count += 10);
    other();
    assert.equal(controller.signal.onabort, null);
    controller.abort();
    assert.equal(count, 1);
    leave();
  });

  test("follows a signal that has onabort only, and calls who was there before", () => {
    const calls: unknown[] = [];
    const signal: HandlerSignal = { aborted: false, onabort: (event) => calls.push(event) };
    followSignal(signal, () => calls.push("followed"));
    signal.onabort?.("event");
    assert.deepEqual(calls, ["event", "followed"]);
  });

  test("puts the handler of before back when it is left, and none where there was none", () => {
    const before = () => {};
    for (const onabort of [before, null]) {
      const signal: HandlerSignal = { aborted: false, onabort };
      followSignal(signal, () => assert.fail("it was left"))();
      assert.equal(signal.onabort, onabort);
    }
    const bare: { aborted: boolean; onabort?: unknown } = { aborted: false };
    followSignal(bare, () => {})();
    assert.equal(bare.onabort, null);
  });

  test("two requests of one signal end both, in whatever order they leave it", () => {
    const calls: string[] = [];
    const signal: HandlerSignal = { aborted: false, onabort: null };
    const leaveOne = followSignal(signal, () => calls.push("one"));
    followSignal(signal, () => calls.push("two"));
    signal.onabort?.({});
    assert.deepEqual(calls, ["one", "two"]);
    leaveOne();
    signal.onabort?.({});
    assert.deepEqual(calls, ["one", "two", "two"]);
  });

  test("a handler that was set later stays", () => {
    const signal: HandlerSignal = { aborted: false, onabort: null };
    const leave = followSignal(signal, () => {});
    const later = () => {};
    signal.onabort = later;
    leave();
    assert.equal(signal.onabort, later);
  });
});
