import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ExportQueue } from "../../../parent/telemetry/export_queue.ts";
import { takeExport } from "../../../parent/telemetry/take_export.ts";
import { reusedChunk } from "../../support/reused_chunk.ts";

describe("takeExport()", () => {
  test("keeps no chunk of a body, of which an enclave could make a million", async () => {
    const queue = new ExportQueue({ maxCount: 1, maxBytes: 1024 });
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: reusedChunk('{"a":"bcd"}'), duplex: "half" };
    const { outcome } = await takeExport(
      new Request("http://enclave/v1/logs", init as RequestInit),
      undefined,
      { queue, maxBodyBytes: 1024 },
    );
    assert.equal(outcome, "taken");
    const taken = await queue.take(new AbortController().signal);
    assert.equal(new TextDecoder().decode(taken?.item.body), '{"a":"bcd"}');
  });
});
