import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { describe, test } from "#test";
import {
  TelemetryExporter,
  type TelemetryExporterParts,
  type TelemetryLimits,
} from "../../../../enclave/telemetry/export/telemetry_exporter.ts";
import { createLogger, tapLogger } from "../../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../../enclave/telemetry/refusal_log.ts";
import { RequestRecord } from "../../../../enclave/telemetry/request_record.ts";
import type { Endpoint } from "../../../../lib/core/endpoint.ts";
import { EnclaveKmsError } from "../../../../lib/core/errors.ts";
import { until } from "../../../support/until.ts";
import { type Answer, attributesOf, openCollector } from "../collector.ts";

/** Nothing is sent but by full batches and at the end, unless a test says so. */
const LIMITS: Partial<TelemetryLimits> = {
  everyMs: 1_000_000,
  metricsEveryMs: 1_000_000,
  timeoutMs: 60_000,
  closeMs: 60_000,
  pauses: { firstMs: 1, maxMs: 1 },
};

/** An exporter, and requests that end. */
function setUp(endpoint: Endpoint, limits: Partial<TelemetryLimits> = {}) {
  const changes: unknown[] = [];
  const metrics = new Metrics();
  const logger = createLogger("info", () => {});
  const parts: TelemetryExporterParts = {
    endpoint,
    resource: { "service.name": "tested" },
    families: () => metrics.families,
    onChange: (failure) => changes.push(failure),
    limits: { ...LIMITS, ...limits },
  };
  const exporter = new TelemetryExporter(parts);
  metrics.observeTelemetry(exporter);
  tapLogger(logger, (line) => exporter.takeLine(line));
  const log = { logger, metrics, refusals: new RefusalLog({ logger }), sink: exporter };
  const finish = (count = 1, connection = {}) => {
    for (let number = 0; number < count; number++) {
      new RequestRecord("http", 3, undefined, connection).finish(log, "ok", 200);
    }
  };
  const counts = () =>
    Object.fromEntries(
      exporter.counts.map(([{ signal, outcome }, count]) => [`${signal} ${outcome}`, count]),
    );
  return { exporter, changes, finish, counts, logger, log, metrics };
}

const answer = (status: number): Answer => (stream) => void stream.end(`HTTP/1.1 ${status} X\r\n\r\n`);

describe("TelemetryExporter", () => {
  test("sends metrics, spans and the lines of the log, and each once", async () => {
    await using collector = await openCollector();
    const { exporter, finish, counts } = setUp(collector.endpoint);
    finish(3);
    await exporter.close();
    assert.deepEqual(collector.exports.map(({ path }) => path), ["/v1/metrics", "/v1/traces", "/v1/logs"]);
    for (const { head } of collector.exports) assert.match(head, /^content-type: application\/json$/m);
    const [spans, logs] = [collector.items("/v1/traces"), collector.items("/v1/logs")];
    assert.deepEqual([spans.length, logs.length], [3, 3]);
    assert.deepEqual(
      logs.map(({ traceId, spanId }) => [traceId, spanId]),
      spans.map(({ traceId, spanId }) => [
        ...[traceId, spanId],
      ]),
    );
    assert.equal(new Set(spans.map(({ traceId }) => traceId)).size, 3);
    const names = collector.items("/v1/metrics").map(({ name }) => name);
    assert.ok(names.includes("enclave_kms_requests_total") && names.includes("enclave_kms_request_seconds"));
    assert.deepEqual(counts(), { "metrics sent": 1, "traces sent": 3, "logs sent": 3 });
    assert.equal(exporter.waitingBytes, 0);
  });

  test("sends a full batch at once, and what is less from time to time", async () => {
    await using collector = await openCollector();
    const full = setUp(collector.endpoint, { batchItems: 4 });
    full.finish(4);
    await until(() => full.counts()["traces sent"] === 4);
    await full.exporter.close();
    const timed = setUp(collector.endpoint, { everyMs: 5 });
    timed.exporter.start();
    timed.finish(1);
    await until(() => timed.counts()["traces sent"] === 1);
    await timed.exporter.close();
  });

  test("sends a batch when the one before is answered, and not sooner", async () => {
    let answered = 0;
    const early: number[] = [];
    await using collector = await openCollector((stream, got) => {
      answered++;
      answer(200)(stream, got);
    }, () => {
      if (collector.connections.length !== answered + 1) early.push(answered);
    });
    const { exporter, finish, counts } = setUp(collector.endpoint, { batchItems: 8 });
    finish(100);
    await exporter.close();
    assert.equal(counts()["traces sent"], 100);
    assert.ok(collector.exports.length > 13 && collector.items("/v1/traces").length === 100);
    assert.deepEqual(early, []);
  });

  test("sends no handful that came during an export, and every batch", async () => {
    let answered = 0;
    await using collector = await openCollector((stream, got) => {
      // Two requests end during each export: sent after it, each pair would be an export of its own.
      if (answered++ < 50) finish(2);
      answer(200)(stream, got);
    });
    const { exporter, finish, counts } = setUp(collector.endpoint, { batchItems: 8 });
    finish(24);
    await until(() => (counts()["traces sent"] ?? 0) >= 40 && (counts()["logs sent"] ?? 0) >= 40);
    assert.equal(collector.exports.length, 1 + 5 + 5, "metrics, and full batches");
    await exporter.close();
    assert.ok(collector.items("/v1/traces").length >= 24 + 2 * 11, "what waited is sent at the end");
  });

  test("sends spans and lines in turn: neither waits for all of the other", async () => {
    await using collector = await openCollector();
    const { exporter, finish } = setUp(collector.endpoint, { batchItems: 8 });
    finish(24);
    await exporter.close();
    const [, ...paths] = collector.exports.map(({ path }) => path);
    assert.deepEqual(paths, ["/v1/traces", "/v1/logs", "/v1/traces", "/v1/logs", "/v1/traces", "/v1/logs"]);
  });

  test("sends again what a collector does not take now, and keeps the order", async () => {
    let refusals = 3;
    await using collector = await openCollector((stream, got) =>
      answer(refusals-- > 0 ? 503 : 200)(stream, got)
    );
    const { exporter, finish, counts, changes } = setUp(collector.endpoint, { everyMs: 2 });
    finish(2);
    exporter.start();
    await until(() => counts()["traces sent"] === 2 && counts()["logs sent"] === 2);
    assert.equal(counts()["traces failed"], undefined);
    assert.deepEqual(changes, [503, undefined]);
    await exporter.close();
  });

  test("gives a batch up after five tries, and drops what the collector refuses", async () => {
    await using collector = await openCollector(answer(429));
    const { exporter, finish, counts } = setUp(collector.endpoint, { everyMs: 2 });
    finish(2);
    exporter.start();
    await until(() => counts()["traces failed"] === 2 && counts()["logs failed"] === 2);
    const traces = collector.exports.filter(({ path }) => path === "/v1/traces");
    assert.equal(traces.length, 5);
    await exporter.close();
    await using refusing = await openCollector(answer(400));
    const other = setUp(refusing.endpoint);
    other.finish(2);
    await other.exporter.close();
    assert.deepEqual(other.counts(), { "metrics rejected": 1, "traces rejected": 2, "logs rejected": 2 });
    assert.deepEqual(other.changes, [400]);
  });

  test("gives lines up that a collector never takes, though it takes spans all the time", async () => {
    await using collector = await openCollector((stream, got) => {
      const isLogs = got.path === "/v1/logs";
      // A span waits before each line is tried again.
      if (isLogs) finish();
      answer(isLogs ? 503 : 200)(stream, got);
    });
    const { exporter, finish, counts } = setUp(collector.endpoint, { everyMs: 2, batchItems: 1 });
    finish();
    exporter.start();
    await until(() => counts()["logs failed"] !== undefined || collector.exports.length > 100);
    assert.ok((counts()["logs failed"] ?? 0) >= 1);
    await exporter.close();
  });

  test("is bounded, however many requests end, and counts what had no room", async () => {
    await using collector = await openCollector(() => {}); // never answers
    const limits = { maxItems: 100, maxBytes: 40_000, closeMs: 20 };
    const { exporter, finish, counts, metrics } = setUp(collector.endpoint, limits);
    finish(20_000);
    assert.ok(exporter.waitingBytes <= 2 * 40_000, `${exporter.waitingBytes} bytes`);
    const waiting = 20_000 - (counts()["traces full"] ?? 0);
    assert.ok(waiting > 10 && waiting <= 100, `${waiting} spans wait`);
    const text = metrics.render();
    assert.ok(text.includes(`telemetry_items_total{signal="traces",outcome="full"} ${20_000 - waiting}\n`));
    assert.ok(text.includes(`telemetry_waiting_bytes ${exporter.waitingBytes}\n`));
    await exporter.close();
    assert.equal(counts()["traces closed"], waiting);
    assert.equal(exporter.waitingBytes, 0);
  });

  test("repeated refusals, and questions of health, leave room for the requests of others", async () => {
    const nowhere = { transport: "unix", path: "/nonexistent/collector.sock" } as const;
    const { exporter, finish, counts, log } = setUp(nowhere, {
      maxItems: 100,
      pauses: { firstMs: 1e9, maxMs: 1e9 },
    });
    const connection = {};
    for (let number = 0; number < 10_000; number++) {
      new RequestRecord("http", 3, undefined, connection).finish(log, "refused", 400);
    }
    assert.equal(counts()["traces full"], 10_000 - 50);
    for (let number = 0; number < 1000; number++) {
      const record = new RequestRecord("http", 3);
      record.operation = "Health";
      record.finish(log, "ok", 200);
    }
    assert.equal(counts()["traces full"], 11_000 - 50);
    finish(50);
    assert.equal(counts()["traces full"], 11_000 - 50, "each has found room");
    await exporter.close();
  });

  for (
    const [name, answers] of [
      ["closes at once", (stream: Duplex) => void stream.destroy()],
      ["is silent", () => {}],
      ["speaks no HTTP", (stream: Duplex) => void stream.end("SSH-2.0-OpenSSH_9.2\r\n")],
      [
        "answers with interim answers for ever",
        (stream: Duplex) => pour(stream, "HTTP/1.1 100 Continue\r\n\r\n"),
      ],
      ["never ends a status line", (stream: Duplex) => pour(stream, "HTTP/1.1 ".padEnd(4096, "x"))],
      ["says less than a status", (stream: Duplex) => void stream.end("HTTP/1.1 2")],
      [
        "redirects",
        (stream: Duplex) => void stream.end("HTTP/1.1 302 Found\r\nlocation: http://evil/\r\n\r\n"),
      ],
    ] as const
  ) {
    test(`a collector that ${name} costs its telemetry and nothing else`, async () => {
      await using collector = await openCollector(answers);
      const { exporter, finish, counts, changes } = setUp(collector.endpoint, { everyMs: 2, timeoutMs: 10 });
      exporter.start();
      for (let round = 0; round < 3; round++) finish(10);
      await until(() => changes.length > 0);
      const [failure] = changes;
      assert.ok(
        typeof failure === "number" || failure instanceof EnclaveKmsError || failure instanceof Error,
      );
      await exporter.close();
      assert.equal(counts()["traces sent"], undefined);
      assert.equal(
        Object.entries(counts()).filter(([name]) => name.startsWith("traces"))
          .reduce((sum, [, count]) => sum + count, 0),
        30,
      );
      await until(() => collector.connections.every(({ destroyed }) => destroyed));
    });
  }

  test("reads twelve bytes of an answer that never ends, and leaves", async () => {
    await using collector = await openCollector((stream) => {
      stream.write("HTTP/1.1 200 OK\r\n\r\n");
      pour(stream, "x".repeat(65_536));
    });
    const { exporter, finish, counts } = setUp(collector.endpoint);
    finish(5);
    await exporter.close();
    assert.deepEqual(counts(), { "metrics sent": 1, "traces sent": 5, "logs sent": 5 });
    await until(() => collector.connections.every(({ destroyed }) => destroyed));
  });

  test("ends within its time beside a collector that is silent, and counts what is left", async () => {
    await using collector = await openCollector(() => {});
    const { exporter, finish, counts } = setUp(collector.endpoint, { closeMs: 20 });
    finish(5);
    await exporter.close(); // hangs, if it waited for the collector
    assert.deepEqual([counts()["traces closed"], counts()["logs closed"]], [5, 5]);
  });

  test("takes nothing after the end that anybody would wait for, and closes once", async () => {
    await using collector = await openCollector();
    const { exporter, finish } = setUp(collector.endpoint);
    await Promise.all([exporter.close(), exporter.close()]);
    const sent = collector.exports.length;
    finish(300);
    await exporter.close();
    assert.equal(collector.exports.length, sent);
  });

  test("says once that nothing arrives, however often it tries", async () => {
    const nowhere = { transport: "unix", path: "/nonexistent/collector.sock" } as const;
    const { exporter, finish, changes, counts } = setUp(nowhere, { everyMs: 2 });
    exporter.start();
    finish(1);
    await until(() => counts()["traces failed"] === 1);
    await exporter.close();
    assert.equal(changes.length, 1);
    assert.ok(changes[0] instanceof EnclaveKmsError);
  });
});

describe("tapLogger()", () => {
  test("has another reader get each line, in ASCII, and knows no foreign logger", () => {
    const own: string[] = [];
    const other: string[] = [];
    const logger = createLogger("info", (line) => own.push(line));
    logger.info("before");
    assert.equal(tapLogger(logger, (line) => other.push(line)), true);
    logger.info({ name: "\u001b[31m\n{\u2028" }, "after");
    assert.deepEqual(own.slice(1), other);
    assert.match(other[0] ?? "", /^[ -~]+\n$/);
    assert.equal(tapLogger({} as never, () => {}), false);
  });

  test("attributes of spans and what the log tells agree", async () => {
    await using collector = await openCollector();
    const { exporter, finish } = setUp(collector.endpoint);
    finish(1);
    await exporter.close();
    const [span] = collector.items("/v1/traces");
    const [log] = collector.items("/v1/logs");
    const line = JSON.parse(Object.values(log?.["body"] as Record<string, string>)[0] ?? "");
    assert.equal(attributesOf(span)["enclave_kms.id"], line.id);
  });
});

/** Writes for as long as somebody reads. */
function pour(stream: Duplex, text: string): void {
  const write = () => {
    if (!stream.destroyed) stream.write(text, () => setTimeout(write));
  };
  write();
}
