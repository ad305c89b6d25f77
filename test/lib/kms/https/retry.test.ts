import assert from "node:assert/strict";
import { describe, test } from "#test";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { openError, UnreachableError } from "../../../../lib/kms/https/connection_errors.ts";
import { MAX_DELAY_MS, withRetries } from "../../../../lib/kms/https/retry.ts";
import {
  CertificateError,
  ConnectionError,
  KmsError,
  ProtocolError,
  TimeoutError,
} from "../../../../lib/core/errors.ts";

const hint = "none";
const broken = new ConnectionError("broken", { hint });
const kms = (retryable: boolean) =>
  new KmsError("refused", { hint, kmsCode: "X", requestId: undefined, httpStatus: 400, retryable });

/** Fails so many times, then returns how often it was called. */
function failing(
  error: unknown,
  times: number,
): { readonly attempt: () => Promise<number>; readonly calls: () => number } {
  let calls = 0;
  const attempt = () => ++calls <= times ? Promise.reject(error) : Promise.resolve(calls);
  return { attempt, calls: () => calls };
}

describe("withRetries()", () => {
  test("tries again after broken connections and what KMS calls passing", async () => {
    using deadline = new Deadline("test", 60_000);
    for (const error of [broken, kms(true)]) {
      assert.equal(await withRetries(failing(error, 2).attempt, 3, deadline, () => 0), 3);
    }
  });

  test("reports the last failure when the attempts are used up", async () => {
    using deadline = new Deadline("test", 60_000);
    const { attempt, calls } = failing(broken, 9);
    await assert.rejects(withRetries(attempt, 4, deadline, () => 0), broken);
    assert.equal(calls(), 4);
  });

  test("does not try again what cannot change", async () => {
    using deadline = new Deadline("test", 60_000);
    const final = [
      kms(false),
      new CertificateError("no", { hint }),
      new ProtocolError("no", { hint }),
      new TimeoutError("no", { hint, stage: "kms" }),
      new TypeError("no"),
      "aborted",
    ];
    for (const error of final) {
      const { attempt, calls } = failing(error, 9);
      await assert.rejects(withRetries(attempt, 3, deadline, () => 0), (thrown) => thrown === error);
      assert.equal(calls(), 1);
    }
  });

  test("waits a random part of 50 ms, then of twice that, and never longer than a second", async () => {
    const waits: number[] = [];
    using deadline = new Deadline("test", 60_000);
    deadline.sleep = (delayMs) => (waits.push(delayMs), Promise.resolve());
    await withRetries(failing(broken, 7).attempt, 10, deadline, () => 0.5);
    assert.deepEqual(waits, [25, 50, 100, 200, 400, MAX_DELAY_MS / 2, MAX_DELAY_MS / 2]);
  });

  test("reports the failure at once when the wait would outlast the deadline", async () => {
    using deadline = new Deadline("test", 40);
    const { attempt, calls } = failing(broken, 9);
    await assert.rejects(withRetries(attempt, 9, deadline, () => 0.99), broken);
    assert.equal(calls(), 1);
  });

  test("does not count tries for which no connection came about, unless there is to be only one", async () => {
    using deadline = new Deadline("test", 60_000);
    const absent = new UnreachableError("absent", { hint });
    assert.equal(await withRetries(failing(absent, 9).attempt, 2, deadline, () => 0), 10);
    const { attempt, calls } = failing(absent, 9);
    await assert.rejects(withRetries(attempt, 1, deadline, () => 0), absent);
    assert.equal(calls(), 1);
  });

  test("says that no connection came about, if the time is up in the next wait or try; not if the caller aborts", async () => {
    const absent = new UnreachableError("absent", { hint });
    const hangAfter = (failure: unknown, deadline: Deadline) => {
      let calls = 0;
      return () => ++calls === 1 ? Promise.reject(failure) : deadline.race(new Promise<number>(() => {}));
    };
    for (const [failure, expected] of [[absent, absent], [broken, { code: "ERR_TIMEOUT" }]] as const) {
      using deadline = new Deadline("test", 30);
      await assert.rejects(withRetries(hangAfter(failure, deadline), 9, deadline, () => 0), expected);
    }
    for (const [failure, expected] of [[absent, absent], [broken, { code: "ERR_TIMEOUT" }]] as const) {
      using deadline = new Deadline("test", 30);
      // As a busy machine does: both timers are due when the first is looked at.
      deadline.sleep = () => deadline.race(new Promise<never>(() => {}));
      await assert.rejects(withRetries(failing(failure, 9).attempt, 9, deadline, () => 0), expected);
    }
    const reason = new Error("enough");
    const controller = new AbortController();
    using deadline = new Deadline("test", 5000, controller.signal);
    setTimeout(() => controller.abort(reason), 5);
    await assert.rejects(withRetries(hangAfter(absent, deadline), 9, deadline, () => 0), reason);
  });

  test("reports a time-out that is not the deadline's own as it is", async () => {
    using deadline = new Deadline("test", 60_000);
    const failures = [
      new UnreachableError("absent", { hint }),
      new TimeoutError("another's", { hint, stage: "kms" }),
    ];
    const last = failures[1];
    const attempt = () => Promise.reject(failures.shift());
    await assert.rejects(withRetries(attempt, 9, deadline, () => 0), (error) => error === last);
  });

  test("stops waiting when the caller aborts", async () => {
    const controller = new AbortController();
    using deadline = new Deadline("test", 5000, controller.signal);
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 5);
    await assert.rejects(withRetries(failing(broken, 9).attempt, 9, deadline, () => 0.99), reason);
  });
});

describe("openError()", () => {
  const failure = (message: string, code?: string) =>
    new ConnectionError(message, { hint, cause: code && Object.assign(new Error("no"), { code }) });

  test("tells a proxy that may come back from what will not", () => {
    const passing = [
      failure("Cannot connect to KMS: 127.0.0.1:8000 does not answer (ECONNREFUSED)", "ECONNREFUSED"),
      failure("Cannot connect to KMS: the unix socket does not answer (ENOENT)", "ENOENT"),
      failure("Cannot connect to vsock 3:8000: ECONNRESET"),
      failure("Cannot connect to vsock 3:8000: ConnectionReset"),
    ];
    for (const error of passing) {
      const opened = openError(error);
      assert.ok(opened instanceof UnreachableError, error.message);
      assert.deepEqual([opened.name, opened.message, opened.hint], ["ConnectionError", error.message, hint]);
    }
    const lasting = [
      failure("Cannot connect to KMS: kms.invalid:443 does not answer (ENOTFOUND)", "ENOTFOUND"),
      failure("Cannot connect to vsock 3:8000: EAFNOSUPPORT"),
      failure("Cannot connect to vsock 3:8000: NotCapable"),
      new TimeoutError("no", { hint, stage: "kms" }),
    ];
    for (const error of lasting) assert.equal(openError(error), error);
  });
});
