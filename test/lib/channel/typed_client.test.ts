import assert from "node:assert/strict";
import { Hono } from "hono";
import { hc } from "hono/client";
import { describe, test } from "#test";
import { narrow } from "../../../lib/channel/mod.ts";
import type { AppType, ControlType } from "../../../server/app.ts";
import { Fixture, PARENT, STRANGER, TENANT } from "../../server/fixture.ts";

const ID = "urn:uuid:00000000-0000-4000-8000-000000000000";
const PROBLEM = {
  type: "about:blank",
  title: "Forbidden",
  status: 403,
  code: "ERR_POLICY_DENIED",
  instance: ID,
};
const AS_PROBLEM = { "content-type": "application/problem+json" };
const AS_JSON = { "content-type": "application/json" };

// Not called: its routes give the types.
const app = new Hono()
  .get("/json", (c) => c.json({ count: 1 }, 200))
  .get("/maybe", (c) => Math.random() > 2 ? c.body(null, 204) : c.json({ count: 1 }, 200))
  .get("/text", (c) => c.text("hello", 200))
  .get("/ready", (c) => c.json({ isReady: false }, Math.random() > 2 ? 200 : 503));

/** Makes a client whose every call gets the answer. */
function clientOf(answer: Response) {
  return hc<typeof app>("http://enclave", { fetch: () => Promise.resolve(answer) });
}

const answer = (body: string | ReadableStream | null, init: ResponseInit) => new Response(body, init);
const problem = (body: unknown, status = 403, headers: Record<string, string> = AS_PROBLEM) =>
  answer(typeof body === "string" ? body : JSON.stringify(body), { status, headers });

/** Reads an answer that must be refused. */
async function refusalOf(response: Response, maxBytes?: number) {
  const result = await narrow(response, { maxBytes });
  assert.equal(result.ok, false);
  return result.ok ? undefined : result;
}

describe("narrow()", () => {
  test("tells the type of an answer by `ok`, and of several successes by `status`", async () => {
    const json = await narrow(clientOf(answer('{"count":7}', { headers: AS_JSON })).json.$get());
    assert.ok(json.ok);
    const count: number = json.answer.count;
    const status: 200 = json.status;
    assert.deepEqual([count, status], [7, 200]);
    // @ts-expect-error: an answer has no other members
    assert.equal(json.answer.total, undefined);
    // @ts-expect-error: an answer is no problem
    assert.equal(json.problem, undefined);

    const empty = await narrow(clientOf(answer(null, { status: 204 })).maybe.$get());
    assert.ok(empty.ok && empty.status === 204);
    const nothing: undefined = empty.answer;
    assert.equal(nothing, undefined);
    const maybe = await narrow(clientOf(answer('{"count":7}', { headers: AS_JSON })).maybe.$get());
    assert.ok(maybe.ok);
    // @ts-expect-error: the answer may be empty
    assert.equal(maybe.answer.count, 7);
    if (maybe.status === 200) assert.equal(maybe.answer.count satisfies number, 7);

    const text = await narrow(
      clientOf(answer("héllo", { headers: { "content-type": "text/plain" } })).text.$get(),
    );
    assert.ok(text.ok);
    const said: string = text.answer;
    assert.equal(said, "héllo");

    const any = await narrow(
      answer("[1]", { headers: { "content-type": "Application/JSON; charset=utf-8" } }),
    );
    assert.ok(any.ok);
    const unknown: unknown = any.answer;
    assert.deepEqual(unknown, [1]);
    // @ts-expect-error: what fetch() reads may be anything
    assert.equal(any.answer.length, 1);
  });

  test("reads a problem, and the rest of it by `ok` alone", async () => {
    const errors = [{ path: "keyId", expected: "a string" }];
    const headers = { ...AS_PROBLEM, "retry-after": "7" };
    const given = { ...PROBLEM, status: 503, errors, detail: "passed over" };
    const result = await narrow(clientOf(problem(given, 503, headers)).json.$get());
    assert.ok(!result.ok);
    const code: string = result.problem.code;
    assert.equal(code, "ERR_POLICY_DENIED");
    assert.deepEqual(result, {
      ok: false,
      status: 503,
      problem: { code: "ERR_POLICY_DENIED", status: 503, instance: ID, errors, retryAfterSeconds: 7 },
    });
    // @ts-expect-error: a problem has another shape
    assert.equal(result.answer?.count, undefined);
  });

  test("keeps the JSON of a failure that a route answers with itself", async () => {
    const response = problem('{"isReady":false}', 503, AS_JSON);
    const result = await narrow(clientOf(response).ready.$get());
    assert.ok(!result.ok);
    const isReady: boolean | undefined = result.answer?.isReady;
    assert.deepEqual([isReady, result.problem.code], [false, "ERR_ANSWER_FORM"]);
  });

  for (
    const [name, response] of [
      ["is not JSON", problem("<html>", 502)],
      ["is of another media type", problem(PROBLEM, 403, { "content-type": "text/html" })],
      ["is of no media type", problem(PROBLEM, 403, { "content-type": "" })],
      ["is empty", answer(null, { status: 500 })],
      ["is a redirect", answer(null, { status: 302, headers: { location: "http://elsewhere" } })],
      ["is an array", problem([PROBLEM])],
      ["is null", problem("null")],
      ["has another status", problem({ ...PROBLEM, status: 500 })],
      ["has a status of another type", problem({ ...PROBLEM, status: "403" })],
      ["has no code", problem({ ...PROBLEM, code: undefined })],
      ["has a code that is none", problem({ ...PROBLEM, code: "<script>" })],
      ["has a code with a control sequence", problem({ ...PROBLEM, code: "ERR_A\u001b[2J" })],
      ["has a title with a control sequence", problem({ ...PROBLEM, title: "\u001b[2J" })],
      ["has a title that is too long", problem({ ...PROBLEM, title: "a".repeat(513) })],
      ["has a type with a control sequence", problem({ ...PROBLEM, type: "https://a/\u001b[2J" })],
      ["has an instance that is no UUID", problem({ ...PROBLEM, instance: "urn:uuid:1" })],
      ["has errors that are no array", problem({ ...PROBLEM, errors: {} })],
      ["has errors without a path", problem({ ...PROBLEM, errors: [{ expected: "a" }] })],
      ["has errors that are no objects", problem({ ...PROBLEM, errors: [null] })],
      [
        "has an expectation with a control sequence",
        problem({
          ...PROBLEM,
          errors: [{ path: "a", expected: "\u0000" }],
        }),
      ],
      ["has too many errors", problem({ ...PROBLEM, errors: Array(65).fill({ path: "a", expected: "b" }) })],
    ] as const
  ) {
    test(`has a problem of its own for a failure that ${name}`, async () => {
      const refusal = await refusalOf(response);
      const { problem } = refusal ?? {};
      assert.deepEqual(problem, { code: "ERR_ANSWER_FORM", status: response.status, errors: [] });
    });
  }

  test("takes as many errors, and as long texts, as the enclave writes", async () => {
    const errors = Array(64).fill({ path: "a".repeat(512), expected: "é" });
    const refusal = await refusalOf(problem({ ...PROBLEM, errors, title: "a".repeat(512) }));
    assert.deepEqual(refusal?.problem.errors, errors);
    const longest = `ERR_${"A".repeat(64)}`;
    assert.equal((await refusalOf(problem({ ...PROBLEM, code: longest })))?.problem.code, longest);
    assert.equal(
      (await refusalOf(problem({ ...PROBLEM, code: `${longest}A` })))?.problem.code,
      "ERR_ANSWER_FORM",
    );
  });

  test("has a problem for a success that does not parse, or is neither JSON nor text", async () => {
    for (
      const response of [
        answer("{", { headers: AS_JSON }),
        answer("", { headers: AS_JSON }),
        answer("{}", { headers: { "content-type": "application/octet-stream" } }),
        answer("{}", { headers: { "content-type": "application/json+evil" } }),
        answer(null, { status: 200 }),
      ]
    ) {
      const refusal = await refusalOf(response);
      assert.deepEqual(refusal?.problem, { code: "ERR_ANSWER_FORM", status: 200, errors: [] });
    }
    const geo = await narrow(answer("{}", { headers: { "content-type": "application/geo+json" } }));
    assert.equal(geo.ok, true);
  });

  test("reads no more than maxBytes, and 64 KiB of a problem, and lets go of the rest", async () => {
    let pulled = 0;
    let cancelled = 0;
    const endless = (status: number) =>
      answer(
        new ReadableStream({
          pull: (controller) => {
            pulled++;
            controller.enqueue(new TextEncoder().encode("a".repeat(1000)));
          },
          cancel: () => void cancelled++,
        }),
        { status, headers: AS_JSON },
      );
    const success = await refusalOf(endless(200), 10_000);
    assert.deepEqual(success?.problem, { code: "ERR_ANSWER_OVER_LIMIT", status: 200, errors: [] });
    assert.ok(pulled <= 13, String(pulled));
    const failure = await refusalOf(endless(500), 10_000_000);
    assert.equal(failure?.problem.code, "ERR_ANSWER_OVER_LIMIT");
    assert.ok(pulled <= 13 + 68, String(pulled));
    assert.equal(cancelled, 2);
    const exact = await narrow(answer('"1234"', { headers: AS_JSON }), { maxBytes: 6 });
    assert.equal(exact.ok, true);
    assert.equal((await refusalOf(answer('"1234"', { headers: AS_JSON }), 5))?.status, 200);
  });

  test("joins characters that come in parts", async () => {
    const bytes = new TextEncoder().encode('"é€"');
    const parts = new ReadableStream({
      start: (controller) => {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    const result = await narrow(answer(parts, { headers: AS_JSON }));
    assert.ok(result.ok);
    assert.equal(result.answer, "é€");
  });

  test("passes on Retry-After in seconds only, at most a day, and not of a success", async () => {
    const told = async (value: string, status = 503) => {
      const result = await narrow(
        problem({ ...PROBLEM, status }, status, { ...AS_JSON, "retry-after": value }),
      );
      return result.ok ? "ok" : result.problem.retryAfterSeconds;
    };
    assert.deepEqual(
      await Promise.all(
        ["0", "30", "86400", "99999", "100000", "-1", "1.5", "soon", ""].map((value) => told(value)),
      ),
      [0, 30, 86_400, 86_400, undefined, undefined, undefined, undefined, undefined],
    );
    assert.equal(await told("1", 200), "ok");
  });

  test("rejects as the call does, and for options that are wrong", async () => {
    const broken = hc<typeof app>("http://enclave", { fetch: () => Promise.reject(new Error("no route")) });
    await assert.rejects(narrow(broken.json.$get()), /no route/);
    const failing = new ReadableStream({ pull: () => Promise.reject(new Error("cut off")) });
    await assert.rejects(narrow(answer(failing, { headers: AS_JSON })), /cut off/);
    for (const maxBytes of [0, 2 ** 31, 1.5]) {
      await assert.rejects(narrow(answer("1", {}), { maxBytes }), RangeError);
    }
    await assert.rejects(narrow(answer("1", {}), { maxSize: 1 } as never), TypeError);
  });
});

describe("the decrypt server's typed client", () => {
  test("narrows its answers and problems", async () => {
    await using fixture = await Fixture.start();
    const clientFor = (cid: number) =>
      hc<AppType>("http://enclave", {
        fetch: (input: string | URL | Request, init?: RequestInit) =>
          Promise.resolve(fixture.app.request(String(input), init, { cid, connection: {} })),
      });
    const { v1, readyz, healthz, metrics } = clientFor(TENANT);
    const body = { ciphertext: fixture.ciphertext, encryptionContext: { tenant: "red" } };

    const early = await narrow(v1.decrypt.$post({ json: body }));
    assert.ok(!early.ok);
    const { code, retryAfterSeconds } = early.problem;
    assert.deepEqual([early.status, code, retryAfterSeconds], [503, "ERR_CREDENTIALS", 1]);
    const unready = await narrow(readyz.$get());
    assert.deepEqual([unready.ok, !unready.ok && unready.answer?.credentials], [false, false]);

    const control = hc<ControlType>("http://enclave", {
      fetch: (input: string | URL | Request, init?: RequestInit) =>
        Promise.resolve(fixture.control.request(String(input), init, { cid: PARENT, isControl: true })),
    });
    const set = await narrow(control.v1.credentials.$post({ json: fixture.simulator.credentials }));
    assert.equal(set.ok, true);
    const decrypted = await narrow(v1.decrypt.$post({ json: body }));
    assert.ok(decrypted.ok && decrypted.status === 200);
    assert.equal(atob(decrypted.answer.plaintext), "attack at dawn, tenant red");
    const dry = await narrow(v1.decrypt.$post({ json: { ...body, dryRun: true } }));
    assert.deepEqual(dry, { ok: true, status: 204, answer: undefined });

    const denied = await narrow(clientFor(STRANGER).v1.decrypt.$post({ json: body }));
    assert.deepEqual(denied.ok ? "" : denied.problem.code, "ERR_POLICY_DENIED");
    const wrong = await narrow(v1.decrypt.$post({ json: { ciphertext: 7 as never } }));
    assert.deepEqual(wrong.ok ? [] : wrong.problem.errors, [{ path: "ciphertext", expected: "a string" }]);
    const alive = await narrow(healthz.$get());
    assert.equal(alive.ok && alive.answer.status, "ok");
    const counted = await narrow(metrics.$get());
    assert.match(counted.ok ? counted.answer : "", /^enclave_kms_credentials_set 1$/m);
  });
});
