import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Path } from "../../bench/paths/path.ts";
import type { Sample } from "../../bench/setting.ts";
import { measureSlice, type SliceOrder } from "../../bench/slice.ts";
import { describe, test } from "#test";

const SAMPLES: readonly Sample[] = [{ ciphertext: "QQ==", plaintext: "Qg==" }, {
  ciphertext: "Qw==",
  plaintext: "RA==",
}];
const ORDER: SliceOrder = { roundTripMs: 0, atOnce: 3, forMs: 30 };

const pathOf = (decrypt: Path["decrypt"]): Path => ({
  decrypt,
  [Symbol.asyncDispose]: () => Promise.resolve(),
});

describe("slice", () => {
  test("measureSlice() keeps as many calls in flight as it is told, over all samples in turn", async () => {
    let [running, most, calls] = [0, 0, 0];
    const seen = new Set<Sample>();
    const path = pathOf(async (sample) => {
      seen.add(sample);
      calls++;
      most = Math.max(most, ++running);
      await sleep(2);
      running--;
      return true;
    });
    const slice = await measureSlice(path, SAMPLES, ORDER);
    assert.equal(most, 3);
    assert.equal(seen.size, SAMPLES.length);
    assert.equal(slice.latenciesMs.length, calls);
    assert.ok(slice.latenciesMs.every((latency) => latency >= 1));
    assert.ok(slice.perSecond > 0 && slice.perSecond <= 3 / 0.001, String(slice.perSecond));
  });

  test("measureSlice() makes each lane call once, however short the time", async () => {
    const slice = await measureSlice(pathOf(() => Promise.resolve(true)), SAMPLES, { ...ORDER, forMs: 0 });
    assert.equal(slice.latenciesMs.length, 3);
  });

  test("measureSlice() does not count what it warms up with", async () => {
    let calls = 0;
    const path = pathOf(() => Promise.resolve(++calls > 0));
    const slice = await measureSlice(path, SAMPLES, { ...ORDER, forMs: 0, warmUpMs: 0 });
    assert.equal(calls, 6);
    assert.equal(slice.latenciesMs.length, 3);
  });

  test("measureSlice() counts failures by code or signal, and leaves their time out", async () => {
    const kinds = [{ code: "ERR_KMS" }, { signal: "SIGSEGV" }];
    let failedMs = 0;
    const path = pathOf(async () => {
      const kind = kinds.shift();
      if (kind === undefined) return true;
      const since = performance.now();
      await sleep(20);
      failedMs += performance.now() - since;
      throw Object.assign(new Error("no"), kind);
    });
    // It goes on until a first call succeeds, whatever the time.
    const startedAt = performance.now();
    const slice = await measureSlice(path, SAMPLES, { ...ORDER, atOnce: 1, forMs: 0 });
    const elapsedMs = performance.now() - startedAt;
    assert.deepEqual(slice.failures, { ERR_KMS: 1, SIGSEGV: 1 });
    assert.ok(failedMs > 30, String(failedMs));
    assert.ok(slice.perSecond >= 1000 / (elapsedMs - failedMs), `${slice.perSecond} of ${elapsedMs} ms`);
  });

  test("measureSlice() tries a few times for a first success, and gives up then", async () => {
    let calls = 0;
    const crashing = pathOf(() => Promise.reject(Object.assign(new Error("no"), { signal: "SIGSEGV" })));
    const order = { ...ORDER, atOnce: 1, forMs: 0 };
    const none = await measureSlice(crashing, SAMPLES, order);
    assert.deepEqual([none.latenciesMs.length, none.perSecond, none.failures], [0, 0, { SIGSEGV: 4 }]);
    const third = pathOf(() => ++calls < 3 ? crashing.decrypt(SAMPLES[0]!) : Promise.resolve(true));
    const one = await measureSlice(third, SAMPLES, order);
    assert.deepEqual([calls, one.latenciesMs.length, one.failures], [3, 1, { SIGSEGV: 2 }]);
  });

  test("measureSlice() ends the benchmark over a wrong plaintext", async () => {
    const path = pathOf((sample) => Promise.resolve(sample !== SAMPLES[1]));
    await assert.rejects(measureSlice(path, SAMPLES, ORDER), /wrong plaintext/);
  });

  test("measureSlice() sees how late the event loop is", async () => {
    let calls = 0;
    const path = pathOf(async () => {
      if (++calls > 1) return await sleep(5, true);
      await sleep(1);
      const end = performance.now() + 15;
      while (performance.now() < end);
      throw new Error("there is a second call, during which the watch sees that it was late");
    });
    const order = { ...ORDER, atOnce: 1, forMs: 0, watchesLoop: true };
    const { loopDelaysMs } = await measureSlice(path, SAMPLES, order);
    assert.ok(Math.max(...loopDelaysMs) >= 13, String(loopDelaysMs));
    const none = await measureSlice(path, SAMPLES, { ...order, watchesLoop: false });
    assert.deepEqual(none.loopDelaysMs, []);
  });

  test("measureSlice() counts this process's processor time", async () => {
    const path = pathOf(() => {
      const end = performance.now() + 60;
      while (performance.now() < end);
      return Promise.resolve(true);
    });
    const { cpuMs } = await measureSlice(path, SAMPLES, { ...ORDER, atOnce: 1, forMs: 0 });
    assert.ok(cpuMs > 0, String(cpuMs));
  });
});
