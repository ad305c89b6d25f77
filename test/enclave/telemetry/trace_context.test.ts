import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "#test";
import { RequestRecord } from "../../../enclave/telemetry/request_record.ts";
import {
  formatTraceparent,
  parseTraceparent,
  spanIdOf,
  traceIdOf,
} from "../../../enclave/telemetry/trace_context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

describe("parseTraceparent()", () => {
  test("reads version 00, and of its flags those that it defines", () => {
    for (
      const [flags, known] of [["00", 0], ["01", 1], ["02", 2], ["03", 3], ["ff", 3], ["fc", 0]] as const
    ) {
      assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-${flags}`), {
        traceId: TRACE,
        parentSpanId: SPAN,
        flags: known,
      });
    }
  });

  test("takes nothing else", () => {
    const wrong = [
      undefined,
      "",
      `01-${TRACE}-${SPAN}-01`,
      `ff-${TRACE}-${SPAN}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE}-${SPAN}-1`,
      `00-${TRACE}-${SPAN}-0g`,
      `00-${TRACE}-${SPAN}-01-more`,
      ` 00-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01 `,
      `00-${TRACE}-${SPAN}-01\n`,
      `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
      `00-${TRACE.slice(1)}"-${SPAN}-01`,
      `00-${"٠".repeat(32)}-${SPAN}-01`,
      "0".repeat(1 << 20),
    ];
    for (const header of wrong) assert.equal(parseTraceparent(header), undefined, header?.slice(0, 80));
  });
});

describe("the trace of a request", () => {
  test("is the caller's, with a span of its own", () => {
    const record = new RequestRecord("http", 3);
    record.continueTrace(`00-${TRACE}-${SPAN}-00`);
    assert.equal(record.traceparent, `00-${TRACE}-${spanIdOf(record.id)}-00`);
    assert.deepEqual(parseTraceparent(record.traceparent), {
      traceId: TRACE,
      parentSpanId: record.spanId,
      flags: 0,
    });
  });

  test("begins with the request where the caller names none, and tells its id and nothing else", () => {
    const record = new RequestRecord("http", 3);
    record.continueTrace("nonsense");
    assert.equal(record.trace, undefined);
    assert.equal(record.traceId, record.id.replaceAll("-", ""));
    assert.ok(record.traceId.endsWith(record.spanId));
    assert.equal(record.traceparent, formatTraceparent(record.traceId, record.spanId, 1));
  });

  test("of what carries a sealed request gives way to that of the request inside", () => {
    const record = new RequestRecord("http", 3);
    record.continueTrace(`00-${TRACE}-${SPAN}-01`);
    record.continueTrace(undefined);
    assert.equal(record.trace, undefined);
  });

  test("has ids that are never all zero", () => {
    for (let count = 0; count < 1000; count++) {
      const id = randomUUID();
      assert.match(traceIdOf(id), /^(?!0{32})[0-9a-f]{32}$/);
      assert.match(spanIdOf(id), /^[89ab][0-9a-f]{15}$/);
    }
  });
});
