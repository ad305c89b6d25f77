import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterEach, describe, test } from "#test";
import {
  DEFAULT_HTTP_TIMEOUTS,
  type HttpCaller,
  HttpListener,
  type HttpListenerParts,
} from "../../../enclave/http/http_listener.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { listen } from "../../../lib/transport/listen.ts";
import { until } from "../../support/until.ts";
import { dial, exchange } from "../../server/serving.ts";

const CID = 7;
const utf8 = new TextEncoder();
const opened: AsyncDisposable[] = [];

/** Serves an application on the loopback interface, until the test is over. */
async function serve(fetch: HttpListenerParts["fetch"], parts: Partial<HttpListenerParts> = {}) {
  const logger = createLogger("silent");
  const log = { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) };
  const listener = new HttpListener({ ...log, timeouts: DEFAULT_HTTP_TIMEOUTS, fetch, ...parts });
  const place = await listen(
    { transport: "tcp", host: "127.0.0.1", port: 0 },
    {},
    ({ stream }) => listener.accept(stream, CID),
  );
  opened.push(place, { [Symbol.asyncDispose]: () => listener.close(0) });
  return place.endpoint;
}

const get = (target: string, headers = "") =>
  `GET ${target} HTTP/1.1\r\nhost: a\r\n${headers}connection: close\r\n\r\n`;

const post = (body: string, headers = "") =>
  `POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`;

/** Reads until the text has come. */
async function readUntil(socket: Duplex, text: string, before = ""): Promise<string> {
  let got = before;
  while (!got.includes(text)) got += String((await once(socket, "data"))[0]);
  return got;
}

describe("an application of HttpListener", () => {
  afterEach(async () => {
    for (const one of opened.splice(0).toReversed()) await one[Symbol.asyncDispose]();
  });

  test("gets every header, the target and the body, and the peer's CID", async () => {
    let seen: { request: Request; caller: HttpCaller; text: string } | undefined;
    const endpoint = await serve(async (request, caller) => {
      seen = { request, caller, text: await request.text() };
      return new Response(null, { status: 204 });
    });
    const headers = "X-One: 1\r\nx-two: 2a\r\nX-Two: 2b\r\ncookie: a=1\r\nAuthorization: Bearer t\r\n";
    assert.match(await exchange(endpoint, post("hello", headers)), /^HTTP\/1\.1 204 /);
    assert.ok(seen !== undefined);
    const { request, caller, text } = seen;
    const names = ["x-one", "x-two", "cookie", "authorization", "content-length", "x-none"];
    assert.deepEqual(names.map((name) => request.headers.get(name)), [
      ...["1", "2a, 2b", "a=1", "Bearer t", "5", null],
    ]);
    assert.ok([...request.headers].some(([name, value]) => name === "x-one" && value === "1"));
    const { cid, hasWholeBody } = caller;
    assert.deepEqual([request.method, text, cid, hasWholeBody], ["POST", "hello", CID, true]);
  });

  test("gets URLs of one host, whatever the host header says", async () => {
    const urls: string[] = [];
    const endpoint = await serve(({ url }) => {
      urls.push(url);
      return new Response();
    });
    for (const host of ["evil.example", "16:80", "a/b@c", "[::1]:8080", ""]) {
      const answer = await exchange(
        endpoint,
        `GET /path?q=1 HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1\.1 200 /, host);
    }
    assert.deepEqual([...new Set(urls)], ["http://enclave/path?q=1"]);
  });

  test("answers with all headers, each cookie on its own, and a length when the body is there", async () => {
    const endpoint = await serve(() => {
      const headers = new Headers({ "x-one": "1" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response("whole", { headers });
    });
    const answer = await exchange(endpoint, get("/"));
    assert.match(answer, /\r\nx-one: 1\r\n/i);
    assert.deepEqual(answer.match(/set-cookie: \S+/gi)?.map((line) => line.slice(12)), ["a=1", "b=2"]);
    assert.match(answer, /\r\ncontent-length: 5\r\n/i);
    assert.ok(answer.endsWith("\r\n\r\nwhole"));
  });

  test("sends a body in chunks as they come, and wipes each", async () => {
    const chunks = ["first,", "second,", "third"].map((text) => utf8.encode(text)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const next = Promise.withResolvers<void>();
    const endpoint = await serve(() =>
      new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue(chunks[0]);
            await next.promise;
            controller.enqueue(chunks[1]);
            await new Promise((resolve) => setTimeout(resolve, 1));
            controller.enqueue(chunks[2]);
            controller.close();
          },
        }),
      )
    );
    const socket = dial(endpoint);
    socket.write(get("/"));
    const start = await readUntil(socket, "first,");
    assert.match(start, /\r\ntransfer-encoding: chunked\r\n/i);
    next.resolve();
    assert.match(await readUntil(socket, "0\r\n\r\n"), /second,[^]*third/);
    await until(() => chunks.every((chunk) => chunk.every((byte) => byte === 0)));
    socket.destroy();
  });

  test("has its stream cancelled when the caller goes away, and asks for no more than the caller takes", async () => {
    let [made, isCancelled] = [0, false];
    const endpoint = await serve(() =>
      new Response(
        new ReadableStream({
          pull(controller) {
            made++;
            controller.enqueue(new Uint8Array(100_000));
          },
          cancel() {
            isCancelled = true;
          },
        }),
      )
    );
    const socket = dial(endpoint).pause();
    socket.write(get("/"));
    let before = -1;
    await until(() => {
      const stands = made > 0 && made === before;
      before = made;
      return stands;
    });
    socket.destroy();
    await until(() => isCancelled);
    assert.ok(made < 1000, `${made} chunks`);
  });

  test("reads a body as it comes where it says so, past the limit of whole ones", async () => {
    const endpoint = await serve(async (request, { hasWholeBody }) => {
      let length = 0;
      for await (const chunk of request.body ?? []) length += chunk.length;
      return Response.json({ length, hasWholeBody });
    }, { readsStream: (method, target) => method === "POST" && target === "/", maxBodyBytes: 1000 });
    const socket = dial(endpoint);
    socket.write("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 300000\r\n\r\n");
    for (let part = 0; part < 3; part++) {
      socket.write(new Uint8Array(100_000));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.match(
      await readUntil(socket, "}"),
      /^HTTP\/1\.1 200 [^]*\{"length":300000,"hasWholeBody":false\}/,
    );
    socket.destroy();
    const other = post("A".repeat(2000)).replace("POST /", "POST /other");
    assert.match(await exchange(endpoint, other), /^HTTP\/1\.1 413 /);
  });

  test("answers before a body has come whole: the connection ends with the answer", async () => {
    const endpoint = await serve(() => new Response("no"), { readsStream: () => true });
    const answer = await exchange(
      endpoint,
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nsome",
    );
    assert.match(answer, /^HTTP\/1\.1 200 [^]*\r\nconnection: close\r\n/i);
  });

  test("fails without a word to the caller or on the console", async () => {
    const printed: unknown[] = [];
    const { error, info } = console;
    console.error = console.info = (...words: unknown[]) => void printed.push(words);
    try {
      const failing = await serve(() => Promise.reject(new Error("HUSH")));
      assert.equal(await exchange(failing, get("/")), "");
      const broken = await serve(() =>
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(utf8.encode("x")),
            pull: () => Promise.reject(new Error("HUSH")),
          }),
        )
      );
      assert.doesNotMatch(await exchange(broken, get("/")), /HUSH/);
    } finally {
      Object.assign(console, { error, info });
    }
    assert.deepEqual(printed, []);
  });
});
