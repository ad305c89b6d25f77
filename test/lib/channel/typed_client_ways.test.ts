import assert from "node:assert/strict";
import { join } from "node:path";
import { hc } from "hono/client";
import { describe, test } from "#test";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import { narrow, sealedFetch } from "../../../lib/channel/mod.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { startSimulator } from "../../../sim/mod.ts";
import { ROOT } from "../../support/source_files.ts";

const app = enclaveApp()
  .get("/v1/greeting/:name", (c) => c.json({ greeting: `hello ${c.req.param("name")}` }, 200))
  .get("/v1/defect", (c) => {
    if (c.req.method === "GET") throw new Error("a defect");
    return c.json({ count: 1 }, 200);
  });

describe("a typed client narrows", () => {
  test("over TCP, the fetch of vsock, and a sealed channel alike", async () => {
    await using simulator = await startSimulator();
    await using enclave = await startEnclave(app, {
      name: "greeter",
      nsm: simulator.nsm,
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_LOG_LEVEL: "silent",
        ENCLAVE_KMS_POLICY_FILE: join(ROOT, "examples/policies/attest.cedar"),
      },
    });
    const { endpoint } = enclave;
    assert.ok(endpoint.transport === "tcp");
    const url = `http://${endpoint.host}:${endpoint.port}`;
    const ways = {
      tcp: globalThis.fetch,
      vsock: createFetch(endpoint),
      sealed: sealedFetch(url, { pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root }),
    };
    for (const [way, fetch] of Object.entries(ways)) {
      const { v1 } = hc<typeof app>(url, { fetch });
      const hello = await narrow(v1.greeting[":name"].$get({ param: { name: way } }));
      assert.ok(hello.ok, way);
      assert.equal(hello.answer.greeting satisfies string, `hello ${way}`);
      const defect = await narrow(v1.defect.$get());
      assert.ok(!defect.ok, way);
      const { code, status, instance } = defect.problem;
      assert.deepEqual([code, status], ["ERR_INTERNAL", 500], way);
      assert.match(instance ?? "", /^urn:uuid:[0-9a-f-]{36}$/);
    }
  });
});
