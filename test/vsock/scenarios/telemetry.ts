/** The parent's relay of telemetry over AF_VSOCK: exports of an enclave reach the collector, and a dead one holds nobody up. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import type { EnclaveKmsError } from "../../../lib/core/errors.ts";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { ANY_CID } from "../../../lib/transport/listen.ts";
import { DEFAULT_TELEMETRY_PORT, TelemetryRelay } from "../../../parent/telemetry/telemetry_relay.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";

const EXPORTS = 50;
const PATIENCE_MS = 120_000;
const PATIENT = { connectTimeoutMs: PATIENCE_MS, idleTimeoutMs: PATIENCE_MS };

interface Received {
  readonly path: string | undefined;
  readonly encoding: string | undefined;
  readonly body: Buffer;
}

const received: Received[] = [];
const collector = createServer((request: IncomingMessage, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const encoding = request.headers["content-encoding"]?.toString();
    received.push({ path: request.url, encoding, body: Buffer.concat(chunks) });
    response.end("{}");
  });
});
await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;

// An enclave's way out is its parent's CID, which is this guest's own.
const enclaveFetch = createFetch(
  { transport: "vsock", cid: GUEST_CID, port: DEFAULT_TELEMETRY_PORT },
  PATIENT,
);

async function send(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  more: Record<string, string> = {},
): Promise<number> {
  const headers = { "content-type": "application/json", ...more };
  const answer = await enclaveFetch(`http://parent${path}`, { method: "POST", headers, body });
  await answer.arrayBuffer();
  return answer.status;
}

{
  await using relay = await TelemetryRelay.open({ endpoint, timeoutMs: PATIENCE_MS });
  assert.deepEqual(relay.endpoint, { transport: "vsock", cid: ANY_CID, port: 4318 });

  await check("traces, metrics and logs reach the collector untouched", async () => {
    const body = gzipSync(JSON.stringify({ resourceSpans: [] }));
    assert.equal(await send("/v1/traces", body, { "content-encoding": "gzip" }), 200);
    assert.equal(await send("/v1/metrics", "{}"), 200);
    assert.equal(await send("/v1/logs", "{}"), 200);
    await until(() => relay.counters.sentCount === 3, () => JSON.stringify(relay.counters));
    assert.deepEqual(received.map(({ path }) => path).sort(), ["/v1/logs", "/v1/metrics", "/v1/traces"]);
    const traces = received.find(({ path }) => path === "/v1/traces");
    assert.equal(traces?.encoding, "gzip");
    assert.ok(traces?.body.equals(body));
  });

  await check("a body over 1 MiB is refused, and one of 1 MiB passes", async () => {
    assert.equal(await send("/v1/traces", new Uint8Array((1 << 20) + 1)), 413);
    assert.equal(await send("/v1/traces", new Uint8Array(1 << 20)), 200);
    assert.equal(await send("/v1/secrets", "{}"), 404);
    await until(() => relay.counters.sentCount === 4, () => JSON.stringify(relay.counters));
    assert.equal(relay.counters.refusedCount, 2);
  });

  await check(`${EXPORTS} exports at once: each arrives once`, async () => {
    received.length = 0;
    const bodies = Array.from({ length: EXPORTS }, (_, index) => JSON.stringify({ index }));
    const statuses = await Promise.all(bodies.map((body) => send("/v1/logs", body)));
    assert.deepEqual(new Set(statuses), new Set([200]));
    await until(() => relay.counters.sentCount === 4 + EXPORTS, () => JSON.stringify(relay.counters));
    assert.deepEqual(received.map(({ body }) => String(body)).sort(), bodies.sort());
  });

  await check("an enclave's own traces, metrics and log take that way", async () => {
    received.length = 0;
    const app = enclaveApp().get("/v1/hello", (c) => c.json({}));
    await using _enclave = await startEnclave(app, {
      name: "telemetry",
      nsm: await SoftwareNsm.create(),
      signals: false,
      environment: { VSOCK_PORT: "8080", CONTROL_PORT: "0", ENCLAVE_KMS_TELEMETRY: "vsock:3:4318" },
    });
    const fetch = createFetch({ transport: "vsock", cid: GUEST_CID, port: 8080 }, PATIENT);
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    assert.equal((await fetch("http://enclave/v1/hello", { headers })).status, 200);
    const has = (path: string, text: string) =>
      received.some((one) => one.path === path && String(one.body).includes(text));
    await until(
      () => has("/v1/traces", traceId) && has("/v1/metrics", '"telemetry"') && has("/v1/logs", "listening"),
      () => received.map(({ path, body }) => `${path} ${body}`).join("\n"),
    );
  });
}

collector.closeAllConnections();
await new Promise((resolve) => collector.close(resolve));

await check("a collector that is gone: exports are taken, dropped and counted", async () => {
  const drops: unknown[] = [];
  await using relay = await TelemetryRelay.open({
    endpoint,
    timeoutMs: 2000,
    onDrop: (reason, error) => drops.push([reason, (error as EnclaveKmsError).code]),
  });
  assert.equal(await send("/v1/traces", "{}"), 200);
  await until(() => relay.counters.failedCount === 1, () => JSON.stringify(relay.counters));
  assert.equal(relay.counters.sentCount, 0);
  assert.deepEqual(drops, [["failed", "ERR_TIMEOUT"]]);
});
