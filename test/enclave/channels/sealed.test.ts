import assert from "node:assert/strict";
import type { Hono } from "hono";
import { describe, test } from "#test";
import { requireChannel } from "../../../enclave/channels/require_channel.ts";
import { SealedChannel, type SealedChannelOptions } from "../../../enclave/channels/sealed.ts";
import { MAX_SEALED_ANSWER_BYTES } from "../../../enclave/channels/sealed_answer.ts";
import { createHttpApp } from "../../../enclave/http/http_app.ts";
import type { HttpEnv } from "../../../enclave/http/http_env.ts";
import { secretAnswer } from "../../../enclave/http/secret_answer.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import type { FieldLine } from "../../../lib/wire/binary_http.ts";
import {
  DATE_PROBLEM,
  readKeyConfig,
  SEALED_REQUEST_TYPE,
  SEALED_RESPONSE_TYPE,
  sealRequest,
  STALE_KEY_PROBLEM,
} from "../../../lib/wire/oblivious_http.ts";
import { REQUEST_ID_FIELD, SEALED_PATH } from "../../../lib/wire/sealed_fields.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";
import { BootKeys } from "../../../enclave/boot_keys.ts";
import { askSealed, jsonOf, openTest, postSealed, sealTest, type TestRequest } from "./sealed_caller.ts";

const TEXT = new TextEncoder();
const SECRET = "attack at dawn, tenant red";

describe("SealedChannel", () => {
  test("serves what is inside: method, path, query, headers and body, and seals all of the answer", async () => {
    using enclave = await TestEnclave.start();
    const sealed = await enclave.seal({
      method: "POST",
      path: "/echo?a=b",
      headers: [["x-a", "b"], ["content-type", "text/plain"]],
      content: TEXT.encode(SECRET),
    });
    assert.ok(!latin1(sealed.message).includes("echo"));
    const answer = await postSealed(enclave.fetch, sealed.message);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), SEALED_RESPONSE_TYPE);
    assert.equal(answer.headers.get("cache-control"), "no-store");
    const outside = [...answer.headers].map(([name]) => name).sort();
    assert.deepEqual(outside, ["cache-control", "content-type", "x-request-id"]);
    const inside = await openTest(sealed, answer);
    assert.equal(inside.status, 201);
    assert.deepEqual(jsonOf(inside), {
      method: "POST",
      url: "http://enclave/echo?a=b",
      header: "b",
      host: null,
      channel: "sealed",
      isControl: null,
      cid: 3,
      own: [],
      body: SECRET,
    });
  });

  test("is one request in the log and in the metrics, by its own name and under one id", async () => {
    using enclave = await TestEnclave.start();
    const sealed = await enclave.seal({ path: "/missing" });
    const answer = await postSealed(enclave.fetch, sealed.message);
    const inside = await openTest(sealed, answer);
    assert.equal(inside.status, 404);
    assert.equal(enclave.logged.length, 1);
    const [line = {}] = enclave.logged;
    assert.deepEqual([line["answer"], line["outcome"]], [404, "refused"]);
    const id = answer.headers.get("x-request-id");
    assert.equal(line["id"], id);
    assert.equal(inside.headers.find(([name]) => name === "x-request-id")?.[1], id);
    assert.equal(count(enclave.metrics), 1);
  });

  test("wipes a secret that was answered, and the request, and what they were on the way", async () => {
    using enclave = await TestEnclave.start();
    const wiped: string[] = [];
    {
      using _spy = spyOnFill((bytes) => wiped.push(latin1(bytes)));
      const content = TEXT.encode(SECRET);
      const inside = await enclave.ask({
        path: "/secret",
        method: "POST",
        content,
      });
      assert.equal(jsonOf(inside)["plaintext"], btoa(SECRET));
    }
    const base64 = wiped.filter((text) => text.includes(btoa(SECRET)));
    assert.equal(base64.length, 2, "the chunk, and the message that was sealed");
    assert.ok(wiped.some((text) => text.includes(SECRET) && text.includes("/secret")), "the request");
  });

  test("refuses a request that comes again, even under another seal with the same id", async () => {
    using enclave = await TestEnclave.start();
    const { keyConfig } = enclave.channel;
    const sealed = await enclave.seal();
    assert.equal((await openTest(sealed, await postSealed(enclave.fetch, sealed.message))).status, 201);
    const again = await openTest(sealed, await postSealed(enclave.fetch, sealed.message));
    assert.deepEqual([again.status, jsonOf(again)["code"]], [409, "ERR_SEALED_REPLAY"]);
    const headers: FieldLine[] = [[REQUEST_ID_FIELD, "ab".repeat(16)]];
    assert.equal((await enclave.askWith(keyConfig, { headers })).status, 201);
    await enclave.channel.rotate();
    assert.equal((await enclave.ask({ headers })).status, 409);
    assert.equal(enclave.served, 2);
  });

  test("takes a request once, however many copies come at the same time", async () => {
    using enclave = await TestEnclave.start();
    const sealed = await enclave.seal();
    const answers = await Promise.all(
      Array.from(
        { length: 16 },
        async () => await openTest(sealed, await postSealed(enclave.fetch, sealed.message)),
      ),
    );
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    assert.equal(enclave.served, 1);
  });

  test("refuses a date outside of the window, and tells the time, for the sender only", async () => {
    const now = Date.UTC(2026, 10, 30, 8);
    using enclave = await TestEnclave.start({ window: { now: () => now } });
    for (const dateMs of [now - 3_600_000, now + 3_600_000]) {
      const inside = await enclave.ask({ dateMs });
      assert.deepEqual([inside.status, jsonOf(inside)["type"]], [400, DATE_PROBLEM]);
      const date = inside.headers.find(([name]) => name === "date")?.[1] ?? "";
      assert.equal(Date.parse(date), now);
      const retried = await enclave.ask({ dateMs: Date.parse(date) });
      assert.equal(retried.status, 201);
    }
  });

  test("is 503 when its memory is full, in the seal", async () => {
    using enclave = await TestEnclave.start({ window: { maxRequests: 1 } });
    assert.equal((await enclave.ask()).status, 201);
    const inside = await enclave.ask();
    assert.deepEqual([inside.status, jsonOf(inside)["code"]], [503, "ERR_OVERLOADED"]);
  });

  test("refuses a request without its date or boot, or for another boot, with both twice, or an odd id", async () => {
    using enclave = await TestEnclave.start();
    const date = new Date().toUTCString();
    const cases: readonly (readonly [Partial<TestRequest>, string])[] = [
      [{ bootId: "ff".repeat(16) }, "enclave-boot-id"],
      [{ bootId: enclave.keys.bootId.toUpperCase() }, "enclave-boot-id"],
      [{ headers: [["enclave-boot-id", enclave.keys.bootId]] }, "enclave-boot-id"],
      [{ headers: [["date", date]] }, "date"],
      [{ dateMs: NaN }, "date"],
      [{ headers: [[REQUEST_ID_FIELD, "abc"]] }, REQUEST_ID_FIELD],
      [{ method: "TRACE" }, ""],
      [{ method: "GET", content: TEXT.encode("body") }, ""],
    ];
    for (const [request, path] of cases) {
      const inside = await enclave.ask(request);
      assert.equal(inside.status, 400, JSON.stringify(request));
      const { code, errors } = jsonOf(inside) as { code: string; errors: readonly { path: string }[] };
      assert.deepEqual([code, errors[0]?.path], ["ERR_BAD_REQUEST", path], JSON.stringify(request));
    }
    assert.equal(enclave.served, 0);
  });

  test("refuses what is no binary HTTP, in the seal", async () => {
    using enclave = await TestEnclave.start();
    for (const message of [new Uint8Array(0), TEXT.encode("GET / HTTP/1.1\r\n\r\n"), new Uint8Array(400)]) {
      const sealed = await sealRequest(readKeyConfig(enclave.channel.keyConfig), message);
      const inside = await openTest(sealed, await postSealed(enclave.fetch, sealed.message));
      assert.equal(inside.status, 400);
    }
  });

  test("answers in the clear, and only that, when there is no key to answer with", async () => {
    using enclave = await TestEnclave.start();
    using sibling = await TestEnclave.start();
    const forSibling = await sibling.seal();
    const renamed = forSibling.message.with(0, enclave.channel.keyConfig[0] ?? 0);
    for (const message of [forSibling.message, renamed, new Uint8Array(0), new Uint8Array(100)]) {
      const answer = await postSealed(enclave.fetch, message);
      assert.equal(answer.status, 400);
      assert.equal(answer.headers.get("content-type"), "application/problem+json");
      const { type, code } = await answer.json() as { type: string; code: string };
      assert.deepEqual([type, code], [STALE_KEY_PROBLEM, "ERR_SEALED_KEY"]);
    }
    assert.equal(enclave.served, 0);
    assert.deepEqual(enclave.logged.map(({ outcome, answer }) => [outcome, answer])[0], ["refused", 400]);
  });

  test("answers every flipped bit and every cut with a stale key, and stays up", async () => {
    using enclave = await TestEnclave.start();
    const { message } = await enclave.seal();
    for (let at = 0; at < message.length; at++) {
      const flipped = message.with(at, (message[at] ?? 0) ^ 0x80);
      assert.equal((await postSealed(enclave.fetch, flipped)).status, 400, `byte ${at}`);
      assert.equal((await postSealed(enclave.fetch, message.slice(0, at))).status, 400, `${at} bytes`);
    }
    assert.equal(enclave.served, 0);
    assert.equal((await enclave.ask()).status, 201);
  });

  test("keeps the key before the last for one more period, and vouches for the new one", async () => {
    using enclave = await TestEnclave.start();
    const configs = [enclave.channel.keyConfig];
    for (let period = 0; period < 2; period++) {
      await enclave.channel.rotate();
      configs.push(enclave.channel.keyConfig);
      const vouched = enclave.keys.publicKeys["seal"];
      assert.deepEqual(vouched, readKeyConfig(enclave.channel.keyConfig).publicKey);
    }
    const [first, second, third] = configs as [Uint8Array, Uint8Array, Uint8Array];
    assert.equal((await enclave.askWith(third)).status, 201);
    assert.equal((await enclave.askWith(second)).status, 201);
    assert.equal((await postSealed(enclave.fetch, (await enclave.sealWith(first)).message)).status, 400);
  });

  test("makes a new key by itself after its period", async () => {
    using enclave = await TestEnclave.start({ rotateMs: 1 });
    const { keyConfig } = enclave.channel;
    const deadline = AbortSignal.timeout(60_000);
    while (enclave.channel.keyConfig === keyConfig && !deadline.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.notDeepEqual(enclave.channel.keyConfig, keyConfig);
  });

  test("serves no seal in a seal, and nothing that only the parent may do", async () => {
    using enclave = await TestEnclave.start();
    const { keyConfig } = enclave.channel;
    const inner = await enclave.seal();
    const headers: FieldLine[] = [["content-type", SEALED_REQUEST_TYPE]];
    const nested = { method: "POST", path: SEALED_PATH, headers, content: inner.message };
    assert.equal((await enclave.askWith(keyConfig, nested)).status, 404);
    const dotted = { ...nested, path: `/a/..${SEALED_PATH}` };
    assert.equal((await enclave.askWith(keyConfig, dotted)).status, 404);
    const overControl = (request: Request) => enclave.app.fetch(request, { cid: 3, isControl: true });
    const answer = await askSealed(overControl, keyConfig, { bootId: enclave.keys.bootId });
    assert.equal(
      jsonOf(answer)["isControl"],
      null,
      "what came in over the control listener loses that inside",
    );
  });

  test("is 415 for another type, with a word about it", async () => {
    using enclave = await TestEnclave.start();
    for (const type of ["application/json", "message/ohttp-req; a=b", "message/ohttp-res"]) {
      const answer = await enclave.fetch(
        new Request(`http://enclave${SEALED_PATH}`, { method: "POST", headers: { "content-type": type } }),
      );
      assert.equal(answer.status, 415);
      assert.equal((await answer.json() as { code: string }).code, "ERR_MEDIA_TYPE");
    }
  });

  test("holds an answer of 4 MiB, and refuses a larger one, whose stream it cancels", async () => {
    using enclave = await TestEnclave.start();
    const inside = await enclave.ask({ path: "/large" });
    assert.equal(inside.content.length, MAX_SEALED_ANSWER_BYTES);
    const refused = await enclave.ask({ path: "/endless" });
    assert.deepEqual([refused.status, jsonOf(refused)["code"]], [500, "ERR_ANSWER_TOO_LARGE"]);
    const ends = enclave.logged.map(({ outcome, answer }) => [outcome, answer]);
    assert.deepEqual(ends, [["ok", 200], ["refused", 500]], "the log says what the sender got");
    assert.equal(enclave.cancelled, 1);
  });

  test("cancels an answer when its caller has gone", async () => {
    using enclave = await TestEnclave.start();
    const gone = new AbortController();
    const { message } = await enclave.seal({ path: "/silent" });
    const answer = postSealed(
      (request) => enclave.app.fetch(request, { cid: 3, gone: gone.signal }),
      message,
    );
    await enclave.silence;
    gone.abort(new Error("gone"));
    assert.equal((await answer).status, 500);
    assert.equal(enclave.cancelled, 1);
    assert.deepEqual(enclave.logged.map(({ outcome, answer }) => [outcome, answer]), [["failed", 500]]);
  });

  test("leaves out headers that are about a connection, and keeps each cookie", async () => {
    using enclave = await TestEnclave.start();
    const { headers } = await enclave.ask({ path: "/headers" });
    assert.equal(headers.some(([name]) => name === "connection"), false);
    assert.deepEqual(headers.filter(([name]) => name === "set-cookie").map(([, value]) => value), [
      "a=1",
      "b=2",
    ]);
  });
});

describe("requireChannel()", () => {
  test("lets its channels pass, and refuses the others with 403", async () => {
    using enclave = await TestEnclave.start();
    const status = async (path: string, channel?: "clear" | "tls" | "sealed") => {
      const answer = await enclave.app.request(path, {}, { cid: 3, ...(channel && { channel }) });
      if (answer.status === 403) assert.equal((await answer.json() as { code: string }).code, "ERR_CHANNEL");
      return answer.status;
    };
    assert.deepEqual(
      [await status("/guarded"), await status("/guarded", "clear"), await status("/guarded", "tls")],
      [403, 403, 200],
    );
    assert.equal(await status("/guarded", "sealed"), 200);
    assert.equal(
      (await enclave.ask({ path: "/guarded" })).status,
      200,
    );
    assert.equal(await status("/sealed-only", "tls"), 403);
  });

  test("is refused without a channel, and with one that is not known", () => {
    assert.throws(() => requireChannel(), TypeError);
    assert.throws(() => requireChannel("seal" as "sealed"), TypeError);
  });
});

class TestEnclave implements Disposable {
  readonly keys: BootKeys;
  readonly logged: Record<string, unknown>[] = [];
  readonly metrics = new Metrics();
  readonly app: Hono<HttpEnv>;
  readonly channel: SealedChannel;
  readonly silence: Promise<void>;
  served = 0;
  cancelled = 0;
  #beSilent = (): void => {};

  private constructor(keys: BootKeys, channel: SealedChannel) {
    this.keys = keys;
    this.channel = channel;
    this.silence = new Promise((resolve) => this.#beSilent = resolve);
    const logger = createLogger("debug", (line) => this.logged.push(JSON.parse(line)));
    this.app = createHttpApp({ logger, metrics: this.metrics, refusals: new RefusalLog({ logger }) });
    this.#addRoutes();
  }

  static async start(options: Omit<SealedChannelOptions, "keys"> = {}): Promise<TestEnclave> {
    const keys = await BootKeys.create();
    return new TestEnclave(keys, await SealedChannel.create({ keys, ...options }));
  }

  get fetch(): (request: Request) => Response | Promise<Response> {
    return (request) => this.app.fetch(request, { cid: 3 });
  }

  seal(request: Partial<TestRequest> = {}): ReturnType<typeof sealTest> {
    return this.sealWith(this.channel.keyConfig, request);
  }

  sealWith(config: Uint8Array, request: Partial<TestRequest> = {}): ReturnType<typeof sealTest> {
    return sealTest(config, { bootId: this.keys.bootId, ...request });
  }

  ask(request: Partial<TestRequest> = {}): ReturnType<typeof askSealed> {
    return this.askWith(this.channel.keyConfig, request);
  }

  askWith(config: Uint8Array, request: Partial<TestRequest> = {}): ReturnType<typeof askSealed> {
    return askSealed(this.fetch, config, { bootId: this.keys.bootId, ...request });
  }

  #addRoutes(): void {
    const { app, channel } = this;
    app.post(SEALED_PATH, channel.route((request, bindings) => app.fetch(request, bindings)));
    app.all("/echo", async (c) => {
      this.served++;
      const { cid, channel = null, isControl = null } = c.env;
      const own = ["enclave-boot-id", "enclave-request-id"].filter((name) =>
        c.req.header(name) !== undefined
      );
      const [header = null, host = null] = [c.req.header("x-a"), c.req.header("host")];
      const body = await c.req.text();
      return c.json({
        method: c.req.method,
        url: c.req.url,
        header,
        host,
        channel,
        isControl,
        cid,
        own,
        body,
      }, 201);
    });
    app.post("/secret", async (c) => {
      using secret = SecretBytes.copyOf(new Uint8Array(await c.req.arrayBuffer()));
      return secretAnswer<{ plaintext: string }>(c, ["plaintext", secret]);
    });
    app.get("/large", (c) => c.body(new Uint8Array(MAX_SEALED_ANSWER_BYTES)));
    app.get(
      "/endless",
      (c) => c.body(this.#stream((controller) => controller.enqueue(new Uint8Array(1 << 20)))),
    );
    app.get("/silent", (c) => c.body(this.#stream(() => this.#beSilent())));
    app.get("/headers", (c) => {
      c.header("connection", "close");
      c.header("set-cookie", "a=1", { append: true });
      c.header("set-cookie", "b=2", { append: true });
      return c.body(null, 204);
    });
    app.get("/guarded", requireChannel("sealed", "tls"), (c) => c.text("ok"));
    app.get("/sealed-only", requireChannel("sealed"), (c) => c.text("ok"));
  }

  #stream(pull: (controller: ReadableStreamDefaultController<Uint8Array>) => void): ReadableStream {
    let pulled = false;
    return new ReadableStream({
      pull: async (controller) => {
        pull(controller);
        if (pulled) await new Promise((resolve) => setTimeout(resolve, 0));
        pulled = true;
      },
      cancel: () => void this.cancelled++,
    });
  }

  [Symbol.dispose](): void {
    this.channel[Symbol.dispose]();
    this.keys[Symbol.dispose]();
  }
}

function count(metrics: Metrics): number {
  const text = metrics.render();
  return [...text.matchAll(/^\w*requests_total\{[^}]*\} (\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
