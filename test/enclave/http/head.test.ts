import assert from "node:assert/strict";
import { describe, test } from "#test";
import { createHttpApp } from "../../../enclave/http/http_app.ts";
import { secretAnswer } from "../../../enclave/http/secret_answer.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";

const BINDINGS = { cid: 3 };

describe("an answer to HEAD, whose body is sent to nobody", () => {
  test("has a secret wiped in it", async () => {
    const app = makeApp().get("/seed", (c) => {
      using secret = SecretBytes.copyOf(new TextEncoder().encode("attack at dawn"));
      return secretAnswer(c, ["seed", secret]);
    });
    const chunks = await chunksOf(async () => {
      const { status } = await app.request("/seed", { method: "HEAD" }, BINDINGS);
      assert.equal(status, 200);
    });
    assert.equal(chunks.length, 1);
    assert.deepEqual(chunks[0], new Uint8Array(31));
  });

  test("ends what would make it for ever", async () => {
    let [started, ended] = [0, 0];
    const app = makeApp().get("/events", () => {
      started++;
      return new Response(new ReadableStream({ cancel: () => void ended++ }));
    });
    const answer = await app.request("/events", { method: "HEAD" }, BINDINGS);
    assert.deepEqual([answer.status, answer.body], [200, null]);
    assert.deepEqual([started, ended], [1, 1]);
  });

  test("is as ever when its body was read or its stream fails to end", async () => {
    const app = makeApp()
      .get("/locked", () => {
        const answer = new Response("locked");
        answer.body?.getReader();
        return answer;
      })
      .get("/fails", () =>
        new Response(
          new ReadableStream({
            cancel() {
              throw new Error("cannot end");
            },
          }),
        ));
    for (const path of ["/locked", "/fails", "/none"]) {
      const answer = await app.request(path, { method: "HEAD" }, BINDINGS);
      assert.equal(answer.status, path === "/none" ? 404 : 200, path);
    }
  });
});

function makeApp() {
  const logger = createLogger("silent");
  return createHttpApp({ logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) });
}

/** Keeps every chunk that any stream gets while an app is asked. */
async function chunksOf(ask: () => Promise<unknown>): Promise<readonly unknown[]> {
  const chunks: unknown[] = [];
  const { prototype } = ReadableStreamDefaultController;
  const { enqueue } = prototype;
  prototype.enqueue = function (chunk) {
    chunks.push(chunk);
    enqueue.call(this, chunk);
  };
  try {
    await ask();
  } finally {
    prototype.enqueue = enqueue;
  }
  return chunks;
}
