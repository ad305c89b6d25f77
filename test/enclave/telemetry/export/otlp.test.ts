import assert from "node:assert/strict";
import { SpanKind, SpanStatusCode, ValueType } from "@opentelemetry/api";
import {
  JsonLogsSerializer,
  JsonMetricsSerializer,
  JsonTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AggregationTemporality, DataPointType } from "@opentelemetry/sdk-metrics";
import { describe, test } from "#test";
import { TelemetryExporter } from "../../../../enclave/telemetry/export/telemetry_exporter.ts";
import { encodeLog } from "../../../../enclave/telemetry/export/otlp_log.ts";
import { encodeMetrics } from "../../../../enclave/telemetry/export/otlp_metrics.ts";
import { encodeSpan, SPAN_FIELDS } from "../../../../enclave/telemetry/export/otlp_span.ts";
import { createLogger, tapLogger } from "../../../../enclave/telemetry/log.ts";
import type { Distribution, MetricFamily, Sample } from "../../../../enclave/telemetry/metric_family.ts";
import { Metrics, type Outcome } from "../../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../../enclave/telemetry/refusal_log.ts";
import type { RequestLine } from "../../../../enclave/telemetry/request_line.ts";
import { RequestRecord } from "../../../../enclave/telemetry/request_record.ts";
import { KmsError, TimeoutError } from "../../../../lib/core/errors.ts";
import { VERSION } from "../../../../lib/core/version.ts";
import { attributesOf, type Item, openCollector } from "../collector.ts";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NASTY = 'a"\\\u0000\n\r\u001b[31m\u007f\u2028\ud800é}],"x":[{';

/** Span of a request, and the line that the log has of it. */
interface Said {
  readonly record: RequestRecord;
  readonly line: RequestLine;
  readonly span: Item;
  /** Line of the log, parsed. */
  readonly logged: Readonly<Record<string, unknown>>;
}

/** Ends a request with everything that a record can have. */
function say(
  change: (record: RequestRecord) => void = () => {},
  outcome: Outcome = "ok",
  answer: number | string = 200,
): Said {
  let line: RequestLine | undefined;
  let logged = "";
  const logger = createLogger("debug", (text) => logged = text);
  const sink = { take: (_: RequestRecord, told: RequestLine) => void (line = told) };
  const record = new RequestRecord("http", 16);
  change(record);
  record.finish(
    { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }), sink },
    outcome,
    answer,
  );
  assert.ok(line !== undefined);
  return {
    record,
    line,
    span: JSON.parse(encodeSpan(record, line, 1_790_000_000_123)),
    logged: JSON.parse(logged),
  };
}

/** Fills every field of a record, with texts of a caller's where it takes any. */
function fill(record: RequestRecord): void {
  record.continueTrace(TRACEPARENT);
  record.operation = "Decrypt";
  record.keyId = NASTY;
  record.ciphertextSha256 = "ab".repeat(32);
  record.credentials = { accessKeyId: "AKIDEXAMPLE" } as never;
  record.principal = {
    type: "Token",
    issuer: "https://id.example",
    subject: "somebody@example.org",
  } as never;
  record.decision = { policy: "p.cedar", allowed: true, reason: "REASON", determining: ["policy0", NASTY] };
  record.policyMs = 0.25;
}

function timedOut(record: RequestRecord): void {
  fill(record);
  record.failure = new TimeoutError("Cannot decrypt: MESSAGE", { stage: "kms", hint: "HINT" });
}

function refusedByKms(record: RequestRecord): void {
  fill(record);
  record.failure = new KmsError("Cannot decrypt: MESSAGE", {
    ...{ hint: "HINT", kmsCode: "AccessDeniedException", requestId: "r-1", httpStatus: 400 },
    ...{ retryable: false, throttled: false, credentialsRefused: false },
  });
}

function failedElsewhere(record: RequestRecord): void {
  record.failure = new RangeError("SECRET");
}

describe("encodeSpan()", () => {
  test("has no attribute that the line of the log has not, and each with the same value", () => {
    for (
      const [change, outcome, answer] of [
        [fill, "ok", 200],
        [timedOut, "timeout", 504],
        [refusedByKms, "failed", "KmsError"],
        [failedElsewhere, "failed", 500],
        [() => {}, "refused", 404],
      ] as const
    ) {
      const { span, logged } = say(change, outcome, answer);
      const attributes = attributesOf(span);
      assert.ok(Object.keys(attributes).length >= 5);
      for (const [key, value] of Object.entries(attributes)) {
        const [, outer = "", inner] = /^enclave_kms\.(\w+)(?:\.(\w+))?$/.exec(key) ?? [];
        const field = logged[outer];
        const known = inner === undefined ? field : (field as Record<string, unknown>)[inner];
        const expected = Array.isArray(known)
          ? { values: known.map((stringValue) => ({ stringValue })) }
          : Number.isInteger(known)
          ? String(known)
          : known;
        assert.deepEqual(value, expected, key);
      }
      assert.equal(span["name"], logged["operation"]);
    }
  });

  test("leaves out reasons, messages, hints, credentials and who exactly calls", () => {
    const said = [say(timedOut, "timeout"), say(refusedByKms, "failed"), say(failedElsewhere, "failed")];
    const text = JSON.stringify(said.map(({ span }) => span));
    for (
      const secret of [
        "REASON",
        "MESSAGE",
        "HINT",
        "SECRET",
        "AKIDEXAMPLE",
        "somebody",
        "id.example",
        'sha256"',
      ]
    ) {
      assert.ok(!text.includes(secret), secret);
    }
    assert.ok(text.includes("AccessDeniedException") && text.includes("RangeError"));
    assert.ok(!SPAN_FIELDS.some((field) => /reason|message|hint|credentials|subject|issuer/.test(field)));
  });

  test("cannot be led out of a text, and is printable ASCII", () => {
    const { line, record } = say(fill);
    const text = encodeSpan(record, line, 1);
    assert.match(text, /^[ -~]+$/);
    const span = JSON.parse(text);
    assert.deepEqual(Object.keys(span), [
      ...[
        "traceId",
        "spanId",
        "parentSpanId",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
      ],
      ...["attributes", "status"],
    ]);
    assert.equal(attributesOf(span)["enclave_kms.key"], NASTY);
  });

  test("does not mistake one request's values for another's", () => {
    const first = say(fill).span;
    const bare = say().span;
    const again = say(fill).span;
    const { "enclave_kms.id": _one, ...attributes } = attributesOf(first);
    const { "enclave_kms.id": _other, ...same } = attributesOf(again);
    assert.deepEqual(same, attributes);
    assert.equal(attributesOf(bare)["enclave_kms.key"], undefined);
    assert.equal(attributesOf(bare)["enclave_kms.decision.policy"], undefined);
  });

  test("is what @opentelemetry/otlp-transformer writes of the same span", () => {
    for (const change of [fill, () => {}, timedOut]) {
      const { record, line, span } = say(change, change === timedOut ? "timeout" : "ok");
      const { trace, traceId, spanId } = record;
      const time = (nanos: unknown): [number, number] => {
        const whole = BigInt(String(nanos));
        return [Number(whole / 1_000_000_000n), Number(whole % 1_000_000_000n)];
      };
      const values = Object.fromEntries(SPAN_FIELDS.flatMap((field) => {
        const value = field.split(".").reduce<unknown>(
          (at, name) => (at as Record<string, unknown>)?.[name],
          line,
        );
        return value === undefined ? [] : [[`enclave_kms.${field}`, value]];
      }));
      const parent = trace === undefined ? {} : {
        parentSpanContext: { traceId, spanId: trace.parentSpanId, traceFlags: trace.flags, isRemote: true },
      };
      const reference = JsonTraceSerializer.serializeRequest([{
        ...{ name: line.operation, kind: SpanKind.SERVER, attributes: values, links: [], events: [] },
        spanContext: () => ({ traceId, spanId, traceFlags: 1 }),
        ...parent,
        startTime: time(span["startTimeUnixNano"]),
        endTime: time(span["endTimeUnixNano"]),
        status: { code: line.outcome === "timeout" ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
        resource: resourceFromAttributes({ "service.name": "tested" }),
        instrumentationScope: { name: "enclave-kms", version: VERSION },
        ...{
          duration: [0, 0],
          ended: true,
          droppedAttributesCount: 0,
          droppedEventsCount: 0,
          droppedLinksCount: 0,
        },
      } as never]);
      const whole = {
        resourceSpans: [{
          resource: { attributes: [{ key: "service.name", value: { stringValue: "tested" } }] },
          scopeSpans: [{ scope: { name: "enclave-kms", version: VERSION }, spans: [span] }],
        }],
      };
      assert.deepEqual(significant(whole), significant(parse(reference)));
    }
  });
});

describe("encodeMetrics()", () => {
  test("is what @opentelemetry/otlp-transformer writes of the same metrics", () => {
    const metrics = new Metrics();
    metrics.countRequest("http", "Decrypt", "ok", 0.3);
    metrics.countRequest("kmstool", "Decrypt", "ok", 20);
    metrics.countRequest("http", "Health", "ok", 0.0001);
    metrics.countDecision(0.0002);
    metrics.observe({
      running: () => 2,
      clockOffset: () => -0.5,
      credentials: () => ({ isSet: true, areRefused: false, generation: 1, heldCount: 1, ageSeconds: 1.25 }),
    });
    const families = metrics.families;
    const [startMs, nowMs] = [1_790_000_000_000, 1_790_000_001_500];
    const own = JSON.parse(`[${encodeMetrics(families, startMs, nowMs)}]`);
    const reference = JsonMetricsSerializer.serializeRequest({
      resource: resourceFromAttributes({}),
      scopeMetrics: [{
        scope: { name: "enclave-kms" },
        metrics: families.map((family) => referenceOf(family, [1_790_000_000, 0], [1_790_000_001, 5e8])),
      }],
    } as never);
    const [resource] = parse(reference)["resourceMetrics"] as [{ scopeMetrics: [{ metrics: Item[] }] }];
    assert.ok(own.length > 20);
    assert.deepEqual(significant(own), significant(resource.scopeMetrics[0].metrics));
  });
});

function referenceOf(family: MetricFamily, startTime: [number, number], endTime: [number, number]): object {
  const isHistogram = family.type === "histogram";
  const times = { startTime, endTime };
  const descriptor = {
    name: `enclave_kms_${family.name}`,
    description: family.help,
    unit: family.name.endsWith("_seconds") ? "s" : "",
    valueType: family.type === "counter" ? ValueType.INT : ValueType.DOUBLE,
  };
  const ofValue = ([attributes, value]: Sample) => ({ attributes, value, ...times });
  const ofHistogram = (bounds: readonly number[]) => ({ labels: attributes, counts, sum }: Distribution) => ({
    attributes,
    value: { buckets: { boundaries: bounds, counts }, sum, count: counts.reduce((all, one) => all + one) },
    ...times,
  });
  return {
    descriptor,
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: isHistogram
      ? DataPointType.HISTOGRAM
      : family.type === "counter"
      ? DataPointType.SUM
      : DataPointType.GAUGE,
    isMonotonic: true,
    dataPoints: isHistogram
      ? family.distributions.map(ofHistogram(family.bounds))
      : family.samples.map(ofValue),
  };
}

describe("encodeLog()", () => {
  test("is what @opentelemetry/otlp-transformer writes of the same line", () => {
    const { logged, record } = say(fill, "failed");
    const line = asLine(logged);
    const own = JSON.parse(encodeLog(line, 1_790_000_000_123));
    const time = [1_790_000_000, 123_000_000];
    const reference = JsonLogsSerializer.serializeRequest([{
      ...{ hrTime: time, hrTimeObserved: time, severityNumber: 17, severityText: "error", body: line },
      ...{ attributes: {}, droppedAttributesCount: 0 },
      spanContext: { traceId: record.traceId, spanId: record.spanId, traceFlags: 1 },
      resource: resourceFromAttributes({}),
      instrumentationScope: { name: "enclave-kms" },
    } as never]);
    const [resource] = parse(reference)["resourceLogs"] as [{ scopeLogs: [{ logRecords: Item[] }] }];
    assert.deepEqual(significant(own), significant(resource.scopeLogs[0].logRecords[0]));
  });

  test("takes level and trace from where no caller's text can be", () => {
    const lines: string[] = [];
    const logger = createLogger("debug", (line) => lines.push(line));
    logger.debug({ key: '","id":"11111111-1111-4111-8111-111111111111","level":"error' }, NASTY);
    logger.warn("x");
    const [debug, warning] = lines.map((line) => JSON.parse(encodeLog(line.trimEnd(), 1)));
    assert.deepEqual([debug.severityNumber, debug.severityText, debug.traceId], [5, "debug", undefined]);
    assert.deepEqual([warning.severityNumber, warning.body.stringValue], [13, lines[1]?.trimEnd()]);
    assert.equal(debug.body.stringValue, lines[0]?.trimEnd());
  });

  test("writes one line as one record, whatever is in it", async () => {
    await using collector = await openCollector();
    const logger = createLogger("info", () => {});
    const parts = { endpoint: collector.endpoint, resource: {}, families: () => [] };
    const exporter = new TelemetryExporter(parts);
    tapLogger(logger, (line) => exporter.takeLine(line));
    for (const text of [NASTY, "\n\n{", "x".repeat(100_000)]) logger.info({ text }, text);
    await exporter.close();
    const records = collector.items("/v1/logs");
    assert.equal(records.length, 3);
    for (const { body } of records) {
      assert.match(Object.values(body as Record<string, string>)[0] ?? "", /^\{"level":"info",[ -~]+\}$/);
    }
  });
});

/** Writes a parsed line again as the log had it. */
function asLine(logged: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(logged).replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function parse(bytes: Uint8Array | undefined): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** Fields that hold 64-bit integers, which JSON may have as texts or as numbers. */
const INTEGERS = /^(?:\w+UnixNano|intValue|asInt|count|bucketCounts)$/;

/** Leaves out what is the default of its field, and writes 64-bit integers as texts. */
function significant(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.map((one) => significant(one, name));
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([field, inner]) =>
      [field, significant(inner, field)] as const
    );
    return Object.fromEntries(entries.filter(([field, inner]) => !isDefault(field, inner)));
  }
  return INTEGERS.test(name) ? String(value) : value;
}

function isDefault(field: string, value: unknown): boolean {
  if (field === "stringValue" || field.startsWith("as") || field === "boolValue" || field === "sum") {
    return value === undefined;
  }
  return value === undefined || value === 0 || value === "" || value === "0" && field.startsWith("dropped") ||
    Array.isArray(value) && value.length === 0;
}
