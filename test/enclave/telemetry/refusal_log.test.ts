import assert from "node:assert/strict";
import { describe, test } from "#test";
import { CredentialsError } from "../../../lib/core/errors.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics, type Outcome } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { RequestRecord } from "../../../enclave/telemetry/request_record.ts";

const MINUTE = 60_000;

/** A log, a clock and connections of one caller. */
function setUp(rateWindowSeconds = 60) {
  const lines: Record<string, unknown>[] = [];
  let now = 1000;
  const logger = createLogger("info", (line) => lines.push(JSON.parse(line)));
  const refusals = new RefusalLog({ logger, rateWindowSeconds, now: () => now });
  const journal = { logger, metrics: new Metrics(), refusals };
  const finish = (
    connection: object,
    outcome: Outcome = "refused",
    answer: number | string = 400,
    fields: Partial<Pick<RequestRecord, "keyId" | "decision" | "operation" | "failure">> = {},
  ) =>
    Object.assign(new RequestRecord("http", 3, undefined, connection), fields).finish(
      journal,
      outcome,
      answer,
    );
  const end = (connection: object) => refusals.end(connection, { protocol: "http", cid: 3 });
  return { lines, refusals, journal, finish, end, wait: (ms: number) => now += ms };
}

const decided = (allowed: boolean) => ({ policy: "p", allowed, reason: "", determining: [] });

describe("RefusalLog", () => {
  test("the first of a kind has a line, and the others together have one when the connection ends", () => {
    const { lines, journal, finish, end } = setUp();
    const connection = {};
    for (let index = 0; index < 1000; index++) finish(connection, "refused", index % 2 === 0 ? 400 : 415);
    assert.deepEqual(lines.map(({ answer }) => answer), [400, 415]);
    end(connection);
    end(connection);
    assert.equal(lines.length, 3);
    const { msg, protocol, cid, count, answers } = lines[2] ?? {};
    assert.deepEqual({ msg, protocol, cid, count, answers }, {
      msg: "repeated on the same connection",
      protocol: "http",
      cid: 3,
      count: 998,
      answers: { "400": 499, "415": 499 },
    });
    assert.match(journal.metrics.render(), /outcome="refused"\} 1000\n/, "each is counted");
  });

  test("all connections together have 100 lines in a second, and the rest has one with its number", () => {
    const { lines, finish, end, wait } = setUp();
    for (let index = 0; index < 250; index++) {
      const connection = {};
      for (let again = 0; again < 3; again++) finish(connection, "refused", index % 2 === 0 ? 400 : 404);
      end(connection);
    }
    assert.equal(lines.length, 100);
    wait(1000);
    finish({}, "ok", 200);
    const { msg, level, count, answers } = lines[100] ?? {};
    // Fifty connections had a line for one, and a line for the two others.
    assert.deepEqual({ msg, level, count, answers }, {
      msg: "more refusals than the log has lines for",
      level: "warn",
      count: 600,
      answers: { "400": 300, "404": 300 },
    });
    finish({});
    assert.equal(lines.length, 103, "what is not refused has its line, and then there is room again");
  });

  test("credentials that are set, or that KMS does not take, repeat as refusals do", () => {
    const { lines, finish, end, refusals } = setUp();
    const connection = {};
    const failure = new CredentialsError("Cannot sign the request: no credentials are set", { hint: "" });
    for (let index = 0; index < 50; index++) {
      finish(connection, "ok", 204, { operation: "SetCredentials", decision: decided(true) });
      finish(connection, "failed", 503, { operation: "Decrypt", decision: decided(true), failure });
      finish(connection, "ok", 200, { operation: "Decrypt", decision: decided(true) });
    }
    assert.equal(lines.length, 52, "each decrypt has its line");
    end(connection);
    assert.deepEqual(lines[52]?.["answers"], { "204": 49, "503": 49 });
    assert.equal(refusals.recentCount(connection, "Caller:3"), 0);
  });

  test("every minute the numbers are logged, and a kind has a line again", () => {
    const { lines, finish, wait } = setUp();
    const connection = {};
    for (let index = 0; index < 3; index++) finish(connection);
    wait(MINUTE);
    finish(connection);
    assert.deepEqual(lines.map(({ answer, count }) => answer ?? count), [400, 2, 400]);
  });

  test("what is no refusal has a line each, and connections are apart", () => {
    const { lines, finish } = setUp();
    const [one, other] = [{}, {}];
    for (const outcome of ["ok", "failed", "timeout", "gone"] as const) {
      finish(one, outcome);
      finish(one, outcome);
    }
    assert.equal(lines.length, 8);
    finish(one);
    finish(other);
    assert.equal(lines.length, 10);
  });

  test("each key that a caller is denied has a line, up to 32 kinds", () => {
    const { lines, finish, end } = setUp();
    const connection = {};
    for (let round = 0; round < 2; round++) {
      for (let key = 0; key < 100; key++) {
        finish(connection, "denied", 403, { keyId: `alias/${key}`, decision: decided(false) });
      }
    }
    assert.deepEqual(lines.map(({ key }) => key), Array.from({ length: 32 }, (_, key) => `alias/${key}`));
    end(connection);
    assert.equal(lines.at(-1)?.["count"], 168);
  });

  test("counts on its own connection, in the rate's window", () => {
    const { refusals, finish, wait } = setUp(10);
    const [one, other] = [{}, {}];
    finish(one);
    finish(one, "denied", 403, { decision: decided(false) });
    assert.deepEqual([refusals.recentCount(one, "Caller:3"), refusals.recentCount(other, "Caller:3")], [
      2,
      0,
    ]);
    wait(11_000);
    assert.equal(refusals.recentCount(one, "Caller:3"), 0);
  });

  test("does not count what the policy had permitted, which the CID's rate has, nor who was told to come again", () => {
    const { refusals, finish } = setUp();
    const connection = {};
    finish(connection, "refused", 400, { decision: decided(true) });
    finish(connection, "busy", 503);
    finish(connection, "ok", 200);
    assert.equal(refusals.recentCount(connection, "Caller:3"), 0);
  });
});
