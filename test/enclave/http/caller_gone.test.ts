import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { listen } from "../../../lib/transport/listen.ts";
import { DEFAULT_HTTP_TIMEOUTS, HttpListener } from "../../../enclave/http/http_listener.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { oneChunk } from "../../../enclave/http/one_chunk.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { Proxy } from "../../support/proxy.ts";
import { ENCRYPTION_CONTEXT, Fixture, PARENT, PLAINTEXT, until } from "../../server/fixture.ts";
import { dial, exchange, Serving } from "../../server/serving.ts";

const PLAINTEXT_BASE64 = Buffer.from(PLAINTEXT).toString("base64");

/** Far longer than this test: what ends sooner does not end because the time is up. */
const TIMEOUT_MS = 60_000;

const post = (path: string, body: unknown) => {
  const text = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
    `connection: close\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
};

describe("a caller that goes away while KMS stalls", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  let fixture: Fixture;
  let serving: Serving;
  let proxy: Proxy;
  const places = {} as { unix: Endpoint; tcp: Endpoint; kmstool: Endpoint };

  beforeAll(async () => {
    fixture = await Fixture.start({
      // One place, and none to wait: who still holds it keeps everybody out.
      maxConcurrent: 1,
      maxWaiting: 0,
      timeoutMs: TIMEOUT_MS,
      through: async (endpoint) => {
        proxy = new Proxy(endpoint);
        await proxy.start();
        return proxy.endpoint;
      },
    });
    await fixture.setCredentials();
    serving = new Serving(fixture);
    places.unix = await serving.listen("http", { transport: "unix", path: join(folder, "http") });
    places.tcp = await serving.listen("http");
    places.kmstool = await serving.listen("kmstool");
  });
  beforeEach(async () => {
    await fixture.simulator.kms.clearFaults();
    fixture.logged.length = 0;
  });
  afterAll(async () => {
    await serving[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** Reads the number of callers that left from the metrics. */
  function goneCount(protocol: string): number {
    const sample = new RegExp(
      `requests_total\\{protocol="${protocol}",operation="Decrypt",outcome="gone"\\} (\\d+)`,
    );
    return Number(sample.exec(fixture.metrics.render())?.[1] ?? 0);
  }

  /** Sends a request that KMS does not answer, and goes away when KMS has it. */
  async function leave(
    protocol: "http" | "kmstool",
    socket: Duplex,
    request: string,
    go: () => void,
  ): Promise<void> {
    const { kms } = fixture.simulator;
    await kms.injectFault({ kind: "hang" });
    const { requestCount } = kms;
    const before = goneCount(protocol);
    socket.write(request);
    await until(() => kms.requestCount > requestCount);
    assert.deepEqual([kms.requestCount, proxy.open], [requestCount + 1, 1]);
    go();
    await until(() => proxy.open === 0 && goneCount(protocol) > before);
    assert.deepEqual([proxy.open, goneCount(protocol)], [0, before + 1]);
    assert.match(fixture.metrics.render(), /requests_running 0\n/);
    const { outcome, operation, failure } = fixture.lastLine;
    assert.deepEqual([outcome, operation], ["gone", "Decrypt"]);
    assert.equal((failure as { code: string }).code, "ERR_CALLER_GONE");
    await kms.clearFaults();
  }

  for (const transport of ["unix", "tcp"] as const) {
    test(`is noticed over ${transport}: KMS is let go, and the next is served`, async () => {
      const request = post("/v1/decrypt", fixture.decryptBody);
      const socket = dial(places[transport]);
      await leave("http", socket, request, () => socket.destroy());
      const answer = await exchange(places[transport], request);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 200 [^]*"${PLAINTEXT_BASE64}"`));
    });
  }

  const decrypt = () =>
    `${
      JSON.stringify({
        Operation: "Decrypt",
        Ciphertext: fixture.ciphertext,
        EncryptionContext: ENCRYPTION_CONTEXT,
      })
    }\0`;

  async function kmstoolClient(): Promise<Duplex> {
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    const socket = dial(places.kmstool);
    socket.write(`${
      JSON.stringify({
        Operation: "SetClient",
        AwsAccessKeyId: accessKeyId,
        AwsSecretAccessKey: secretAccessKey,
        AwsSessionToken: sessionToken,
      })
    }\0`);
    await new Promise((resolve) => socket.once("data", resolve));
    return socket;
  }

  test("is noticed by kmstool's protocol when the connection breaks", async () => {
    const socket = await kmstoolClient();
    await leave("kmstool", socket, decrypt(), () => (socket as Socket).resetAndDestroy());
  });

  test("is not who only ends its own direction, and waits for the reply", async () => {
    const socket = await kmstoolClient();
    let reply = "";
    socket.on("data", (chunk) => (reply += String(chunk)));
    const { kms } = fixture.simulator;
    await kms.injectFault({ kind: "latency", ms: 200 });
    socket.end(decrypt());
    await new Promise((resolve) => socket.once("close", resolve));
    assert.equal(reply, `{"Status":"Ok","Message":"${PLAINTEXT_BASE64}"}\0`);
  });
});

describe("HttpListener", () => {
  test("wipes an answer that came after its caller went away, and ends the turn", async () => {
    const plaintext = new TextEncoder().encode(PLAINTEXT);
    const [asked, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const logger = createLogger("silent");
    const listener = new HttpListener({
      logger,
      metrics: new Metrics(),
      refusals: new RefusalLog({ logger }),
      timeouts: DEFAULT_HTTP_TIMEOUTS,
      async fetch(_request, caller) {
        caller.gone.addEventListener("abort", () => gone.resolve());
        asked.resolve();
        await gone.promise;
        return new Response(oneChunk(plaintext));
      },
    });
    const place = await listen(
      { transport: "tcp", host: "127.0.0.1", port: 0 },
      {},
      ({ stream }) => listener.accept(stream, PARENT),
    );
    const socket = dial(place.endpoint);
    socket.write(post("/", {}));
    await asked.promise;
    socket.destroy();
    await until(() => plaintext.every((byte) => byte === 0));
    assert.ok(plaintext.every((byte) => byte === 0));
    await listener.close(1000);
    await place[Symbol.asyncDispose]();
  });
});
