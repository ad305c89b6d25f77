import assert from "node:assert/strict";
import process from "node:process";
import { loader } from "#loader";
import { describe, test } from "#test";
import { guardExit, MAX_NSM_CALLS, runBlocking } from "../../../lib/native/blocking_calls.ts";
import { replaceCalls } from "./replaced_calls.ts";

type Listener = (...args: unknown[]) => void;

const LANES = [["nsm", MAX_NSM_CALLS], ["other", loader.maxAsyncCalls - MAX_NSM_CALLS]] as const;

/** Calls that return when they are told to. */
function makeCalls() {
  const started: PromiseWithResolvers<string>[] = [];
  const call = () => {
    const returned = Promise.withResolvers<string>();
    started.push(returned);
    return returned.promise;
  };
  return { started, call };
}

/** Whatever waits for a promise that is settled has gone on. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

/** Here the process only seems to end; exit.test.ts ends one. */
describe("guardExit()", () => {
  const events = ["exit", "uncaughtExceptionMonitor"] as const;
  const left: number[] = [];
  let stuck = false;

  /** Collects the listeners that the library installs at the first request. */
  function install(): { leave: Listener; monitor: Listener } {
    const before = events.map((event) => new Set(process.listeners(event as "exit")));
    guardExit(() => stuck);
    const [leave, monitor] = events.map((event, index) =>
      process.listeners(event as "exit").find((listener) => !before[index]!.has(listener))
    );
    return { leave: leave as Listener, monitor: monitor as Listener };
  }

  /** Does as the runtime does at the end. Returns what was left with, and what was printed. */
  function end(leave: Listener, code: number): { left: number[]; printed: string } {
    left.length = 0;
    let printed = "";
    const { stderr, exitCode } = process;
    const { write } = stderr;
    stderr.write = (text: unknown) => {
      printed += String(text);
      return true;
    };
    try {
      leave.call(process, code);
    } finally {
      stderr.write = write;
      process.exitCode = exitCode;
    }
    return { left: [...left], printed };
  }

  test("leaves by _exit while something is inside C, after the handlers that would come later", async () => {
    using _exit = replaceCalls({ _exit: (code) => void left.push(code) });
    const ran: string[] = [];
    const earlier = () => ran.push("earlier");
    process.on("exit", earlier);
    const { leave, monitor } = install();
    const later = (code: number) => ran.push(`later ${code}`);
    const thrower = () => {
      throw new RangeError("a handler failed");
    };
    process.on("exit", later);
    const caught = process.listeners("uncaughtException");
    try {
      assert.deepEqual(install(), { leave: undefined, monitor: undefined });
      assert.deepEqual(end(leave, 0), { left: [], printed: "" });
      assert.deepEqual(ran, []);

      stuck = true;
      assert.deepEqual(end(leave, 7), { left: [7], printed: "" });
      assert.deepEqual(ran, ["later 7"]);
      process.exitCode = 3;
      assert.deepEqual(end(leave, 7), { left: [3], printed: "" });
      process.exitCode = undefined;

      // What somebody catches does not end the process.
      const catcher = () => {};
      process.on("uncaughtException", catcher);
      monitor(new RangeError("caught"));
      assert.deepEqual(end(leave, 0), { left: [0], printed: "" });
      process.off("uncaughtException", catcher);

      process.on("exit", thrower);
      const failed = end(leave, 0);
      assert.deepEqual(failed.left, [1]);
      assert.match(failed.printed, /^RangeError: a handler failed\n/);
      process.exitCode = 4;
      assert.deepEqual(end(leave, 0).left, [4]);
      process.exitCode = undefined;
      process.off("exit", thrower);

      process.removeAllListeners("uncaughtException");
      monitor(new TypeError("uncaught"));
      const uncaught = end(leave, 1);
      assert.deepEqual(uncaught.left, [1]);
      assert.match(uncaught.printed, /^TypeError: uncaught\n[^]*\n$/);

      stuck = false;
      const { started, call } = makeCalls();
      for (const [kind] of LANES) {
        assert.deepEqual(end(leave, 0).left, []);
        const running = runBlocking(kind, call);
        await settled();
        assert.deepEqual(end(leave, 0).left, [0]);
        started.pop()!.resolve("");
        await running;
      }
      assert.deepEqual(end(leave, 0).left, []);
    } finally {
      stuck = false;
      process.off("exit", earlier);
      process.off("exit", later);
      process.off("exit", thrower);
      for (const listener of caught) process.on("uncaughtException", listener);
      process.exitCode = undefined;
    }
  });
});

describe("runBlocking()", () => {
  test("leaves the runtime a thread or more, and key pairs one when the NSM has all of its own", () => {
    assert.ok(MAX_NSM_CALLS >= 1);
    assert.ok(loader.maxAsyncCalls - MAX_NSM_CALLS >= 1);
    assert.ok(MAX_NSM_CALLS >= loader.maxAsyncCalls / 2);
  });

  for (const [kind, limit] of LANES) {
    test(`lets so many calls of kind ${kind} into C, and the others after them in their order`, async () => {
      const { started, call } = makeCalls();
      const [calls, done]: [Promise<string>[], number[]] = [[], []];
      for (let index = 0; index < limit + 3; index++) {
        const result = runBlocking(kind, call);
        calls.push(result);
        result.then(() => done.push(index), () => done.push(-index));
      }
      await settled();
      assert.equal(started.length, limit);
      started[0]!.resolve("first");
      await settled();
      assert.equal(started.length, limit + 1);
      // One that fails makes room as well.
      started[limit]!.reject(new RangeError("C failed"));
      await assert.rejects(calls[limit]!, /^RangeError: C failed$/);
      await settled();
      assert.equal(started.length, limit + 2);
      for (let index = 0; index < limit + 3; index++) {
        started[index]!.resolve(String(index));
        await settled();
      }
      assert.equal(done.length, limit + 3);
      assert.deepEqual([await calls[0], await calls[limit + 2]], ["first", String(limit + 2)]);
      const again = makeCalls();
      const last = runBlocking(kind, again.call);
      await settled();
      assert.equal(again.started.length, 1);
      again.started[0]!.resolve("again");
      assert.equal(await last, "again");
    });
  }

  test("a call that cannot be started makes room, too", async () => {
    const fail = () => Promise.reject(new RangeError("no memory"));
    for (let round = 0; round < 10; round++) await assert.rejects(runBlocking("other", fail), RangeError);
    assert.equal(await runBlocking("other", () => Promise.resolve(7)), 7);
  });
});
