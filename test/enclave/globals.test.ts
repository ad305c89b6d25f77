import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { enclaveApp, startEnclave } from "../../enclave/mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";

const native = [Request, Response];

describe("the global Request and Response of an enclave", () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(() => simulator.close());

  async function start(keepGlobals?: boolean) {
    let seen: unknown;
    const app = enclaveApp()
      .get("/json", (c) => c.json({ hello: "enclave" }))
      .get("/raw", () => new Response("raw"))
      .get("/bytes", (c) => c.body(new TextEncoder().encode("bytes")))
      .post("/copy", async (c) => {
        const copy = new Request(c.req.raw, { headers: { "x-own": "1" } });
        seen = [copy instanceof Request, c.req.raw instanceof Request, copy.headers.get("x-own")];
        return c.text(await copy.text());
      });
    const enclave = await startEnclave(app, {
      name: "globals",
      nsm: simulator.nsm,
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_LOG_LEVEL: "silent",
      },
      signals: false,
      keepGlobals,
    });
    const { endpoint } = enclave;
    assert.ok(endpoint.transport === "tcp");
    return { enclave, url: `http://127.0.0.1:${endpoint.port}`, seen: () => seen };
  }

  test("are replaced until it has closed, and handlers see no difference", async () => {
    const { enclave, url, seen } = await start();
    try {
      assert.ok(Request !== native[0] && Response !== native[1]);
      for (const [path, text] of [["/json", '{"hello":"enclave"}'], ["/raw", "raw"], ["/bytes", "bytes"]]) {
        const answer = await fetch(url + path);
        assert.equal(await answer.text(), text);
        assert.equal(answer.headers.get("cache-control"), "no-store", path);
        assert.match(answer.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
      }
      const copied = await fetch(`${url}/copy`, { method: "POST", body: "größer" });
      assert.equal(await copied.text(), "größer");
      assert.deepEqual(seen(), [true, true, "1"]);
    } finally {
      await enclave.close();
    }
    assert.deepEqual([Request, Response], native);
  });

  test("are the runtime's own with keepGlobals, and answers are the same", async () => {
    const { enclave, url } = await start(true);
    try {
      assert.deepEqual([Request, Response], native);
      const answer = await fetch(`${url}/json`);
      assert.deepEqual(await answer.json(), { hello: "enclave" });
      assert.equal(answer.headers.get("cache-control"), "no-store");
    } finally {
      await enclave.close();
    }
  });

  test("are not replaced by an option of another kind", async () => {
    await assert.rejects(start("yes" as unknown as boolean), TypeError);
  });
});
