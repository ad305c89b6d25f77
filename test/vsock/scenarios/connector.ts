/** The parent's connector over AF_VSOCK: kept connections, restarts, and an enclave that is not there. */
import assert from "node:assert/strict";
import { EnclaveListener } from "../../../enclave/enclave_listener.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { HttpConnector } from "../../../parent/connector/http_connector.ts";
import { NitroConnector } from "../../../parent/mod.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID } from "../guest_addresses.ts";

const REQUESTS = 100;
const PATIENCE_MS = 120_000;
const PORT = 8090;

/** CID that does not exist and does not answer. */
const SILENT_CID = 16;

// NitroConnector refuses CID 3, the parent's, which this guest has.
const connectTo = (port: number) =>
  new HttpConnector({ transport: "vsock", cid: GUEST_CID, port }, {
    timeoutMs: PATIENCE_MS,
    reconnectMs: PATIENCE_MS,
    maxConnections: 32,
  });

const startListener = () =>
  EnclaveListener.start(({ method, path, body, caller }) => ({
    body: `${method} ${path} ${body.length} ${JSON.stringify(caller)}`,
  }), { environment: { ENV_SETUP: "NITRO", VSOCK_PORT: String(PORT), ENCLAVE_KMS_LOG_LEVEL: "silent" } });

{
  let listener = await startListener();
  await using connector = connectTo(PORT);

  await check("the enclave sees the request, and who calls", async () => {
    const answer = await connector.sendRequest({ path: "/hello?a=b", body: new Uint8Array(1000) });
    assert.match(answer.text(), /^POST \/hello\?a=b 1000 /);
    assert.ok(answer.text().includes(String(LOOPBACK_CID)), answer.text());
    return answer.text();
  });

  await check(`${REQUESTS} requests in turn take one connection`, async () => {
    const started = performance.now();
    for (let i = 0; i < REQUESTS; i++) {
      assert.match((await connector.sendRequest({ path: `/${i}` })).text(), new RegExp(`^GET /${i} `));
    }
    assert.equal(connector.connectionCount, 1);
    return `${((performance.now() - started) / REQUESTS).toFixed(1)} ms each`;
  });

  await check(
    `${REQUESTS} requests at once: each has its own answer, over at most 32 connections`,
    async () => {
      await Promise.all(Array.from({ length: REQUESTS }, async (_, i) => {
        assert.match(
          (await connector.sendRequest({ path: `/${i}`, body: "x" })).text(),
          new RegExp(`^POST /${i} `),
        );
      }));
      assert.ok(connector.connectionCount <= 32);
      return `${connector.connectionCount} connections`;
    },
  );

  await check("an enclave that restarts between requests", async () => {
    await listener.close();
    await until(() => connector.connectionCount === 0);
    const waiting = connector.sendRequest({ path: "/again", body: "x" });
    listener = await startListener();
    assert.match((await waiting).text(), /^POST \/again /);
  });

  await listener.close();
}

await check("an enclave that is not there: ConnectionError, which says where", async () => {
  const endpoint: Endpoint = { transport: "vsock", cid: GUEST_CID, port: 9999 };
  await using absent = new HttpConnector(endpoint, { reconnectMs: 0, timeoutMs: PATIENCE_MS });
  await assert.rejects(absent.sendRequest({ path: "/" }), {
    code: "ERR_CONNECTION",
    message: "Cannot connect to the enclave: nothing answers at vsock CID 3, port 9999",
  });
  await using silent = new NitroConnector({ enclaveCid: SILENT_CID, timeoutMs: 1000, reconnectMs: 60_000 });
  await assert.rejects(silent.sendRequest({ path: "/" }), { code: "ERR_TIMEOUT", stage: "enclave-connect" });
});
