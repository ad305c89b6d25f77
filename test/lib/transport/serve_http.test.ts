import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import { Deadline } from "../../../lib/core/deadline.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { openTransport } from "../../../lib/transport/open_transport.ts";
import type { ListenOptions } from "../../../lib/transport/listen.ts";
import { peerOf, serveHttp } from "../../../lib/transport/serve_http.ts";
import { HttpClient } from "./http_client.ts";

const ANYWHERE: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

async function connect(endpoint: Endpoint) {
  using deadline = new Deadline("connect", 60_000);
  const stream = await openTransport(endpoint, deadline);
  stream.on("error", () => {});
  return stream;
}

/** Longer than any test: what ends a connection sooner is what the test is about. */
const DAY_MS = 86_400_000;

const serve = (listener: RequestListener, options: ListenOptions = {}) =>
  serveHttp(createServer(listener), ANYWHERE, options);

describe("serveHttp()", () => {
  test("answers many requests over one connection", async () => {
    let connections = 0;
    const server = createServer((request, response) => {
      assert.equal(peerOf(request.socket), undefined);
      request.on("data", () => {}).on("end", () => response.end(`hello ${request.url}`));
    });
    server.on("connection", () => connections++);
    await using http = await serveHttp(server, ANYWHERE);
    using client = new HttpClient(await connect(http.listener.endpoint));
    for (let i = 0; i < 20; i++) {
      assert.deepEqual(await client.post(`/${i}`, "x".repeat(i * 1000)), {
        status: 200,
        body: `hello /${i}`,
      });
    }
    assert.equal(connections, 1);
  });

  test("close() lets the running request finish, and ends idle connections", async () => {
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    await using http = await serve(async (request, response) => {
      request.resume();
      if (request.url === "/slow") {
        ask();
        await mayAnswer;
      }
      response.end("done");
    });
    using idle = new HttpClient(await connect(http.listener.endpoint));
    using busy = new HttpClient(await connect(http.listener.endpoint));
    await idle.post("/fast", "");
    const answered = busy.post("/slow", "");
    await asked;
    const closed = http.close();
    await sleep(200);
    assert.equal(http.listener.connectionCount, 1);
    answer();
    assert.deepEqual(await answered, { status: 200, body: "done" });
    await closed;
  });

  test("a client that never finishes its headers is sent away", async () => {
    const server = createServer({ headersTimeout: 200, connectionsCheckingInterval: 50 }, () => {});
    await using http = await serveHttp(server, ANYWHERE, { idleTimeoutMs: DAY_MS });
    const stream = await connect(http.listener.endpoint);
    stream.write("GET / HTTP/1.1\r\nhost: x\r\n");
    stream.resume();
    await once(stream, "close");
  });

  test("at the limit silent connections give way, the oldest first, and one with a request in flight never", async () => {
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    await using http = await serve(async (request, response) => {
      request.resume();
      await mayAnswer;
      response.end("done");
    }, { maxConnections: 2 });
    const { listener } = http;
    const silent = await connect(listener.endpoint);
    const isClosed = once(silent.resume(), "close");
    using first = new HttpClient(await connect(listener.endpoint));
    const answers = [first.post("/", "")];
    using second = new HttpClient(await connect(listener.endpoint));
    await isClosed;
    answers.push(second.post("/", ""));
    const asked = http.listener.connectionCount;
    assert.deepEqual([asked, listener.displacedCount, listener.refusedCount], [2, 1, 0]);
    while (listener.refusedCount === 0) await once((await connect(listener.endpoint)).resume(), "close");
    answer();
    assert.deepEqual((await Promise.all(answers)).map(({ status }) => status), [200, 200]);
  });

  test("nonsense is answered with 400", async () => {
    await using http = await serve(() => {});
    const stream = await connect(http.listener.endpoint);
    stream.end("\x16\x03\x01 not HTTP\r\n\r\n");
    const [chunk] = await once(stream, "data");
    assert.match(String(chunk), /^HTTP\/1\.1 400 /);
  });
});
