import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { TelemetryRelay } from "../../../parent/mod.ts";
import { readConfig } from "../../../server/config.ts";
import { startServer } from "../../../server/server.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { dial, exchangeMessages } from "../../server/serving.ts";
import { until } from "../../support/until.ts";
import { attributesOf, openCollector } from "./collector.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const ENVIRONMENT = {
  ENV_SETUP: "SIM",
  ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
  ENCLAVE_PORT: "0",
  CONTROL_PORT: "0",
};

const textOf = (endpoint: Endpoint): string => {
  if (endpoint.transport === "unix") return `unix:${endpoint.path}`;
  assert.ok(endpoint.transport === "tcp");
  return `tcp:${endpoint.host}:${endpoint.port}`;
};

describe("telemetry", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-telemetry-"));
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(async () => {
    await simulator.close();
    rmSync(folder, { recursive: true });
  });
  const nsm = () => ({
    exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
    [Symbol.dispose]() {},
  });

  async function start(telemetry: string | undefined, lines: string[] = []) {
    const app = enclaveApp()
      .get("/v1/trace", (c) => c.text(c.var.traceparent))
      .get("/v1/fails", () => {
        throw new Error("HUSH");
      });
    return await startEnclave(app, {
      name: "observed",
      nsm: nsm(),
      signals: false,
      logger: createLogger("info", (line) => lines.push(line)),
      environment: {
        ...ENVIRONMENT,
        ...(telemetry !== undefined && { ENCLAVE_KMS_TELEMETRY: telemetry }),
      },
    });
  }

  test("of an application: spans, metrics and log lines, and the trace for its handlers", async () => {
    await using collector = await openCollector();
    const lines: string[] = [];
    await using enclave = await start(textOf(collector.endpoint), lines);
    const fetch = createFetch(enclave.endpoint);
    const get = (path: string, headers = {}) => fetch(`http://enclave${path}`, { headers });
    const traced = await get("/v1/trace", { traceparent: TRACEPARENT, tracestate: "vendor=HUSH" });
    const [, traceId, spanId] = /^00-(\w{32})-(\w{16})-01$/.exec(await traced.text()) ?? [];
    assert.equal(traceId, TRACE);
    const fresh = await get("/v1/trace", { traceparent: `${TRACEPARENT}, ${TRACEPARENT}` });
    const [, own] = /^00-(\w{32})-\w{16}-01$/.exec(await fresh.text()) ?? [];
    assert.equal(own, fresh.headers.get("x-request-id")?.replaceAll("-", ""));
    assert.equal((await get("/v1/fails?HUSH", { "user-agent": "HUSH" })).status, 500);
    await enclave.close();
    const spans = collector.items("/v1/traces");
    assert.deepEqual(spans.map((span) => attributesOf(span)["enclave_kms.answer"]), ["200", "200", "500"]);
    assert.deepEqual(
      [spans[0]?.["spanId"], spans[0]?.["parentSpanId"], spans[1]?.["parentSpanId"]],
      [spanId, "b7ad6b7169203331", undefined],
    );
    const bodies = collector.items("/v1/logs").map(({ body }) => `${Object.values(body as object)[0]}\n`);
    const told = lines.slice(lines.findIndex((line) => line.includes("telemetry leaves")) + 1);
    assert.deepEqual(bodies, told.slice(0, bodies.length), "each line, word for word");
    assert.ok(
      bodies.some((body) => body.includes('"msg":"listening"')) && bodies.at(-1)?.includes('"closed"'),
    );
    assert.ok(!JSON.stringify(collector.exports.map(({ body }) => body)).includes("HUSH"));
    assert.ok(collector.items("/v1/metrics").length > 20);
    assert.ok(lines.some((line) => line.includes(`"trace":"${TRACE}"`)), "the log has the trace as well");
  });

  test("of the server, over both protocols", async () => {
    await using collector = await openCollector();
    writeFileSync(join(folder, "ca.pem"), simulator.trustedCertificates);
    const config = readConfig({
      ENCLAVE_KMS_REGION: "eu-central-1",
      ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_KMSTOOL: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(folder, "ca.pem"),
      ENCLAVE_KMS_TELEMETRY: textOf(collector.endpoint),
    });
    await using server = await startServer(config, { nsm: nsm(), logger: createLogger("silent") });
    assert.ok(server.httpEndpoint !== undefined && server.kmstoolEndpoint !== undefined);
    const body = JSON.stringify({ ciphertext: encodeBase64(new Uint8Array(64)) });
    const headers = { "content-type": "application/json", traceparent: TRACEPARENT };
    const answer = await createFetch(server.httpEndpoint)("http://enclave/v1/decrypt", {
      method: "POST",
      headers,
      body,
    });
    assert.equal(answer.status, 403);
    await exchangeMessages(server.kmstoolEndpoint, '{"Operation":"Decrypt"}\0', 1);
    await server.close();
    const [http, kmstool] = collector.items("/v1/traces");
    assert.equal(http?.["traceId"], TRACE);
    const { "enclave_kms.protocol": protocol, "enclave_kms.outcome": outcome } = attributesOf(http);
    assert.deepEqual([http?.["name"], protocol, outcome], ["Decrypt", "http", "denied"]);
    assert.equal(attributesOf(kmstool)["enclave_kms.protocol"], "kmstool");
    assert.equal(collector.items("/v1/logs").length, 0, "a silent log exports nothing");
    const [resource] = collector.exports[0]?.body["resourceMetrics"] as [
      { resource: Record<string, unknown> },
    ];
    assert.equal(attributesOf(resource.resource)["service.name"], "decrypt-server");
  });

  test("arrives through the parent's relay", async () => {
    await using collector = await openCollector();
    assert.ok(collector.endpoint.transport === "tcp");
    const simulationFolder = mkdtempSync(join(folder, "relay-"));
    const endpoint = `http://127.0.0.1:${collector.endpoint.port}`;
    await using relay = await TelemetryRelay.open({ endpoint, simulationFolder });
    await using enclave = await start(textOf(relay.endpoint));
    await createFetch(enclave.endpoint)("http://enclave/v1/trace", { headers: { traceparent: TRACEPARENT } });
    await enclave.close();
    await until(() => relay.counters.sentCount === 3);
    assert.deepEqual(relay.counters.refusedCount, 0);
    assert.equal(collector.items("/v1/traces")[0]?.["traceId"], TRACE);
  });

  test("is off unless the image says otherwise, whatever a caller or the parent says", async () => {
    const lines: string[] = [];
    await using enclave = await start(undefined, lines);
    const fetch = createFetch(enclave.endpoint);
    assert.match(await (await fetch("http://enclave/v1/trace")).text(), /^00-\w{32}-\w{16}-01$/);
    const text = await (await fetch("http://enclave/metrics")).text();
    assert.ok(!lines.some((line) => line.includes("telemetry")));
    assert.doesNotMatch(text, /^enclave_kms_telemetry/m);
    await assert.rejects(start("vsock:3"), /telemetry \(ENCLAVE_KMS_TELEMETRY\)/);
  });

  for (
    const [name, greet] of [
      ["closes", (stream) => void stream.destroy()],
      ["is silent", () => {}],
      ["never ends its answer", (stream) => {
        const pour = () =>
          void (stream.destroyed || stream.write("HTTP/1.1 1".repeat(1000), () => setTimeout(pour)));
        pour();
      }],
    ] satisfies (readonly [string, Parameters<typeof openCollector>[1]])[]
  ) {
    test(`no request waits for a collector that ${name}`, async () => {
      await using collector = await openCollector(() => {}, greet);
      await askWith(collector.endpoint);
      assert.ok(collector.connections.length <= 60, `${collector.connections.length} connections`);
    });
  }

  test("no request waits for a collector that is not there", async () => {
    await askWith({ transport: "unix", path: join(folder, "nobody.sock") });
  });

  /** Makes more requests than a batch has; each is answered while no export ever was. */
  async function askWith(endpoint: Endpoint): Promise<void> {
    await using enclave = await start(textOf(endpoint));
    using caller = new KeptCaller(enclave.endpoint);
    let answered = 0;
    for (let request = 0; request < 600; request++) {
      assert.match(await caller.get("/v1/trace"), /^HTTP\/1\.1 200 /);
      answered++;
    }
    const metrics = await (await createFetch(enclave.endpoint)("http://enclave/metrics")).text();
    assert.equal(answered, 600);
    assert.doesNotMatch(metrics, /^enclave_kms_telemetry_items_total\{signal="\w+",outcome="sent"\}/m);
    assert.match(metrics, /^enclave_kms_telemetry_waiting_bytes [1-9]/m);
    await enclave.close();
  }
});

/** One connection that asks one thing after the other. */
class KeptCaller implements Disposable {
  readonly #socket: ReturnType<typeof dial>;
  #text = "";
  #wake: (() => void) | undefined;

  constructor(endpoint: Endpoint) {
    this.#socket = dial(endpoint);
    this.#socket.on("data", (chunk) => {
      this.#text += String(chunk);
      this.#wake?.();
    });
  }

  async get(path: string): Promise<string> {
    this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: enclave\r\n\r\n`);
    // 55 characters of a traceparent end each answer.
    while (!/\r\n\r\n.{55}$/s.test(this.#text)) await new Promise<void>((resolve) => (this.#wake = resolve));
    const answer = this.#text;
    this.#text = "";
    return answer;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
