import assert from "node:assert/strict";
import { afterEach, describe, test } from "#test";
import { Admission } from "../../enclave/admission.ts";
import { KmsPacing, type PacedTurn } from "../../enclave/kms_pacing.ts";
import { OverloadedError } from "../../enclave/service_errors.ts";

const QUOTA = "eu-central-1 AKIA1";
const patient = new AbortController().signal;
const { now } = performance;

/** Moves on the clock that pauses go by. */
function advance(ms: number): void {
  const before = performance.now;
  performance.now = () => before.call(performance) + ms;
}

/** Lets all promises settle that wait for nothing else. */
async function settle(): Promise<void> {
  for (let ticks = 0; ticks < 20; ticks++) await Promise.resolve();
}

afterEach(() => {
  performance.now = now;
});

class Paced {
  readonly admission: Admission;
  readonly pacing: KmsPacing;

  constructor(maxRunning = 64, maxWaiting = 512) {
    this.admission = new Admission(maxRunning, maxWaiting);
    this.pacing = new KmsPacing(this.admission);
  }

  get limit(): number {
    return this.pacing.limitOf(QUOTA);
  }

  enter(by: object = {}, quota = QUOTA, signal = patient): Promise<PacedTurn> {
    return this.pacing.entrance(quota).enter(by, signal);
  }

  /** Runs requests at once, with the same answer to all of them: one round trip. */
  async round(count: number, answer: "throttled" | "succeeded"): Promise<void> {
    const turns = await Promise.all(Array.from({ length: count }, () => this.enter()));
    for (const turn of turns) {
      turn[answer]();
      turn[Symbol.dispose]();
    }
  }

  /** Cuts the limit until one request runs at once. */
  async shrink(): Promise<void> {
    while (this.limit > 1) await this.round(1, "throttled");
  }
}

describe("the number of requests to KMS that run at once", () => {
  test("is halved once in a round trip, and never below one", async () => {
    const paced = new Paced();
    assert.equal(paced.limit, 64);
    const limits: number[] = [];
    for (let round = 0; round < 8; round++) {
      await paced.round(Math.min(10, paced.limit), "throttled");
      limits.push(paced.limit);
    }
    assert.deepEqual(limits, [32, 16, 8, 4, 2, 1, 1, 1]);
    assert.equal(paced.pacing.throttledCount, 10 + 10 + 10 + 8 + 4 + 2 + 1 + 1);
    assert.equal(paced.pacing.inside, 0);
  });

  test("is kept to: what runs goes on, and no more begin until fewer run", async () => {
    const paced = new Paced(8);
    await paced.round(1, "throttled");
    const running = await Promise.all([1, 2, 3, 4].map(() => paced.enter()));
    running[0]?.throttled();
    assert.equal(paced.limit, 2);
    let entered = 0;
    const waiting = paced.enter().then((turn) => {
      entered++;
      return turn;
    });
    for (const turn of running.slice(0, 2)) turn[Symbol.dispose]();
    await settle();
    assert.deepEqual([entered, paced.pacing.inside], [0, 3]);
    running[2]?.[Symbol.dispose]();
    (await waiting)[Symbol.dispose]();
    running[3]?.[Symbol.dispose]();
    assert.equal(paced.pacing.inside, 0);
  });

  test("grows by about one in a round trip, up to the maximum, and is then nobody's concern", async () => {
    const paced = new Paced(16);
    await paced.shrink();
    const limits: number[] = [];
    for (let round = 0; paced.limit < 16; round++) {
      assert.ok(round < 32, "recovers");
      const before = paced.limit;
      await paced.round(before, "succeeded");
      assert.ok(paced.limit - before <= 1);
      limits.push(paced.limit);
    }
    assert.equal(limits.at(-1), 16);
    await paced.round(16, "succeeded");
    assert.equal(paced.pacing.retryAfterSeconds(QUOTA), undefined);
    await paced.round(1, "throttled");
    assert.equal(paced.limit, 8, "the next cut begins at the maximum");
  });

  test("recovers from one to a thousand in some 70 round trips, and at most doubles in one", async () => {
    const paced = new Paced(1000, 0);
    await paced.shrink();
    let rounds = 0;
    for (; paced.limit < 1000; rounds++) {
      const before = paced.limit;
      await paced.round(before, "succeeded");
      assert.ok(paced.limit <= 2 * before);
    }
    assert.ok(rounds >= 64 && rounds <= 80, String(rounds));
  });

  test("does not grow by requests that began before the last cut", async () => {
    const paced = new Paced(2);
    const old = await Promise.all([paced.enter(), paced.enter()]);
    old[0]?.throttled();
    old[1]?.succeeded();
    assert.equal(paced.limit, 1);
    for (const turn of old) turn[Symbol.dispose]();
    const late = await paced.enter();
    late.succeeded();
    assert.equal(paced.limit, 2);
    late[Symbol.dispose]();
  });

  test("is not halved by a request from before an earlier time of throttling", async () => {
    const paced = new Paced(4);
    const slow = await paced.enter();
    await paced.round(1, "throttled");
    const shrunken = await paced.enter();
    while (paced.limit < 4) await paced.round(1, "succeeded");
    const fresh = await paced.enter();
    fresh.throttled();
    assert.equal(paced.limit, 2);
    slow.throttled();
    shrunken.throttled();
    shrunken.succeeded();
    assert.equal(paced.limit, 2);
    for (const turn of [slow, shrunken, fresh]) turn[Symbol.dispose]();
    assert.equal(paced.pacing.inside, 0);
  });

  test("follows a KMS that takes less and then more, and serves all callers alike", async () => {
    const paced = new Paced(32);
    const callers = Array.from({ length: 12 }, () => ({ served: 0, waiting: 0 }));
    let running: { caller: typeof callers[number]; turn: PacedTurn }[] = [];
    /** One round trip: KMS takes as many as it can, and throttles the others. */
    const roundTrip = async (capacity: number) => {
      for (const caller of callers) {
        for (; caller.waiting < 2; caller.waiting++) {
          void paced.enter(caller).then((turn) => running.push({ caller, turn }));
        }
      }
      await settle();
      const answered = running;
      running = [];
      for (const [index, { caller, turn }] of answered.entries()) {
        caller.waiting--;
        if (index < capacity) {
          caller.served++;
          turn.succeeded();
        } else turn.throttled();
        turn[Symbol.dispose]();
      }
      await settle();
      return answered.length;
    };
    for (let round = 0; round < 20; round++) await roundTrip(5);
    for (const caller of callers) caller.served = 0;
    let sent = 0;
    for (let round = 0; round < 300; round++) sent += await roundTrip(5);
    const served = callers.map((caller) => caller.served);
    const total = served.reduce((sum, count) => sum + count);
    assert.ok(total / sent > 0.8, `${total} of ${sent} are not throttled`);
    assert.ok(total > 300 * 5 * 0.6, `${total} of ${300 * 5} that KMS would take`);
    const fair = total / callers.length;
    assert.ok(served.every((count) => count > fair * 0.8 && count < fair * 1.2), served.join(" "));
    for (let round = 0; round < 100; round++) await roundTrip(1000);
    assert.equal(paced.limit, 32);
  });
});

describe("callers, while KMS throttles", () => {
  test("take turns: one with many requests goes behind one with few", async () => {
    const paced = new Paced(64, 512);
    await paced.shrink();
    const order: string[] = [];
    const place = await paced.enter();
    const ask = (name: string, by: object) =>
      paced.enter(by).then((turn) => {
        order.push(name);
        turn[Symbol.dispose]();
      }, (error) => {
        assert.ok(error instanceof OverloadedError);
        order.push(`${name} turned away`);
      });
    const attacker = {};
    const asked = [1, 2, 3].map(() => ask("attacker", attacker));
    asked.push(ask("victim", {}));
    place[Symbol.dispose]();
    await Promise.all(asked);
    assert.deepEqual(order.filter((name) => !name.endsWith("away")), ["attacker", "victim"]);
    assert.equal(order.length, 4);
    assert.equal(paced.pacing.inside, 0);
  });

  test("with credentials of their own shrink nobody else's limit, and hold nobody else's turns", async () => {
    const paced = new Paced(4);
    const own = "eu-central-1 AKIA2";
    for (let round = 0; round < 9; round++) {
      const turn = await paced.enter({}, own);
      turn.throttled();
      turn[Symbol.dispose]();
    }
    assert.deepEqual([paced.pacing.limitOf(own), paced.limit], [1, 4]);
    const running = await paced.enter({}, own);
    const waiting = paced.enter({}, own);
    const mine = await Promise.all([1, 2, 3].map(() => paced.enter()));
    assert.equal(paced.admission.inside, 4, "who waits for a quota of their own takes no turn of all");
    for (const turn of mine) turn[Symbol.dispose]();
    running[Symbol.dispose]();
    (await waiting)[Symbol.dispose]();
    assert.equal(paced.pacing.inside, 0);
  });

  test("cannot make it remember more than 64 quotas; the one that was used last stays", async () => {
    const paced = new Paced(2);
    const quotas = Array.from({ length: 64 }, (_, index) => `eu-central-1 AKIA${index}`);
    const throttle = async (quota: string) => {
      using turn = await paced.enter({}, quota);
      turn.throttled();
    };
    for (const quota of quotas) await throttle(quota);
    assert.ok(quotas.every((quota) => paced.pacing.limitOf(quota) === 1));
    (await paced.enter({}, quotas[0]))[Symbol.dispose]();
    await throttle("eu-central-1 AKIA64");
    assert.deepEqual(quotas.slice(0, 3).map((quota) => paced.pacing.limitOf(quota)), [1, 2, 1]);
  });

  test("who give up, or find no turn behind the limit, give back what they had", async () => {
    const paced = new Paced(2, 0);
    await paced.round(1, "throttled");
    const others = await Promise.all([paced.enter({}, "other"), paced.enter({}, "other")]);
    await assert.rejects(paced.enter(), OverloadedError);
    for (const turn of others) turn[Symbol.dispose]();
    assert.equal(paced.pacing.inside, 0);
    (await paced.enter())[Symbol.dispose]();

    const patiently = new Paced(2, 32);
    await patiently.round(1, "throttled");
    const place = await patiently.enter();
    const giveUp = new AbortController();
    const gone = patiently.enter({}, QUOTA, giveUp.signal);
    assert.equal(patiently.pacing.inside, 2);
    giveUp.abort(new Error("gone"));
    await assert.rejects(gone, /gone/);
    place[Symbol.dispose]();
    assert.equal(patiently.pacing.inside, 0);
    (await patiently.enter())[Symbol.dispose]();
  });

  test("wait in a line that shrinks with the limit, and the others are told when to come again", async () => {
    const paced = new Paced(4, 128);
    assert.equal(paced.pacing.retryAfterSeconds(QUOTA), undefined);
    await paced.round(1, "throttled");
    assert.equal(paced.pacing.retryAfterSeconds(QUOTA), 1);
    await paced.round(1, "throttled");
    const place = await paced.enter();
    // A quarter of the line, and of one caller a sixteenth of that.
    const callers = Array.from({ length: 16 }, () => ({}));
    const leave = (turn: PacedTurn) => turn[Symbol.dispose]();
    const waiting = [...callers, ...callers].map((caller) => paced.enter(caller).then(leave));
    await assert.rejects(paced.enter(callers[0]), OverloadedError);
    await assert.rejects(paced.enter(), OverloadedError);
    place[Symbol.dispose]();
    await Promise.all(waiting);
    assert.equal(paced.pacing.inside, 0);
  });

  test("are told longer pauses for each cut that follows, until a round trip goes well", async () => {
    const paced = new Paced(64);
    const told: number[] = [];
    for (let cut = 0; cut < 7; cut++) {
      await paced.round(1, "throttled");
      told.push(paced.pacing.retryAfterSeconds(QUOTA) ?? 0);
    }
    // Each pause is cut by up to half at random.
    for (const [index, longest] of [1, 2, 4, 8, 16, 30, 30].entries()) {
      const seconds = told[index] ?? 0;
      assert.ok(seconds >= longest / 2 && seconds <= longest, told.join(" "));
    }
    advance(29_500);
    assert.equal(paced.pacing.retryAfterSeconds(QUOTA), 1);
    await paced.round(1, "throttled");
    assert.ok((paced.pacing.retryAfterSeconds(QUOTA) ?? 0) >= 15);
    await paced.round(1, "succeeded");
    assert.equal(paced.pacing.retryAfterSeconds(QUOTA), 1);
    await paced.round(1, "throttled");
    assert.equal(paced.pacing.retryAfterSeconds(QUOTA), 1, "the first pause again");
  });
});

describe("Admission", () => {
  test("lets in who waits when its limits grow, and ends nobody's turn when they shrink", async () => {
    const admission = new Admission(1, 32);
    const running = [await admission.enter({}, patient)];
    const waiting = [1, 2, 3].map(() => admission.enter({}, patient).then((turn) => running.push(turn)));
    await settle();
    assert.equal(running.length, 1);
    admission.limits = { maxRunning: 3, maxWaiting: 32 };
    await settle();
    assert.deepEqual([running.length, admission.inside], [3, 4]);
    admission.limits = { maxRunning: 1, maxWaiting: 0 };
    await assert.rejects(admission.enter({}, patient), OverloadedError);
    running[0]?.[Symbol.dispose]();
    running[1]?.[Symbol.dispose]();
    await settle();
    assert.deepEqual([running.length, admission.inside], [3, 2]);
    running[2]?.[Symbol.dispose]();
    await Promise.all(waiting);
    running[3]?.[Symbol.dispose]();
    assert.equal(admission.inside, 0);
  });
});
