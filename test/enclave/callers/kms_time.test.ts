import assert from "node:assert/strict";
import { describe, test } from "#test";
import { KmsTime } from "../../../enclave/callers/kms_time.ts";
import { EnginePool } from "../../../enclave/engine_pool.ts";
import { KmsClock } from "../../../lib/aws/kms_clock.ts";
import { startSimulator } from "../../../sim/mod.ts";

describe("KmsClock.timeMs", () => {
  test("goes on from KMS's last answer, whatever this machine's clock is set to", () => {
    let [date, sinceStart] = [1_000_000_000_000, 5000];
    const clock = new KmsClock(() => new Date(date), () => sinceStart);
    assert.equal(clock.timeMs, undefined);
    clock.compare(undefined);
    assert.equal(clock.timeMs, undefined, "an answer without a date tells nothing");
    clock.compare(date + 60_000);
    assert.equal(clock.timeMs, date + 60_000);
    const told = date + 60_000;
    [date, sinceStart] = [0, sinceStart + 2500];
    assert.equal(clock.timeMs, told + 2500);
    clock.compare(86_400_001);
    assert.equal(clock.timeMs, undefined, "a time that is more than a day off is not believed");
  });
});

describe("KmsTime", () => {
  test("asks KMS without credentials, and knows its time from then on", async () => {
    await using simulator = await startSimulator();
    simulator.kms.clockOffsetMs = 3_600_000;
    const { endpoint, nsm, trustedCertificates, region } = simulator.clientOptions;
    await using engines = new EnginePool({
      engine: "direct",
      endpoint,
      nsm,
      trustedCertificates,
      timeoutMs: 60_000,
    });
    const time = new KmsTime({ engines, region, timeoutMs: 60_000 });
    assert.equal(time.nowMs, undefined);
    assert.equal(await time.learn(), true);
    const ahead = (time.nowMs ?? 0) - Date.now();
    assert.ok(Math.abs(ahead - 3_600_000) < 60_000, `${ahead}`);
    const { requestCount } = simulator.kms;
    assert.equal(await time.learn(), true);
    assert.equal(simulator.kms.requestCount, requestCount, "what is known is not asked for");
  });

  test("asks one question in a second, and waits for it with others", async () => {
    let [now, kmsTimeMs] = [0, undefined as number | undefined];
    const answers: ((isAnswered: boolean) => void)[] = [];
    const engine = {
      askTime: () =>
        new Promise<void>((resolve) =>
          answers.push((isAnswered) => {
            if (isAnswered) kmsTimeMs = 7;
            resolve();
          })
        ),
    };
    const engines = {
      get kmsTimeMs() {
        return kmsTimeMs;
      },
      open: () => Promise.resolve(engine),
    } as unknown as EnginePool;
    const time = new KmsTime({ engines, region: "eu-west-1", timeoutMs: 60_000, now: () => now });
    const turn = async () => {
      for (let ticks = 0; ticks < 8; ticks++) await Promise.resolve();
    };
    const first = [time.learn(), time.learn(), time.learn()];
    await turn();
    assert.equal(answers.length, 1);
    answers[0]?.(false);
    assert.deepEqual(await Promise.all(first), [false, false, false]);
    assert.equal(await time.learn(), false);
    assert.equal(answers.length, 1, "not again in the same second");
    now = 1000;
    const second = time.learn();
    await turn();
    answers[1]?.(true);
    assert.equal(await second, true);
    assert.equal(time.nowMs, 7);
  });

  test("never rejects: a KMS that cannot be reached leaves the time unknown", async () => {
    const engines = {
      kmsTimeMs: undefined,
      open: () => Promise.reject(new Error("no")),
    } as unknown as EnginePool;
    const time = new KmsTime({ engines, region: "eu-west-1", timeoutMs: 60_000 });
    assert.equal(await time.learn(), false);
  });
});
