import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import process from "node:process";
import { describe, test } from "#test";
import { Deadline } from "../../../lib/core/deadline.ts";
import { TimeoutError } from "../../../lib/core/errors.ts";
import { TIMEOUT_STAGES } from "../../../lib/core/timeout_stage.ts";

const never = () => new Promise<never>(() => {});

describe("Deadline", () => {
  test("race() settles as the work does", async () => {
    using deadline = new Deadline("test", 1000);
    assert.equal(await deadline.race(Promise.resolve(7)), 7);
    const failure = new Error("no");
    await assert.rejects(deadline.race(Promise.reject(failure)), (error) => error === failure);
  });

  test("race() and sleep() reject with a TimeoutError when the time is up", async () => {
    using deadline = new Deadline("test", 10);
    await assert.rejects(deadline.race(never()), (error) => {
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.message, "Cannot test: not done within 10 ms");
      assert.equal(error.stage, "process");
      return true;
    });
    await assert.rejects(deadline.sleep(10_000), TimeoutError);
    await assert.rejects(deadline.race(Promise.resolve(1)), TimeoutError);
    assert.throws(() => deadline.throwIfPassed(), TimeoutError);
    assert.equal(deadline.remainingMs, 0);
  });

  test("the caller's reason is passed on, whatever it is", async () => {
    for (const reason of [new Error("enough"), "enough", 0]) {
      const aborter = new AbortController();
      using deadline = new Deadline("test", 1000, aborter.signal);
      const waiting = deadline.race(never());
      aborter.abort(reason);
      await assert.rejects(waiting, (error) => error === reason);
    }
  });

  test("names what was waited for when the time was up, whatever was waited for before", async () => {
    using first = new Deadline("test", 5, undefined, "nsm");
    await assert.rejects(first.race(never()), {
      stage: "nsm",
      message: /no answer from the NSM within 5 ms$/,
    });
    using later = new Deadline("test", 5, undefined, "nsm");
    later.stage = "tls";
    await assert.rejects(later.race(never()), {
      stage: "tls",
      message: /no TLS handshake with KMS within 5/,
    });
    later.stage = "kms";
    await assert.rejects(later.race(never()), { stage: "tls" });
  });

  test("has a message and a hint of its own for each stage", () => {
    const texts = Object.values(TIMEOUT_STAGES);
    assert.equal(new Set(texts.map(({ missing }) => missing)).size, texts.length);
    assert.equal(new Set(texts.map(({ hint }) => hint)).size, texts.length);
  });

  test("remainingMs counts down, and is zero after an abort", async () => {
    const aborter = new AbortController();
    using deadline = new Deadline("test", 60_000, aborter.signal);
    const before = deadline.remainingMs;
    assert.ok(before > 0 && before <= 60_000);
    await deadline.sleep(5);
    assert.ok(deadline.remainingMs < before);
    aborter.abort();
    assert.equal(deadline.remainingMs, 0);
  });

  test("sleep() waits as long as it is told, and leaves no timer behind", async () => {
    using deadline = new Deadline("test", 60_000);
    let earlier = false;
    setTimeout(() => (earlier = true), 18);
    await deadline.sleep(20);
    assert.ok(earlier, "a timer that was due before it");
    const { clearTimeout: original } = globalThis;
    const cleared: unknown[] = [];
    globalThis.clearTimeout = (timer) => (cleared.push(timer), original(timer));
    try {
      await deadline.sleep(1);
    } finally {
      globalThis.clearTimeout = original;
    }
    assert.equal(cleared.length, 1);
  });

  test("work that fails after the deadline has passed is nobody's", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    try {
      using deadline = new Deadline("test", 1000, AbortSignal.abort(new Error("enough")));
      const { promise, reject } = Promise.withResolvers<never>();
      await assert.rejects(deadline.race(promise), /enough/);
      reject(new Error("late"));
      await new Promise((resolve) => setTimeout(resolve, 10));
    } finally {
      process.off("unhandledRejection", note);
    }
    assert.deepEqual(unhandled, []);
  });

  test("dispose stops the timer", async () => {
    const deadline = new Deadline("test", 5);
    deadline[Symbol.dispose]();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(deadline.signal.aborted, false);
  });

  test("leaves no listener on a signal that lives longer", async () => {
    const aborter = new AbortController();
    for (let round = 0; round < 100; round++) {
      using deadline = new Deadline("test", 1000, aborter.signal);
      await deadline.race(Promise.resolve());
      assert.equal(EventEmitter.getEventListeners(deadline.signal, "abort").length, 0);
    }
    assert.equal(EventEmitter.getEventListeners(aborter.signal, "abort").length, 0);
  });
});
