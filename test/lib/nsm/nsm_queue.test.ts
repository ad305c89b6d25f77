import assert from "node:assert/strict";
import { describe, test } from "#test";
import { NsmClient } from "../../../lib/nsm/nsm_client.ts";
import {
  type AttestationOptions,
  MAX_SILENCE_MS,
  MAX_WAITING_QUESTIONS,
  NsmQueue,
  nsmQueueOf,
} from "../../../lib/nsm/nsm_queue.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";

/** Questions that are answered when the test wants. */
class Questions {
  readonly queue = new NsmQueue();
  /** Those that were asked, in order. */
  readonly asked: string[] = [];
  readonly #answers = new Map<string, PromiseWithResolvers<string>>();

  ask(name: string, options?: AttestationOptions): Promise<string> {
    const answer = Promise.withResolvers<string>();
    this.#answers.set(name, answer);
    const asked = this.queue.run(() => {
      this.asked.push(name);
      return answer.promise;
    }, options);
    asked.catch(() => {});
    return asked;
  }

  async answer(name: string): Promise<void> {
    this.#answers.get(name)?.resolve(name);
    await settled();
  }

  async fail(name: string, error: Error): Promise<void> {
    this.#answers.get(name)?.reject(error);
    await settled();
  }
}

/** Whatever waits for a promise that is settled has gone on. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

function isBusy(error: unknown): boolean {
  assert.ok(error instanceof AttestationError, String(error));
  assert.equal(error.code, "ERR_ATTESTATION_BUSY");
  assert.equal(error.message, "Cannot ask the NSM: too many requests wait for it already");
  assert.match(error.hint, /one request at a time/);
  return true;
}

describe("NsmQueue", () => {
  test("asks one question at a time, in the order they came, at once when none is asked", async () => {
    const questions = new Questions();
    const answers = ["a", "b", "c"].map((name) => questions.ask(name));
    assert.deepEqual(questions.asked, ["a"]);
    await questions.answer("a");
    assert.deepEqual(questions.asked, ["a", "b"]);
    await questions.fail("b", new RangeError("no"));
    assert.deepEqual(questions.asked, ["a", "b", "c"]);
    await questions.answer("c");
    assert.equal(await answers[0], "a");
    await assert.rejects(answers[1]!, /^RangeError: no$/);
    assert.equal(await answers[2], "c");
    void questions.ask("d");
    assert.deepEqual(questions.asked.at(-1), "d");
  });

  test("drops a question whose caller leaves before its turn, and leaves one that is asked", async () => {
    const questions = new Questions();
    const [first, second] = [new AbortController(), new AbortController()];
    const asked = questions.ask("a", { signal: first.signal });
    const waits = questions.ask("b", { signal: second.signal });
    void questions.ask("c");
    const reason = new RangeError("the caller is gone");
    second.abort(reason);
    await assert.rejects(waits, reason);
    assert.equal(questions.queue.waiting, 1);
    first.abort(reason);
    assert.deepEqual(questions.asked, ["a"], "the module is still at it");
    await questions.answer("a");
    assert.equal(await asked, "a");
    assert.deepEqual(questions.asked, ["a", "c"]);
    await assert.rejects(questions.ask("d", { signal: second.signal }), reason);
    assert.equal(questions.queue.waiting, 0);
  });

  test("is bounded, at what the question says", async () => {
    const questions = new Questions();
    void questions.ask("a");
    for (let i = 0; i < MAX_WAITING_QUESTIONS; i++) void questions.ask(`waits ${i}`);
    await assert.rejects(questions.ask("one more"), isBusy);
    assert.equal(questions.queue.waiting, MAX_WAITING_QUESTIONS);

    const few = new Questions();
    void few.ask("a", { maxWaiting: 0 });
    await assert.rejects(few.ask("b", { maxWaiting: 0 }), isBusy);
    void few.ask("b", { maxWaiting: 1 });
    await assert.rejects(few.ask("c", { maxWaiting: 1 }), isBusy);
    await few.answer("a");
    void few.ask("c", { maxWaiting: 1 });
    assert.equal(few.queue.waiting, 1);
  });

  test("has a place for one waiting question of each caller, until it is asked or dropped", async () => {
    const questions = new Questions();
    const [one, other, gone] = [{}, {}, new AbortController()];
    for (const name of ["a", "b"]) void questions.ask(name, { caller: one });
    await assert.rejects(questions.ask("c", { caller: one }), isBusy);
    void questions.ask("d", { caller: other, signal: gone.signal });
    await assert.rejects(questions.ask("e", { caller: other }), isBusy);
    gone.abort(new RangeError("gone"));
    void questions.ask("f", { caller: other });
    await questions.answer("a");
    void questions.ask("g", { caller: one });
    for (const name of ["b", "f", "g"]) await questions.answer(name);
    assert.deepEqual(questions.asked, ["a", "b", "f", "g"]);
  });

  test("leaves nothing behind of questions that were abandoned, however many", async () => {
    const questions = new Questions();
    void questions.ask("silent");
    for (let i = 0; i < 10 * MAX_WAITING_QUESTIONS; i++) {
      const caller = new AbortController();
      void questions.ask(`${i}`, { signal: caller.signal, maxWaiting: 16 });
      caller.abort(new RangeError("gone"));
    }
    assert.equal(questions.queue.waiting, 0);
    void questions.ask("next");
    await questions.answer("silent");
    assert.deepEqual(questions.asked, ["silent", "next"]);
  });

  test("is held up by a silent module no longer than its driver may take", async () => {
    const questions = new Questions();
    const silent = questions.ask("silent");
    const { now } = performance;
    try {
      const start = now.call(performance);
      performance.now = () => start + MAX_SILENCE_MS - 1000;
      void questions.ask("a");
      assert.deepEqual(questions.asked, ["silent"]);
      performance.now = () => start + MAX_SILENCE_MS + 1000;
      void questions.ask("b");
      await settled();
      assert.deepEqual(questions.asked, ["silent", "a"], "whoever came first");
      await questions.answer("silent");
      assert.equal(await silent, "silent");
      assert.deepEqual(questions.asked, ["silent", "a"], "an answer that comes too late gives nobody a turn");
      await questions.answer("a");
      assert.deepEqual(questions.asked, ["silent", "a", "b"]);
    } finally {
      performance.now = now;
    }
  });
});

describe("nsmQueueOf()", () => {
  test("has one queue for each module", async () => {
    using one = await SoftwareNsm.create();
    using other = await SoftwareNsm.create();
    assert.equal(nsmQueueOf(one), nsmQueueOf(one));
    assert.notEqual(nsmQueueOf(one), nsmQueueOf(other));
  });

  test("is where all clients of a module wait, each with its own bound and signal", async () => {
    using nsm = await SoftwareNsm.create();
    nsm.injectFault({ kind: "silent" }, { times: 1 });
    const clients = [new NsmClient(nsm), new NsmClient(nsm)] as const;
    void clients[0].attest().catch(() => {});
    const caller = new AbortController();
    const waits = clients[1].describeNsm();
    waits.catch(() => {});
    const leaves = clients[1].attest({}, { signal: caller.signal });
    assert.equal(nsmQueueOf(nsm).waiting, 2);
    await assert.rejects(clients[0].attest({}, { maxWaiting: 2 }), isBusy);
    await assert.rejects(clients[0].attest({}, { maxWaiting: 257 }), /^RangeError: maxWaiting/);
    caller.abort(new RangeError("gone"));
    await assert.rejects(leaves, /^RangeError: gone$/);
    assert.equal(nsm.requestCount, 1);
  });
});
