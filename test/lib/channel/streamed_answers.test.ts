/**
 * Sealed answers that come as the enclave makes them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { beforeAll, describe, test } from "#test";
import { type SealedFetch, sealedFetch, type SealedFetchOptions } from "../../../lib/channel/sealed_fetch.ts";
import { ChannelError, ProtocolError, TimeoutError } from "../../../lib/core/errors.ts";
import { SEALED_PATH } from "../../../lib/wire/sealed_fields.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { HELD_MS, HeldTimers } from "../../support/held_timers.ts";
import { until } from "../../support/until.ts";
import { SealedEnclave, type Way } from "./sealed_enclave.ts";

const SECRET = "attack at dawn, tenant red";

let nsm: SoftwareNsm;
beforeAll(async () => {
  nsm = await SoftwareNsm.create();
});

function caller(way: Way, options: Partial<SealedFetchOptions> = {}): SealedFetch {
  return sealedFetch("https://enclave.example/", {
    pcrs: { 0: nsm.pcr(0) },
    root: nsm.root,
    answers: "streamed",
    fetch: (async (input: string | URL | Request, init?: RequestInit) => {
      return await way(new Request(input, init));
    }) as typeof globalThis.fetch,
    ...options,
  });
}

/** Starts an enclave with a route that answers with a stream of the test's. */
async function startWith(body: () => ReadableStream<Uint8Array> | null, init: ResponseInit = {}) {
  const enclave = await SealedEnclave.start(nsm);
  enclave.stream = () => new Response(body(), init);
  const { way } = enclave;
  return { enclave, way, [Symbol.dispose]: () => enclave[Symbol.dispose]() };
}

/** Stream whose chunks the test gives, and that tells whether it was cancelled. */
function source() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  let isCancelled = false;
  writer.closed.catch(() => isCancelled = true);
  return {
    readable,
    write: (text: string) => writer.write(new TextEncoder().encode(text)),
    close: () => writer.close(),
    abort: (reason: unknown) => writer.abort(reason),
    get isCancelled() {
      return isCancelled;
    },
  };
}

const text = (chunk: Uint8Array | undefined) => new TextDecoder().decode(chunk);

/** Cuts the sealed answers that pass after so many bytes. */
const cutting = (way: Way, bytes: number): Way => async (request) => {
  const answer = await way(request);
  if (!request.url.endsWith(SEALED_PATH)) return answer;
  return new Response((await answer.bytes()).subarray(0, bytes), answer);
};

describe("sealedFetch() with answers that are streamed", () => {
  test("asks and answers as before: headers, statuses, bodies of none and of many bytes", async () => {
    using enclave = await SealedEnclave.start(nsm);
    let seen = "";
    const fetch = caller(async (request) => {
      const answer = await enclave.way(request);
      if (!request.url.endsWith(SEALED_PATH)) return answer;
      const bytes = await answer.bytes();
      seen += new TextDecoder("latin1").decode(bytes) + JSON.stringify([...answer.headers]);
      return new Response(bytes, answer);
    });
    const answer = await fetch("/v1/orders?id=7", { method: "POST", body: SECRET });
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal((await answer.json() as { body: string }).body, SECRET);
    const empty = await fetch("/empty");
    assert.deepEqual([empty.status, empty.body], [204, null]);
    assert.equal((await fetch("/moved")).status, 302);
    assert.equal((await fetch("/", { method: "HEAD" })).status, 200);
    assert.ok(seen.includes("message/ohttp-chunked-res") && seen.includes('"incremental","?1"'));
    for (const hidden of [SECRET, "orders", "application/json"]) assert.ok(!seen.includes(hidden), hidden);
  });

  test("has the head and each chunk before the next is made", async () => {
    const stream = source();
    using world = await startWith(() => stream.readable, {
      headers: { "content-type": "text/event-stream" },
    });
    const answer = await caller(world.way)("/stream");
    assert.equal(answer.headers.get("content-type"), "text/event-stream");
    const reader = answer.body!.getReader();
    for (const word of ["one", "two", "three"]) {
      const writing = stream.write(word);
      assert.equal(text((await reader.read()).value), word);
      await writing;
    }
    await stream.close();
    assert.equal((await reader.read()).done, true);
  });

  test("has no limit on the length, and reads no further ahead than its caller", async () => {
    let made = 0;
    const size = 1 << 20;
    using world = await startWith(() =>
      new ReadableStream({
        pull(controller) {
          if (made++ === 12) controller.close();
          else controller.enqueue(new Uint8Array(size).fill(made));
        },
      }, { highWaterMark: 0 })
    );
    const answer = await caller(world.way)("/stream");
    const reader = answer.body!.getReader();
    await reader.read();
    assert.ok(made <= 3, `${made} of 12 MiB were made for the first chunk`);
    let length = 0;
    reader.releaseLock();
    for await (const chunk of answer.body!) length += chunk.length;
    assert.ok(length > 11 * size);
    assert.equal(made, 13);
  });

  test("chunks without bytes are no end", async () => {
    using world = await startWith(() =>
      ReadableStream.from([new Uint8Array(0), new TextEncoder().encode("a"), new Uint8Array(0)]) as never
    );
    assert.equal(await (await caller(world.way)("/stream")).text(), "a");
  });

  test("an answer that was cut off ends with an error, wherever it was cut", async () => {
    using world = await startWith(() => new Blob(["x".repeat(3000)]).stream());
    const whole = (await rawAnswer(world.way)).length;
    for (const bytes of [0, 10, 32, 40, 200, whole - 300, whole - 17, whole - 1]) {
      const reading = caller(cutting(world.way, bytes))("/stream").then((answer) => answer.text());
      await assert.rejects(reading, ProtocolError, `${bytes} of ${whole}`);
    }
    const entire = await caller(cutting(world.way, whole))("/stream");
    assert.equal((await entire.text()).length, 3000);
  });

  test("an answer that the enclave breaks off ends with an error, and its bytes are wiped", async () => {
    const first = new TextEncoder().encode("first");
    const stream = source();
    let hasStarted = false;
    using world = await startWith(() =>
      new ReadableStream({
        async pull(controller) {
          if (!hasStarted) {
            hasStarted = true;
            return controller.enqueue(first);
          }
          await stream.readable.getReader().read();
          controller.error(new Error("a defect"));
        },
      }, { highWaterMark: 0 })
    );
    const answer = await caller(world.way)("/stream");
    const reader = answer.body!.getReader();
    assert.equal(text((await reader.read()).value), "first");
    assert.ok(first.every((byte) => byte === 0), "the enclave wipes what it has sealed");
    const writing = stream.write("go on");
    await assert.rejects(reader.read());
    await writing;
  });

  test("a caller that wants no more ends the enclave's work", async () => {
    for (const how of ["cancel", "abort"] as const) {
      const stream = source();
      using world = await startWith(() => stream.readable);
      const controller = new AbortController();
      const answer = await caller(world.way)("/stream", { signal: controller.signal });
      const reader = answer.body!.getReader();
      const writing = stream.write("one").catch(() => {});
      assert.equal(text((await reader.read()).value), "one");
      await writing;
      const reason = new Error("enough");
      if (how === "cancel") await reader.cancel();
      else {
        controller.abort(reason);
        await assert.rejects(reader.read(), reason);
      }
      await until(() => stream.isCancelled);
    }
  });

  test("a wait for the next chunk has the time of a request, and not the whole answer", async () => {
    const stream = source();
    using world = await startWith(() => stream.readable);
    using timers = new HeldTimers();
    const answer = await caller(world.way, { timeoutMs: HELD_MS })("/stream");
    const reader = answer.body!.getReader();
    const writing = stream.write("one");
    assert.equal(text((await reader.read()).value), "one");
    await writing;
    assert.equal(timers.count, 0);
    const next = reader.read();
    await until(() => timers.count > 0);
    timers.goOff();
    await assert.rejects(next, TimeoutError);
  });

  test("an answer in one piece is refused: nobody on the way chooses the form", async () => {
    using enclave = await SealedEnclave.start(nsm);
    for (const type of ["message/ohttp-res", "application/json", "message/ohttp-chunked-res; x=1"]) {
      const fetch = caller(async (request) => {
        const answer = await enclave.way(request);
        if (!request.url.endsWith(SEALED_PATH)) return answer;
        return new Response(answer.body, { headers: { "content-type": type } });
      });
      await assert.rejects(fetch("/"), ChannelError, type);
    }
    const whole = caller(enclave.way, { answers: "whole" });
    assert.equal((await whole("/")).status, 200);
    assert.throws(() => caller(enclave.way, { answers: "chunked" as "whole" }), TypeError);
  });

  test("a clock that is wrong is corrected once, as with answers in one piece", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const now = Date.now;
    const fetch = caller(enclave.way, {
      onAttested: () => {
        Date.now = () => now() + 3_600_000;
      },
    });
    try {
      assert.equal((await fetch("/orders")).status, 200);
    } finally {
      Date.now = now;
    }
    assert.deepEqual(enclave.served, ["GET /orders"]);
  });
});

/** Gets the bytes of a sealed answer as they pass. */
async function rawAnswer(way: Way): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  const fetch = caller(async (request) => {
    const answer = await way(request);
    if (!request.url.endsWith(SEALED_PATH)) return answer;
    bytes = new Uint8Array(await answer.arrayBuffer());
    return new Response(bytes, answer);
  });
  await (await fetch("/stream")).text();
  return bytes;
}
