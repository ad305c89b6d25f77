import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeAll, describe, test } from "#test";
import { checkTokenIssuers } from "../../../enclave/callers/token_issuer.ts";
import { TokenVerifier } from "../../../enclave/callers/token_verifier.ts";
import { createHttpApp } from "../../../enclave/http/http_app.ts";
import type { HttpEnv } from "../../../enclave/http/http_env.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { ISSUER, NOW_MS, TestIssuer } from "../../support/tokens.ts";

const CERTIFICATE = new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x01]);
const SHA256 = createHash("sha256").update(CERTIFICATE).digest("hex");

let own: TestIssuer;
beforeAll(async () => {
  own = await TestIssuer.create();
});

function setUp({ isTimeKnown = true, allowsClear = false, hasTokens = true } = {}) {
  const lines: string[] = [];
  const logger = createLogger("debug", (line) => lines.push(line));
  const log = { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) };
  let asked = 0;
  const time = { nowMs: isTimeKnown ? NOW_MS : undefined, learn: () => Promise.resolve(++asked > 0) };
  const verifier = new TokenVerifier(checkTokenIssuers([own.config()]));
  const app = createHttpApp(log, hasTokens ? { verifier, time, allowsClear } : undefined);
  app.get("/who", (c) => c.json(c.var.record.principal));
  const ask = async (
    env: Partial<HttpEnv["Bindings"]>,
    authorization?: string,
  ): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const response = await app.request("/who", { headers }, { cid: 3, ...env });
    return {
      status: response.status,
      body: await response.json() as Record<string, unknown>,
      headers: response.headers,
    };
  };
  return { app, ask, lines, asked: () => asked };
}

describe("identifyCaller()", () => {
  test("leaves whoever has neither token nor certificate nobody, and never makes them the parent", async () => {
    const { ask } = setUp();
    for (const channel of ["clear", "tls", "sealed"] as const) {
      assert.deepEqual((await ask({ channel })).body, { type: "Caller", cid: 3 });
    }
    assert.deepEqual((await ask({ isControl: false })).body, { type: "Caller", cid: 3 });
  });

  test("knows the parent by the control listener, whatever else came along", async () => {
    const { ask } = setUp();
    const token = await own.sign();
    for (const authorization of [undefined, `Bearer ${token}`, "Bearer x"]) {
      const { body } = await ask({ isControl: true, certificate: CERTIFICATE, cid: 16 }, authorization);
      assert.deepEqual(body, { type: "Parent" });
    }
  });

  test("knows a certificate by its SHA-256", async () => {
    const { ask } = setUp();
    const { body } = await ask({ channel: "tls", certificate: CERTIFICATE });
    assert.deepEqual(body, { type: "Certificate", sha256: SHA256 });
  });

  test("takes a token over TLS and sealed HTTP, and ahead of a certificate", async () => {
    const { ask } = setUp();
    const authorization = `Bearer ${await own.sign()}`;
    for (
      const env of [{ channel: "tls" }, { channel: "sealed" }, { channel: "tls", certificate: CERTIFICATE }]
    ) {
      const { body } = await ask(env as Partial<HttpEnv["Bindings"]>, authorization);
      assert.deepEqual(body, { type: "Token", issuer: ISSUER, subject: "ann", claims: {} });
    }
  });

  test("makes a token that is not taken an error, and never a nobody or a certificate", async () => {
    const { ask, lines } = setUp();
    const good = await own.sign();
    for (
      const authorization of [
        `Bearer ${await own.sign({ exp: NOW_MS / 1000 })}`,
        `Bearer ${good}x`,
        `Bearer ${good}, Bearer ${good}`,
        `Basic ${good}`,
        "Bearer ",
        "",
      ]
    ) {
      const { status, body, headers } = await ask(
        { channel: "tls", certificate: CERTIFICATE },
        authorization,
      );
      assert.deepEqual([status, body["code"]], [401, "ERR_TOKEN"], authorization);
      assert.equal(headers.get("www-authenticate"), 'Bearer error="invalid_token"');
    }
    assert.ok(!lines.join("").includes(good.slice(0, 30)), "the log has no token");
    assert.ok(lines.some((line) => line.includes("it has expired, by KMS's clock")), "and the reason");
  });

  test("learns nothing of the sender from the carrier of what was sealed", async () => {
    const { app } = setUp();
    app.post("/v1/sealed", (c) => {
      const { record } = c.var;
      const inside = { headers: { authorization: c.req.header("x-inside") ?? "" } };
      const headers = inside.headers.authorization === "" ? {} : inside.headers;
      return app.request("/who", { headers }, { cid: 3, channel: "sealed", record });
    });
    const carry = async (env: object, headers: Record<string, string>) => {
      const answer = await app.request("/v1/sealed", { method: "POST", headers }, { cid: 3, ...env });
      return await answer.json() as Record<string, unknown>;
    };
    const token = `Bearer ${await own.sign()}`;
    for (const env of [{}, { channel: "tls", certificate: CERTIFICATE }, { isControl: true }]) {
      const gateway = { authorization: "Bearer of-the-gateway" };
      assert.deepEqual(await carry(env, gateway), { type: "Caller", cid: 3 });
      assert.equal((await carry(env, { ...gateway, "x-inside": token }))["subject"], "ann");
    }
  });

  test("takes no token in the clear, unless it is told to: the parent has read it", async () => {
    const authorization = `Bearer ${await own.sign()}`;
    const { ask, lines } = setUp();
    for (const env of [{}, { channel: "clear" }] as const) {
      const { status, body } = await ask(env, authorization);
      assert.deepEqual([status, body["code"]], [401, "ERR_TOKEN"]);
    }
    assert.match(lines.join(""), /Regard it as stolen/);
    const { body } = await setUp({ allowsClear: true }).ask({}, authorization);
    assert.equal(body["type"], "Token");
  });

  test("answers 503 until KMS has told the time, and asks for it", async () => {
    const { ask, asked } = setUp({ isTimeKnown: false });
    const answer = await ask({ channel: "tls" }, `Bearer ${await own.sign()}`);
    assert.deepEqual([answer.status, answer.body["code"]], [503, "ERR_CLOCK"]);
    assert.equal(answer.headers.get("retry-after"), "1");
    assert.equal(asked(), 1);
    assert.equal((await ask({ channel: "tls" })).status, 200, "nobody needs no clock");
    assert.equal((await ask({ channel: "tls" }, "Bearer x")).status, 401, "nor does what is no token");
  });

  test("answers 503 for a certificate whose time cannot be judged, and never makes it a nobody", async () => {
    for (const hasTokens of [true, false]) {
      const { ask } = setUp({ hasTokens });
      const env = { channel: "tls", hasUnjudgedCertificate: true } as const;
      const answer = await ask(env);
      assert.deepEqual([answer.status, answer.body["code"]], [503, "ERR_CLOCK"]);
      assert.equal(answer.headers.get("retry-after"), "1");
      if (hasTokens) assert.equal((await ask(env, `Bearer ${await own.sign()}`)).body["type"], "Token");
    }
  });

  test("looks at no token where no issuer is configured", async () => {
    const { ask } = setUp({ hasTokens: false });
    const { body } = await ask({ channel: "tls" }, `Bearer ${await own.sign()}`);
    assert.deepEqual(body, { type: "Caller", cid: 3 });
  });
});
