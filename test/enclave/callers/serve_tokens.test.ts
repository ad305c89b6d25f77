import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { type Enclave, enclaveApp, gate, startEnclave } from "../../../enclave/mod.ts";
import { readConfig, startServer } from "../../../server/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { exchange } from "../../server/serving.ts";
import { ISSUER, TestIssuer } from "../../support/tokens.ts";

const POLICY =
  `permit(principal == Token::"${ISSUER}|ann", action in [Action::"SignOrder", Action::"GenerateRandom"], resource)
when { principal has tier && principal.tier > 2 };`;

/** Permits SignOrder too, which the server's policy does not know. */
const SERVER_POLICY = POLICY.replace('Action::"SignOrder", ', "");

describe("tokens, over a socket", () => {
  let folder: string;
  let simulator: Simulator;
  let own: TestIssuer;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-tokens-"));
    [simulator, own] = await Promise.all([startSimulator(), TestIssuer.create()]);
    writeFileSync(join(folder, "policy.cedar"), POLICY);
    writeFileSync(join(folder, "server.cedar"), SERVER_POLICY);
  });
  afterAll(async () => {
    await simulator.close();
    rmSync(folder, { recursive: true });
  });

  const now = () => Date.now();
  const sign = (claims: object = {}) => own.sign({ tier: 3, ...claims }, {}, now());

  /** Settings in a file of their own, as an image has them. */
  function environmentOf(settings: object, policy: string): Record<string, string> {
    const path = join(folder, `${crypto.randomUUID()}.json`);
    writeFileSync(path, JSON.stringify({ tokens: [own.config()], clearTokens: true, ...settings }));
    const { endpoint, region } = simulator.clientOptions;
    assert.ok(endpoint?.transport === "tcp");
    return {
      ENCLAVE_KMS_CONFIG: path,
      ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
      ENCLAVE_KMS_REGION: String(region),
      ENCLAVE_KMS_POLICY_FILE: join(folder, policy),
    };
  }

  const parts = (lines: string[] = []) => ({
    nsm: simulator.nsm,
    trustedCertificates: simulator.clientOptions.trustedCertificates,
    logger: createLogger("debug", (line) => lines.push(line)),
  });

  async function start(settings: object = {}): Promise<Enclave> {
    const app = enclaveApp().post("/v1/sign", gate("SignOrder"), (c) => c.json(c.var.caller));
    const environment = {
      ...environmentOf(settings, "policy.cedar"),
      ENV_SETUP: "SIM",
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
    };
    const claims = { tier: "Long" } as const;
    return await startEnclave(app, {
      ...parts(),
      name: "test",
      actions: ["SignOrder"],
      claims,
      environment,
      signals: false,
    });
  }

  async function ask(
    endpoint: Endpoint,
    authorization?: string,
  ): Promise<readonly [number, string | undefined]> {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const answer = await createFetch(endpoint)("http://enclave/v1/sign", { method: "POST", headers });
    const { code, subject } = await answer.json() as { code?: string; subject?: string };
    return [answer.status, code ?? subject];
  }

  test("an application's policy permits a token's subject by a claim", async () => {
    await using enclave = await start();
    const { endpoint } = enclave;
    assert.deepEqual(await ask(endpoint, `Bearer ${await sign()}`), [200, "ann"]);
    for (const claims of [{ tier: 2 }, { tier: undefined }, { sub: "bob" }]) {
      assert.deepEqual(await ask(endpoint, `Bearer ${await sign(claims)}`), [403, "ERR_POLICY_DENIED"]);
    }
    assert.deepEqual(await ask(endpoint), [403, "ERR_POLICY_DENIED"]);
    assert.deepEqual(await ask(endpoint, `Bearer ${await sign({ tier: "3" })}`), [401, "ERR_TOKEN"]);
  });

  test("two tokens in two headers are refused, in whatever order", async () => {
    await using enclave = await start();
    const good = `authorization: Bearer ${await sign()}\r\n`;
    const other = `Authorization: Bearer ${await sign({ sub: "bob" })}\r\n`;
    const send = (headers: string) =>
      exchange(
        enclave.endpoint,
        `POST /v1/sign HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n${headers}\r\n`,
      );
    assert.match(await send(good), /^HTTP\/1\.1 200 /);
    for (const headers of [good + other, other + good, good + good, `${good}authorization: \r\n`]) {
      assert.match(await send(headers), /^HTTP\/1\.1 401 /, headers.replaceAll(/[\w-]{20,}/g, "…"));
    }
  });

  test("in the clear none is taken by default", async () => {
    await using enclave = await start({ clearTokens: false });
    assert.deepEqual(await ask(enclave.endpoint, `Bearer ${await sign()}`), [401, "ERR_TOKEN"]);
  });

  test("KMS's clock judges, not this machine's", async () => {
    simulator.kms.clockOffsetMs = 3_600_000;
    try {
      await using enclave = await start();
      assert.deepEqual(await ask(enclave.endpoint, `Bearer ${await sign()}`), [401, "ERR_TOKEN"]);
      const later = await own.sign({ tier: 3 }, {}, now() + 3_600_000);
      assert.deepEqual(await ask(enclave.endpoint, `Bearer ${later}`), [200, "ann"]);
    } finally {
      simulator.kms.clockOffsetMs = 0;
    }
  });

  test("the decrypt server takes them as well, and says whether it knows the time", async () => {
    const environment = environmentOf({ claims: { tier: "Long" } }, "server.cedar");
    const listen = { ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0", ENCLAVE_KMS_KMSTOOL: "off" };
    await using server = await startServer(readConfig({ ...environment, ...listen }), parts());
    const fetch = createFetch(server.httpEndpoint as Endpoint);
    const ready = await fetch("http://enclave/readyz");
    assert.equal((await ready.json() as { clock?: boolean }).clock, true);
    const status = async (authorization?: string) => {
      const headers = { "content-type": "application/json", ...(authorization && { authorization }) };
      const body = '{"numberOfBytes":1}';
      return (await fetch("http://enclave/v1/generate-random", { method: "POST", headers, body })).status;
    };
    // 503: the policy permits it, and there are no credentials.
    assert.equal(await status(`Bearer ${await sign()}`), 503);
    assert.equal(await status(`Bearer ${await sign({ sub: "bob" })}`), 403);
    assert.equal(await status(), 403);
  });

  test("without KMS they are 503, and others are served", async () => {
    const environment = {
      ...environmentOf({ claims: { tier: "Long" } }, "server.cedar"),
      ENCLAVE_KMS_KMS: "unix:/nowhere/kms.sock",
      ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_KMSTOOL: "off",
    };
    await using server = await startServer(readConfig(environment), parts());
    const fetch = createFetch(server.httpEndpoint as Endpoint);
    const health = await fetch("http://enclave/healthz", {
      headers: { authorization: `Bearer ${await sign()}` },
    });
    assert.deepEqual([health.status, (await health.json() as { code: string }).code], [503, "ERR_CLOCK"]);
    assert.equal((await fetch("http://enclave/healthz")).status, 200);
    const ready = await fetch("http://enclave/readyz");
    assert.deepEqual([ready.status, (await ready.json() as { clock?: boolean }).clock], [503, false]);
  });

  test("a wrong setting does not start, and is told by its place without its value", async () => {
    const secret = await own.privateJwk();
    const wrong = [
      [
        { tokens: [own.config({ keys: { keys: [secret] } })] },
        /tokens \(in the file\): .*keys\[0\] must be a public/,
      ],
      [{ tokens: {} }, /tokens \(in the file\): .*tokens must be a list/],
      [{ claims: { sub: "Text" } }, /claims \(in the file\): .*sub must be String, Long/],
      [{ claims: { cid: "Long" } }, /claims \(in the file\): .*A token's claim needs a name/],
      [{ clearTokens: "yes" }, /clearTokens \(in the file\): expected true or false/],
    ] as const;
    for (const [settings, message] of wrong) {
      assert.throws(() => readConfig(environmentOf(settings, "server.cedar")), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(!error.message.includes(String(secret["d"])));
        return true;
      });
    }
    const ofSdk = { ...environmentOf({}, "server.cedar"), ENCLAVE_KMS_ENGINE: "sdk-client" };
    assert.throws(() => readConfig(ofSdk), /tokens: are judged by KMS's clock/);
    const offCurve = own.config({ keys: { keys: [{ ...own.jwk, x: own.jwk["y"], y: own.jwk["x"] }] } });
    await assert.rejects(
      start({ tokens: [offCurve] }),
      /tokens\[0\]\.keys\.keys\[0\]: is no key of its type/,
    );
  });
});
