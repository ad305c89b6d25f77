import assert from "node:assert/strict";
import { describe, test } from "#test";
import { Admission } from "../../enclave/admission.ts";
import { OverloadedError } from "../../enclave/service_errors.ts";

const patient = new AbortController().signal;
const [attacker, victim, third] = [{ name: "attacker" }, { name: "victim" }, { name: "third" }];

/** An admission whose only place is taken, and what has been let in since. */
class Line {
  readonly admission: Admission;
  readonly order: string[] = [];
  #turn: Disposable | undefined;

  private constructor(maxWaiting: number) {
    this.admission = new Admission(1, maxWaiting);
  }

  static async open(maxWaiting: number): Promise<Line> {
    const line = new Line(maxWaiting);
    line.#turn = await line.admission.enter({}, patient);
    return line;
  }

  wait(connection: { name: string }, signal: AbortSignal = patient): Promise<void> {
    return this.admission.enter(connection, signal).then((turn) => {
      this.order.push(connection.name);
      this.#turn = turn;
    });
  }

  /** Lets all callers leave, until none is inside. */
  async drain(): Promise<string[]> {
    while (this.#turn !== undefined) {
      const turn = this.#turn;
      this.#turn = undefined;
      turn[Symbol.dispose]();
      for (let ticks = 0; ticks < 8; ticks++) await Promise.resolve();
    }
    return this.order;
  }
}

describe("Admission", () => {
  test("lets in as many as may run, then in order of arrival; who gives up leaves the line", async () => {
    const admission = new Admission(1, 2);
    const first = await admission.enter({}, patient);
    const giveUp = new AbortController();
    const second = admission.enter({}, giveUp.signal);
    const last = admission.enter({}, patient);
    await assert.rejects(admission.enter({}, patient), OverloadedError);
    giveUp.abort(new Error("gave up"));
    await assert.rejects(second, /gave up/);
    assert.equal(admission.inside, 2);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    (await last)[Symbol.dispose]();
    assert.equal(admission.inside, 0);
    await assert.rejects(admission.enter({}, AbortSignal.abort(new Error("late"))), /late/);
  });

  test("between two requests of one connection there is at most one of each other", async () => {
    const line = await Line.open(512);
    const waits = [
      ...Array.from({ length: 20 }, () => line.wait(attacker)),
      ...Array.from({ length: 3 }, () => line.wait(victim)),
      ...Array.from({ length: 2 }, () => line.wait(third)),
    ];
    const order = await line.drain();
    await Promise.all(waits);
    const turns = ["attacker", "victim", "third"];
    assert.deepEqual(order, [...turns, ...turns, "attacker", "victim", ...Array(17).fill("attacker")]);
  });

  test("a connection that comes late waits for one request of each other, not for all of them", async () => {
    const line = await Line.open(512);
    for (let count = 0; count < 30; count++) void line.wait(attacker);
    void line.wait(victim);
    const order = await line.drain();
    assert.equal(order.indexOf("victim"), 1);
  });

  test("one connection has a sixteenth of the line; others find room behind it", async () => {
    const line = await Line.open(64);
    const waits = Array.from({ length: 4 }, () => line.wait(attacker));
    for (let tries = 0; tries < 3; tries++) await assert.rejects(line.wait(attacker), OverloadedError);
    waits.push(line.wait(victim));
    assert.equal(line.admission.inside, 6);
    assert.deepEqual(await line.drain(), ["attacker", "victim", "attacker", "attacker", "attacker"]);
    await Promise.all(waits);
    assert.equal(line.admission.inside, 0);
  });

  test("a line shorter than sixteen has one place for each connection, and none has none", async () => {
    const short = await Line.open(2);
    const waits = [short.wait(attacker), short.wait(victim)];
    await assert.rejects(short.wait(third), OverloadedError);
    await short.drain();
    await Promise.all(waits);
    const none = await Line.open(0);
    await assert.rejects(none.wait(victim), OverloadedError);
  });

  test("who gives up frees the connection's place, and keeps its turn for those behind it", async () => {
    const line = await Line.open(32);
    const giveUp = new AbortController();
    const gone = line.wait(attacker, giveUp.signal);
    const waits = [line.wait(attacker), line.wait(victim)];
    await assert.rejects(line.wait(attacker), OverloadedError);
    giveUp.abort(new Error("gave up"));
    await assert.rejects(gone, /gave up/);
    waits.push(line.wait(attacker));
    assert.deepEqual(await line.drain(), ["attacker", "victim", "attacker"]);
    await Promise.all(waits);
  });

  test("counts nobody after random arrivals, departures and abandoned waits", async () => {
    const admission = new Admission(3, 48);
    const connections = Array.from({ length: 7 }, () => ({}));
    const turns: Disposable[] = [];
    const leaving: AbortController[] = [];
    let state = 7;
    const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below;
    for (let step = 0; step < 2000; step++) {
      const what = random(3);
      if (what === 0) turns.shift()?.[Symbol.dispose]();
      else if (what === 1) leaving.splice(random(leaving.length + 1), 1)[0]?.abort(new Error("left"));
      const giveUp = new AbortController();
      leaving.push(giveUp);
      admission.enter(connections[random(7)] ?? {}, giveUp.signal).then(
        (turn) => turns.push(turn),
        () => {},
      );
      await Promise.resolve();
      assert.ok(admission.inside <= 3 + 48);
    }
    for (const controller of leaving) controller.abort(new Error("left"));
    while (turns.length > 0 || admission.inside > 0) {
      turns.shift()?.[Symbol.dispose]();
      await Promise.resolve();
    }
    assert.equal(admission.inside, 0);
  });
});
