import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createRawServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { connect, createFetch } from "../../../lib/transport/mod.ts";
import {
  CertificateError,
  readTelemetrySettings,
  type TelemetryDrop,
  TelemetryRelay,
  type TelemetryRelayOptions,
  TimeoutError,
} from "../../../parent/mod.ts";
import { TlsAuthority } from "../../../sim/mod.ts";
import { until } from "../../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-telemetry-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Received {
  readonly path: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

type Answer = (response: ServerResponse, received: Received) => void;

const take: Answer = (response) => response.end("{}");

/** Opens a collector that notes what comes; on TLS with an authority of its own. */
async function openCollector(answer: Answer = take, tls?: TlsAuthority) {
  const received: Received[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const one = { path: request.url, headers: request.headers, body: Buffer.concat(chunks) };
      received.push(one);
      answer(response, one);
    });
  };
  const server = tls === undefined
    ? createServer(listener)
    : createTlsServer(await tls.certificate("valid"), listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    received,
    endpoint: tls === undefined ? `http://127.0.0.1:${address.port}` : `https://localhost:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Opens a relay, and an enclave that sends to it. */
async function openRelay(endpoint: string, options: Partial<TelemetryRelayOptions> = {}) {
  const drops: (readonly [TelemetryDrop, unknown])[] = [];
  const relay = await TelemetryRelay.open({
    endpoint,
    simulationFolder: mkdtempSync(join(folder, "x")),
    onDrop: (reason, error) => drops.push([reason, error]),
    ...options,
  });
  const fetch = createFetch(relay.endpoint, { idleTimeoutMs: 60_000 });
  const send = async (path = "/v1/traces", init: RequestInit = {}) => {
    const headers = { "content-type": "application/json", ...init.headers as Record<string, string> };
    const answer = await fetch(`http://parent${path}`, { method: "POST", body: "{}", ...init, headers });
    return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
  };
  return { relay, drops, send, [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose]() };
}

/** Announces an export of 1 MiB, and sends one byte of it. */
async function beginExport(relay: TelemetryRelay) {
  const stream = await connect(relay.endpoint);
  stream.on("error", () => {});
  const head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  stream.write(`${head}content-length: 1048576\r\n\r\n{`);
  return stream.resume();
}

describe("TelemetryRelay", () => {
  test("takes traces, metrics and logs to the collector's path, untouched", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(`${collector.endpoint}/base/`);
    const body = gzipSync("spans");
    const headers = { "content-type": "application/x-protobuf", "content-encoding": "gzip" };
    assert.deepEqual(await world.send("/v1/traces", { body, headers }), {
      status: 200,
      type: "application/x-protobuf",
      text: "",
    });
    assert.equal((await world.send("/v1/metrics")).text, "{}");
    assert.equal((await world.send("/v1/logs")).status, 200);
    await until(() => world.relay.counters.sentCount === 3);
    const [traces] = collector.received.filter(({ path }) => path === "/base/v1/traces");
    assert.deepEqual(traces?.body, body);
    assert.equal(traces?.headers["content-encoding"], "gzip");
    assert.deepEqual(collector.received.map(({ path }) => path).toSorted(), [
      ...["/base/v1/logs", "/base/v1/metrics", "/base/v1/traces"],
    ]);
    await until(() => world.relay.counters.queuedCount === 0);
    assert.deepEqual(world.relay.counters, {
      ...{ takenCount: 3, sentCount: 3, refusedCount: 0, fullCount: 0, rejectedCount: 0 },
      ...{ failedCount: 0, closedCount: 0, queuedCount: 0, queuedBytes: 0 },
    });
  });

  test("passes on no header of the enclave's but two, and adds the parent's", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(collector.endpoint, { headers: { "API-Key": "parent's" } });
    const headers = {
      ...{
        authorization: "Bearer enclave",
        "api-key": "enclave's",
        cookie: "a=b",
        "x-forwarded-for": "9.9.9.9",
      },
      ...{ "content-type": "application/json; charset=utf-8", "user-agent": "enclave" },
    };
    assert.equal((await world.send("/v1/logs", { headers })).status, 200);
    await until(() => collector.received.length === 1);
    const { host: _, ...passed } = collector.received[0]?.headers ?? {};
    assert.deepEqual(passed, {
      ...{
        "api-key": "parent's",
        "content-type": "application/json",
        "content-length": "2",
        connection: "close",
      },
    });
  });

  test("refuses whatever is no export, and sends none of it", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(collector.endpoint);
    const cases: readonly (readonly [path: string, init: RequestInit, status: number])[] = [
      ["/v1/profiles", {}, 404],
      ["/", {}, 404],
      ["/v1/traces?x=1", {}, 404],
      ["/v1/traces/", {}, 404],
      ["/v1/%74races", {}, 404],
      ["/v1/traces", { method: "GET", body: null }, 405],
      ["/v1/traces", { method: "PUT" }, 405],
      ["/v1/traces", { headers: { "content-type": "text/plain" } }, 415],
      ["/v1/traces", { headers: { "content-encoding": "br" } }, 415],
      ["/v1/traces", { body: new Uint8Array((1 << 20) + 1) }, 413],
      ["/v1/traces", { body: endless((1 << 20) + 1), duplex: "half" } as RequestInit, 413],
    ];
    for (const [path, init, status] of cases) {
      assert.equal((await world.send(path, init)).status, status, `${init.method ?? "POST"} ${path}`);
    }
    assert.equal(world.relay.counters.refusedCount, cases.length);
    assert.equal((await world.send("/v1/traces", { body: new Uint8Array(1 << 20) })).status, 200);
    await until(() => collector.received.length === 1);
    assert.deepEqual(world.drops, []);
  });

  test("a body that breaks off is not sent, and its room is given back", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(collector.endpoint);
    const stream = await connect(world.relay.endpoint);
    stream.on("error", () => {});
    stream.write(
      "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    );
    await until(() => world.relay.counters.queuedBytes === 1);
    stream.destroy();
    await until(() => world.relay.counters.queuedCount === 0);
    assert.deepEqual([world.relay.counters.refusedCount, world.relay.counters.queuedBytes], [1, 0]);
    assert.deepEqual(collector.received, []);
  });

  test("bodies that are announced and hardly sent take no room from others", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(collector.endpoint, { bodyTimeoutMs: 600_000 });
    const count = 20;
    for (let sent = 0; sent < count; sent++) await beginExport(world.relay);
    await until(() => world.relay.counters.queuedBytes === count);
    const body = new Uint8Array(1 << 20);
    assert.equal((await world.send("/v1/traces", { body })).status, 200);
    await until(() => world.relay.counters.sentCount === 1);
    assert.deepEqual([world.relay.counters.fullCount, world.relay.counters.queuedCount], [0, count]);
  });

  test("a body that does not come in time ends with its connection", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(collector.endpoint, { bodyTimeoutMs: 50 });
    const slow = await beginExport(world.relay);
    await until(() => slow.closed);
    await until(() => world.relay.counters.queuedCount === 0);
  });

  test("a collector that is silent holds nobody up: what has no room is dropped, and counted", async () => {
    await using collector = await openCollector(() => {});
    await using world = await openRelay(collector.endpoint, {
      maxQueued: 12,
      maxSending: 2,
      timeoutMs: 60_000,
    });
    const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await world.send()).status));
    assert.deepEqual(statuses.toSorted(), [...Array(6).fill(200), ...Array(4).fill(503)]);
    assert.equal(world.relay.counters.fullCount, 4);
    assert.deepEqual(world.drops.map(([reason]) => reason), Array(4).fill("full"));
    await until(() => collector.received.length === 2);
    await world.relay[Symbol.asyncDispose]();
    assert.deepEqual([world.relay.counters.closedCount, world.relay.counters.queuedBytes], [6, 0]);
  });

  test("bounds the bytes, too", async () => {
    await using collector = await openCollector(() => {});
    await using world = await openRelay(collector.endpoint, { maxBodyBytes: 1000, maxQueuedBytes: 4000 });
    const body = new Uint8Array(1000);
    const statuses = [];
    for (let sent = 0; sent < 3; sent++) statuses.push((await world.send("/v1/traces", { body })).status);
    assert.deepEqual(statuses, [200, 200, 503]);
    assert.equal(world.relay.counters.queuedBytes, 2000);
  });

  test("a collector that is dead costs each export its deadline, and serves again when it is back", async () => {
    const gone = await openCollector();
    await gone[Symbol.asyncDispose]();
    await using world = await openRelay(gone.endpoint, { timeoutMs: 200 });
    assert.equal((await world.send()).status, 200);
    await until(() => world.relay.counters.failedCount === 1);
    assert.ok(world.drops[0]?.[1] instanceof TimeoutError);

    let refusals = 0;
    await using collector = await openCollector((response) => {
      response.statusCode = refusals++ === 0 ? 503 : 200;
      response.end();
    });
    await using second = await openRelay(collector.endpoint, { timeoutMs: 60_000 });
    await second.send();
    await until(() => second.relay.counters.sentCount === 1);
    assert.equal(collector.received.length, 2, "once more after 503");
  });

  test("an answer without end is not read, and one that is slow or no HTTP ends with the deadline", async () => {
    await using endlessOne = await openCollector((response) => {
      const write = () => {
        while (!response.destroyed && response.write(new Uint8Array(65_536)));
      };
      response.on("drain", write);
      write();
    });
    await using world = await openRelay(endlessOne.endpoint);
    await world.send();
    await until(() => world.relay.counters.sentCount === 1);

    for (const speech of ["HTTP/1.1 200", "220 ftp\r\n", ""]) {
      await using raw = await openRaw((socket) => void socket.write(speech));
      await using other = await openRelay(raw.endpoint, { timeoutMs: 150 });
      await other.send();
      await until(() => other.relay.counters.failedCount === 1);
    }
  });

  test("what the collector refuses is dropped at once, and redirects are not followed", async () => {
    await using elsewhere = await openCollector();
    const answers: readonly Answer[] = [
      (response) => void response.writeHead(400).end(),
      (response) => void response.writeHead(401).end(),
      (response) => void response.writeHead(307, { location: `${elsewhere.endpoint}/v1/traces` }).end(),
    ];
    for (const answer of answers) {
      await using collector = await openCollector(answer);
      await using world = await openRelay(collector.endpoint);
      await world.send();
      await until(() => world.relay.counters.rejectedCount === 1);
      assert.equal(collector.received.length, 1);
      assert.match(String(world.drops[0]?.[1]), /ProtocolError: .* answered with status (?:400|401|307)$/);
    }
    assert.deepEqual(elsewhere.received, []);
  });

  test("verifies the collector's certificate", async () => {
    const tls = await TlsAuthority.create("localhost");
    const { trustedCertificates } = tls;
    await using collector = await openCollector(take, tls);
    await using trusting = await openRelay(collector.endpoint, { trustedCertificates });
    await trusting.send();
    await until(() => trusting.relay.counters.sentCount === 1);
    for (
      const options of [{}, {
        trustedCertificates: (await TlsAuthority.create("localhost")).trustedCertificates,
      }]
    ) {
      await using doubting = await openRelay(collector.endpoint, options);
      await doubting.send();
      await until(() => doubting.relay.counters.failedCount === 1);
      assert.ok(doubting.drops[0]?.[1] instanceof CertificateError);
    }
    assert.equal(collector.received.length, 1);
  });

  test("close() sends what waits, and drops what it cannot", async () => {
    await using collector = await openCollector();
    await using world = await openRelay(collector.endpoint, { maxSending: 1 });
    for (let sent = 0; sent < 5; sent++) await world.send();
    await world.relay.close();
    assert.deepEqual([world.relay.counters.sentCount, collector.received.length], [5, 5]);
    await using silent = await openCollector(() => {});
    await using stuck = await openRelay(silent.endpoint);
    await stuck.send();
    await stuck.relay.close({ graceMs: 50 });
    assert.equal(stuck.relay.counters.closedCount, 1);
  });

  test("refuses malformed options", async () => {
    const wrong: Readonly<Record<string, unknown>>[] = [
      ...["ftp://x", "x", "https://u:p@x", "https://x?y", "https://x#y", 5, undefined].map((endpoint) => ({
        endpoint,
      })),
      ...[{ headers: { host: "x" } }, { headers: { "content-type": "x" } }, { headers: { a: "b\r\nc: d" } }],
      ...[{ headers: { "a b": "c" } }, { headers: { a: 5 } }, { headers: { a: "1", A: "2" } }, {
        port: 7100,
      }],
      ...[{ port: 7099 }, { maxBodyBytes: 0 }, { maxQueuedBytes: 1024 }, { maxSending: 65 }, { onDrop: 1 }, {
        x: 1,
      }],
    ];
    for (const options of wrong) {
      const rejected = (error: unknown) => error instanceof TypeError || error instanceof RangeError;
      const opening = TelemetryRelay.open({
        endpoint: "http://127.0.0.1:1",
        simulationFolder: folder,
        ...options,
      });
      await assert.rejects(opening, rejected, JSON.stringify(options));
    }
  });
});

describe("readTelemetrySettings()", () => {
  test("reads OpenTelemetry's names", () => {
    const settings = readTelemetrySettings({
      OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.example:4318/x",
      OTEL_EXPORTER_OTLP_HEADERS: "API-Key=a%2Cb, tenant=c=d,",
      OTEL_EXPORTER_OTLP_TIMEOUT: "5000",
    });
    const headers = { "api-key": "a,b", tenant: "c=d" };
    assert.deepEqual(settings, { endpoint: "https://collector.example:4318/x", headers, timeoutMs: 5000 });
    assert.equal(readTelemetrySettings({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }), undefined);
  });

  test("names the variable that is wrong, and no value of a header", () => {
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://x" };
    const cases = [
      [{ OTEL_EXPORTER_OTLP_ENDPOINT: "x" }, /^OTEL_EXPORTER_OTLP_ENDPOINT: /],
      ...["secret", "=secret", "a=%zzsecret", "host=secret", "a=secret,A=secret", "a=%00secret"].map((text) =>
        [
          { ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: text },
          /^OTEL_EXPORTER_OTLP_HEADERS: (?!.*secret)/,
        ] as const
      ),
      ...["0", "-1", "1.5", "x", "99999999999"].map((text) =>
        [{ ...endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: text }, /^OTEL_EXPORTER_OTLP_TIMEOUT /] as const
      ),
    ] as const;
    for (const [env, message] of cases) {
      assert.throws(() => readTelemetrySettings(env), { name: "TypeError", message });
    }
  });
});

/** Makes a body whose length is not told. */
function endless(bytes: number): ReadableStream<Uint8Array> {
  return new Blob([new Uint8Array(bytes)]).stream();
}

async function openRaw(onConnection: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createRawServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
