import assert from "node:assert/strict";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import { Deadline } from "../../../../lib/core/deadline.ts";
import {
  DocumentCache,
  KEPT_FRESH_LIFETIMES,
  type Schedule,
} from "../../../../lib/kms/recipient/document_cache.ts";
import { MAX_SILENCE_MS, NsmQueue } from "../../../../lib/nsm/nsm_queue.ts";
import type { Recipient } from "../../../../lib/kms/recipient/recipient.ts";
import { AttestationError, TimeoutError } from "../../../../lib/core/errors.ts";
import type { SecretBytes } from "../../../../lib/core/secret_bytes.ts";

/** A recipient whose documents come when the test wants: the n-th holds the byte n. */
class SlowRecipient implements Recipient {
  readonly asked: PromiseWithResolvers<Uint8Array>[] = [];

  attestationDocument(): Promise<Uint8Array> {
    const document = Promise.withResolvers<Uint8Array>();
    this.asked.push(document);
    return document.promise;
  }

  answer(index: number): void {
    this.asked[index]?.resolve(new Uint8Array([index]));
  }

  open(): SecretBytes {
    throw new Error("not asked for");
  }

  [Symbol.dispose](): void {}
}

const unavailable = new AttestationError("UNAVAILABLE", "gone", { hint: "none" });

describe("DocumentCache", () => {
  test("asks once for calls at the same time, and keeps the document for its age", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 40, new NsmQueue());
    using deadline = new Deadline("test", 60_000);
    const calls = [cache.get(deadline), cache.get(deadline), cache.get(deadline)];
    recipient.answer(0);
    for (const document of await Promise.all(calls)) assert.deepEqual(document, new Uint8Array([0]));
    assert.deepEqual(await cache.get(deadline), new Uint8Array([0]));
    await sleep(60);
    const next = cache.get(deadline);
    recipient.answer(1);
    assert.deepEqual(await next, new Uint8Array([1]));
    assert.equal(recipient.asked.length, 2);
  });

  test("counts the age from the question, not from the answer", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 40, new NsmQueue());
    using deadline = new Deadline("test", 60_000);
    const first = cache.get(deadline);
    await sleep(60);
    recipient.answer(0);
    await first;
    void cache.get(deadline).catch(() => {});
    assert.equal(recipient.asked.length, 2);
  });

  test("asks once, one after the other, however long the process has run", async () => {
    const { now } = performance;
    performance.now = () => now.call(performance) + 10 * MAX_SILENCE_MS;
    try {
      const line = new NsmQueue();
      const [first, second] = [new SlowRecipient(), new SlowRecipient()];
      const cache = new DocumentCache(first, 1000, line);
      using deadline = new Deadline("test", 60_000);
      const calls = [cache.get(deadline), cache.get(deadline)];
      const other = new DocumentCache(second, 1000, line).get(deadline);
      await turn();
      assert.deepEqual([first.asked.length, second.asked.length], [1, 0]);
      first.answer(0);
      await Promise.all(calls);
      await turn();
      second.answer(0);
      await other;
      assert.deepEqual([first.asked.length, second.asked.length], [1, 1]);
    } finally {
      performance.now = now;
    }
  });

  test("plans nothing after a first question that failed: whoever comes next asks", async () => {
    const planned: number[] = [];
    const schedule: Schedule = (delayMs) => {
      planned.push(delayMs);
      return { [Symbol.dispose]() {} };
    };
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 1000, new NsmQueue(), schedule);
    using deadline = new Deadline("test", 60_000);
    const failing = cache.get(deadline);
    await turn();
    recipient.asked[0]?.reject(unavailable);
    await assert.rejects(failing, unavailable);
    assert.deepEqual(planned, []);
  });

  test("keeps nothing when the age is zero", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 0, new NsmQueue());
    using deadline = new Deadline("test", 60_000);
    for (let i = 0; i < 3; i++) {
      const call = cache.get(deadline);
      recipient.answer(i);
      assert.deepEqual(await call, new Uint8Array([i]));
    }
  });

  test("lets one caller give up without failing the others", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 1000, new NsmQueue());
    using patient = new Deadline("test", 60_000);
    using short = new Deadline("test", 20);
    const controller = new AbortController();
    using aborted = new Deadline("test", 5000, controller.signal);
    const reason = new Error("enough");
    const waiting = cache.get(patient);
    const failures = [
      assert.rejects(cache.get(short), TimeoutError),
      assert.rejects(cache.get(aborted), reason),
    ];
    controller.abort(reason);
    await Promise.all(failures);
    recipient.answer(0);
    assert.deepEqual(await waiting, new Uint8Array([0]));
    assert.deepEqual(await cache.get(patient), new Uint8Array([0]));
  });

  test("does not ask at all for a caller whose time is up", async () => {
    const recipient = new SlowRecipient();
    const reason = new Error("no");
    using deadline = new Deadline("test", 5000, AbortSignal.abort(reason));
    await assert.rejects(new DocumentCache(recipient, 1000, new NsmQueue()).get(deadline), reason);
    assert.equal(recipient.asked.length, 0);
  });

  test("fails all who wait when the NSM fails, and asks again for the next", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 1000, new NsmQueue());
    using deadline = new Deadline("test", 60_000);
    const calls = [cache.get(deadline), cache.get(deadline)];
    const failures = Promise.all(calls.map((call) => assert.rejects(call, unavailable)));
    recipient.asked[0]?.reject(unavailable);
    await failures;
    const next = cache.get(deadline);
    recipient.answer(1);
    assert.deepEqual(await next, new Uint8Array([1]));
  });

  test("asks for the next before the old one is too old, and nobody waits", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 10_000, new NsmQueue());
    using deadline = new Deadline("test", 60_000);
    const first = cache.get(deadline);
    recipient.answer(0);
    await first;
    await later(7_400, async () => {
      assert.deepEqual(await cache.get(deadline), new Uint8Array([0]));
      assert.equal(recipient.asked.length, 1);
    });
    await later(7_600, async () => {
      for (let i = 0; i < 3; i++) assert.deepEqual(await cache.get(deadline), new Uint8Array([0]));
      await turn();
      assert.equal(recipient.asked.length, 2);
      recipient.answer(1);
      await turn();
      assert.deepEqual(await cache.get(deadline), new Uint8Array([1]));
    });
    assert.equal(recipient.asked.length, 2);
  });

  test("keeps the old one when the next cannot be had, and asks again", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 10_000, new NsmQueue());
    using deadline = new Deadline("test", 60_000);
    const first = cache.get(deadline);
    recipient.answer(0);
    await first;
    await later(8_000, async () => {
      for (let i = 1; i < 3; i++) {
        assert.deepEqual(await cache.get(deadline), new Uint8Array([0]));
        await turn();
        recipient.asked[i]?.reject(unavailable);
        await turn();
      }
      assert.equal(recipient.asked.length, 3);
    });
  });

  test("does not ask a silent NSM a second time, until its driver must have given up", async () => {
    const recipient = new SlowRecipient();
    const cache = new DocumentCache(recipient, 300_000, new NsmQueue());
    for (let i = 0; i < 3; i++) {
      using short = new Deadline("test", 5);
      await assert.rejects(cache.get(short), TimeoutError);
    }
    assert.equal(recipient.asked.length, 1);
    using deadline = new Deadline("test", 60_000);
    await later(MAX_SILENCE_MS, async () => {
      const next = cache.get(deadline);
      await turn();
      assert.equal(recipient.asked.length, 2);
      recipient.answer(1);
      assert.deepEqual(await next, new Uint8Array([1]));
      recipient.answer(0);
      await turn();
      assert.deepEqual(await cache.get(deadline), new Uint8Array([1]));
    });
  });

  test("waits for the questions of another cache on the same line", async () => {
    const line = new NsmQueue();
    const [one, other] = [new SlowRecipient(), new SlowRecipient()];
    using deadline = new Deadline("test", 60_000);
    const calls = [one, other].map((recipient) => new DocumentCache(recipient, 1000, line).get(deadline));
    await turn();
    assert.deepEqual([one.asked.length, other.asked.length], [1, 0]);
    one.asked[0]?.reject(unavailable);
    await assert.rejects(calls[0]!, unavailable);
    await turn();
    other.answer(0);
    assert.deepEqual(await calls[1], new Uint8Array([0]));
  });
});

/** Timers that go off when the test wants. */
class TestTimers {
  readonly pending: { readonly delayMs: number; readonly run: () => void }[] = [];
  readonly schedule: Schedule = (delayMs, run) => {
    const timer = { delayMs, run };
    this.pending.push(timer);
    return { [Symbol.dispose]: () => void this.pending.splice(this.pending.indexOf(timer), 1) };
  };

  /** The one timer goes off. */
  async fire(): Promise<void> {
    assert.equal(this.pending.length, 1);
    this.pending.shift()?.run();
    await turn();
  }
}

describe("DocumentCache asks ahead of time", () => {
  const MAX_AGE_MS = 10_000;
  const setUp = async () => {
    const recipient = new SlowRecipient();
    const timers = new TestTimers();
    const line = new NsmQueue();
    const cache = new DocumentCache(recipient, MAX_AGE_MS, line, timers.schedule);
    using deadline = new Deadline("test", 60_000);
    const first = cache.get(deadline);
    await turn();
    assert.equal(timers.pending.length, 0);
    recipient.answer(0);
    await first;
    return { recipient, timers, line, cache };
  };
  const getNow = async (cache: DocumentCache) => {
    using deadline = new Deadline("test", 60_000);
    return await cache.get(deadline);
  };

  test("so that the first call after a pause finds a document that is good", async () => {
    const { recipient, timers, cache } = await setUp();
    const [timer] = timers.pending;
    assert.ok(timer !== undefined && timer.delayMs <= 7_500 && timer.delayMs > 5_000, `${timer?.delayMs}`);
    await later(7_500, async () => {
      await timers.fire();
      assert.equal(recipient.asked.length, 2);
      recipient.answer(1);
      await turn();
    });
    await later(14_000, async () => assert.deepEqual(await getNow(cache), new Uint8Array([1])));
    assert.equal(recipient.asked.length, 2);
  });

  test("and still hands out none that is too old", async () => {
    const { recipient, timers, cache } = await setUp();
    await later(MAX_AGE_MS, async () => {
      await timers.fire();
      const next = getNow(cache);
      await turn();
      recipient.answer(1);
      assert.deepEqual(await next, new Uint8Array([1]));
      assert.equal(recipient.asked.length, 2);
    });
  });

  test("for a while after the last call, and again after the next", async () => {
    const { recipient, timers, cache } = await setUp();
    let asked = 1;
    for (; timers.pending.length > 0 && asked < 100; asked = recipient.asked.length) {
      await later(asked * 7_500, async () => {
        await timers.fire();
        recipient.answer(asked);
        await turn();
      });
    }
    // The last question before ten lifetimes have passed since the call.
    assert.equal(asked, Math.ceil(KEPT_FRESH_LIFETIMES / 0.75));
    await later(1_000_000, async () => {
      const next = getNow(cache);
      await turn();
      recipient.answer(asked);
      assert.deepEqual(await next, new Uint8Array([asked]));
      assert.equal(timers.pending.length, 1);
    });
  });

  test("and again soon when there was no answer, which is nobody's failure", async () => {
    const { recipient, timers, cache } = await setUp();
    await later(7_500, async () => {
      await timers.fire();
      recipient.asked[1]?.reject(unavailable);
      await turn();
      assert.equal(timers.pending[0]?.delayMs, MAX_AGE_MS / 4);
      assert.deepEqual(await getNow(cache), new Uint8Array([0]));
    });
  });

  test("in line with the questions of others, and of nobody twice", async () => {
    const { recipient, timers, line, cache } = await setUp();
    const other = Promise.withResolvers<void>();
    const running = line.run(() => other.promise);
    await later(7_500, async () => {
      await timers.fire();
      assert.deepEqual(await getNow(cache), new Uint8Array([0]));
      await turn();
      assert.equal(recipient.asked.length, 1);
      other.resolve();
      await running;
      await turn();
      assert.equal(recipient.asked.length, 2);
    });
  });

  test("not when it keeps none, and not after dispose", async () => {
    const { recipient, timers, cache } = await setUp();
    await later(7_500, async () => {
      await timers.fire();
      cache[Symbol.dispose]();
      recipient.answer(1);
      await turn();
      assert.equal(timers.pending.length, 0);
      // A call that began before.
      assert.deepEqual(await getNow(cache), new Uint8Array([1]));
    });
    const disposed = await setUp();
    disposed.cache[Symbol.dispose]();
    disposed.cache[Symbol.dispose]();
    assert.equal(disposed.timers.pending.length, 0);
    const none = new DocumentCache(recipient, 0, new NsmQueue(), timers.schedule);
    const only = getNow(none);
    await turn();
    recipient.answer(2);
    await only;
    assert.equal(timers.pending.length, 0);
  });
});

/** Runs something as if so many milliseconds had passed. */
async function later(ms: number, run: () => Promise<void>): Promise<void> {
  const { now } = performance;
  performance.now = () => now.call(performance) + ms;
  try {
    await run();
  } finally {
    performance.now = now;
  }
}
