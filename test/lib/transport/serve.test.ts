import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import {
  connect,
  createFetch,
  type HttpServer,
  serve,
  type ServeHandler,
  type ServeOptions,
} from "../../../lib/transport/mod.ts";
import { until } from "../../support/until.ts";

const ANYWHERE: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

/** Longer than any test: what ends a connection sooner is what the test is about. */
const DAY_MS = 86_400_000;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-serve-"));
const ENDPOINTS: readonly Endpoint[] = [ANYWHERE, { transport: "unix", path: join(folder, "http.sock") }];

const start = (handler: ServeHandler, options: Omit<ServeOptions, "endpoint"> = {}): Promise<HttpServer> =>
  serve(handler, { endpoint: ANYWHERE, idleTimeoutMs: DAY_MS, ...options });

/** Sends bytes as they are, and reads until the server ends the connection. */
async function raw(server: HttpServer, ...pieces: readonly string[]): Promise<string> {
  const stream = await open(server);
  for (const piece of pieces) stream.write(piece);
  return await readAll(stream);
}

async function open({ endpoint }: HttpServer): Promise<Duplex> {
  const stream = await connect(endpoint);
  stream.on("error", () => {});
  return stream;
}

async function readAll(stream: Duplex): Promise<string> {
  let text = "";
  stream.on("data", (chunk) => text += String(chunk));
  if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
  return text;
}

const head = (line: string, ...headers: readonly string[]) =>
  [line, "host: x", ...headers, "", ""].join("\r\n");

describe("serve()", () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  for (const endpoint of ENDPOINTS) {
    test(`answers over ${endpoint.transport} with method, path, headers, body and CID`, async () => {
      const server = await serve(async (request, info) => {
        const { pathname, search } = new URL(request.url);
        const seen = [request.method, pathname + search, request.headers.get("x-one"), await request.text()];
        return Response.json([...seen, info.remoteCid, info.remotePort], {
          status: 201,
          headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]],
        });
      }, { endpoint, developmentCid: 16 });
      await using _ = server;
      const fetch = createFetch(server.endpoint);
      const headers = [["x-one", "1"], ["x-one", "2"]] as [string, string][];
      const answer = await fetch("http://enclave/a?b=c", { method: "PUT", headers, body: "hello" });
      assert.equal(answer.status, 201);
      assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
      assert.deepEqual(await answer.json(), ["PUT", "/a?b=c", "1, 2", "hello", 16, null]);
    });
  }

  test("tells no CID on TCP unless one is given", async () => {
    await using server = await start((_, info) => new Response(String(info.remoteCid)));
    assert.equal(await (await createFetch(server.endpoint)("http://x/")).text(), "undefined");
  });

  test("makes URLs without the host that the caller names, and only of paths", async () => {
    await using server = await start((request) => new Response(request.url));
    assert.match(
      await raw(
        server,
        head("GET /a/../b HTTP/1.1", "connection: close").replace("host: x", "host: evil.example"),
      ),
      /http:\/\/enclave\/b/,
    );
    for (const target of ["http://evil.example/", "*"]) {
      assert.match(
        await raw(server, head(`OPTIONS ${target} HTTP/1.1`, "connection: close")),
        /^HTTP\/1.1 400 /,
      );
    }
  });

  test("passes on all of 100 header lines, and answers 431 for one more", async () => {
    await using server = await start(({ headers }) =>
      new Response(`<${[...headers.keys()].filter((name) => name.startsWith("x")).length}>`)
    );
    const ask = (count: number) => {
      const lines = Array.from({ length: count }, (_, index) => `x${index}: y`);
      return raw(server, head("GET / HTTP/1.1", ...lines, "connection: close"));
    };
    assert.match(await ask(98), /<98>/);
    assert.match(await ask(99), /^HTTP\/1.1 431 /);
  });

  test("streams both bodies: each piece is there before the next is sent", async () => {
    const steps: string[] = [];
    await using server = await start((request) => {
      const reader = request.body?.getReader();
      return new Response(
        new ReadableStream({
          async pull(controller) {
            const next = await reader?.read();
            if (next?.done !== false) return controller.close();
            steps.push(`server got ${new TextDecoder().decode(next.value)}`);
            controller.enqueue(next.value);
          },
        }, { highWaterMark: 0 }),
      );
    });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const init = { method: "POST", body: readable, duplex: "half" } as RequestInit;
    const answering = createFetch(server.endpoint)("http://x/", init);
    const send = (text: string) => writer.write(new TextEncoder().encode(text));
    await send("one");
    const reader = (await answering).body?.getReader();
    for (const next of ["two", "three", undefined]) {
      const piece = await reader?.read();
      steps.push(`client got ${new TextDecoder().decode(piece?.value)}`);
      if (next !== undefined) await send(next);
    }
    await writer.close();
    assert.equal((await reader?.read())?.done, true);
    assert.deepEqual(
      steps,
      ["one", "two", "three"].flatMap((text) => [`server got ${text}`, `client got ${text}`]),
    );
  });

  test("answers 431 for headers that are too large, and 400 for what is no HTTP", async () => {
    await using server = await start(() => new Response(), { maxHeaderBytes: 1024 });
    assert.match(await raw(server, head("GET / HTTP/1.1", `x: ${"y".repeat(2000)}`)), /^HTTP\/1.1 431 /);
    assert.match(await raw(server, "\x16\x03\x01 not HTTP\r\n\r\n"), /^HTTP\/1.1 400 /);
  });

  test("ends a connection whose headers or body do not come in time", async () => {
    const limits = { headersTimeoutMs: 100, bodyTimeoutMs: 100 };
    await using server = await start(async (request) => new Response(await request.text()), limits);
    await raw(server, "GET / HTTP/1.1\r\nhost: x\r\n");
    await raw(server, head("POST / HTTP/1.1", "content-length: 5"), "he");
    assert.equal(server.connectionCount, 0);
  });

  test("lets a handler take longer than the time-outs of headers and body, and a body come later", async () => {
    await using server = await start(async () => {
      await sleep(1500);
      return new Response(
        new ReadableStream({
          async pull(controller) {
            await sleep(1500);
            controller.enqueue(new TextEncoder().encode("late"));
            controller.close();
          },
        }),
      );
    }, { headersTimeoutMs: 1000, bodyTimeoutMs: 1000 });
    const answer = await createFetch(server.endpoint)("http://x/", { method: "POST", body: "hello" });
    assert.equal(await answer.text(), "late");
  });

  test("sends the headers before a body that never comes", async () => {
    await using server = await start(() =>
      new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))
    );
    const answer = await createFetch(server.endpoint)("http://x/");
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
  });

  test("ends a connection that is idle", async () => {
    await using server = await start(() => new Response("x"), { idleTimeoutMs: 100 });
    assert.match(await raw(server, head("GET / HTTP/1.1")), /^HTTP\/1.1 200 /);
  });

  test("answers 413 for a body that is too large, told or counted, and the caller gets it", async () => {
    const read: number[] = [];
    await using server = await start(async (request) => {
      read.push((await request.bytes()).length);
      return new Response();
    }, { maxBodyBytes: 1000 });
    const fetch = createFetch(server.endpoint);
    const body = "x".repeat(500_000);
    assert.equal((await fetch("http://x/", { method: "POST", body })).status, 413);
    const stream = new Blob([body]).stream();
    const init = { method: "POST", body: stream, duplex: "half" } as RequestInit;
    assert.equal((await fetch("http://x/", init)).status, 413);
    assert.equal((await fetch("http://x/", { method: "POST", body: "x".repeat(1000) })).status, 200);
    assert.deepEqual(read, [1000]);
  });

  test("a handler that reads no body answers all the same, and a longer rest of it ends the connection", async () => {
    await using server = await start(() => new Response("no"), { maxBodyBytes: 1 << 30 });
    const fetch = createFetch(server.endpoint);
    const answer = await fetch("http://x/", { method: "POST", body: "x".repeat(500_000) });
    assert.equal(await answer.text(), "no");
    const stream = await open(server);
    stream.write(head("POST / HTTP/1.1", `content-length: ${1 << 29}`));
    const flood = () => {
      while (!stream.destroyed && stream.write(new Uint8Array(65_536)));
    };
    stream.on("drain", flood);
    flood();
    assert.match(await readAll(stream), /^HTTP\/1.1 200 /);
  });

  test("aborts the request's signal when the caller goes away, and cancels the answer's body", async () => {
    const events: string[] = [];
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    await using server = await start((request) => {
      request.signal.addEventListener("abort", () => events.push(String(request.signal.reason.code)));
      ask();
      return new Response(new ReadableStream({ cancel: () => void events.push("cancelled") }));
    });
    const stream = await open(server);
    stream.write(head("GET / HTTP/1.1"));
    await asked;
    stream.destroy();
    await until(() => events.length === 2);
    assert.deepEqual(events.toSorted(), ["ERR_CONNECTION", "cancelled"]);
  });

  test("aborts no signal after the answer", async () => {
    const signals: AbortSignal[] = [];
    await using server = await start((request) => {
      signals.push(request.signal);
      return new Response("x");
    });
    await (await createFetch(server.endpoint)("http://x/")).text();
    await until(() => server.connectionCount === 0);
    assert.deepEqual(signals.map(({ aborted }) => aborted), [false]);
  });

  test("answers 500 and no more when the handler throws, or what onError makes of it", async () => {
    const failing: ServeHandler = () => Promise.reject(new Error("secret"));
    await using server = await start(failing);
    const answer = await createFetch(server.endpoint)("http://x/");
    assert.deepEqual([answer.status, await answer.text()], [500, ""]);
    await using other = await start(() => "text" as never as Response, {
      onError: (error) => new Response((error as Error).message, { status: 502 }),
    });
    const told = await createFetch(other.endpoint)("http://x/");
    assert.deepEqual([told.status, await told.text()], [502, "A handler must answer with a Response"]);
    await using worse = await start(failing, { onError: () => Promise.reject(new Error("secret")) });
    assert.equal((await createFetch(worse.endpoint)("http://x/")).status, 500);
  });

  test("cuts an answer whose body fails: the caller sees that it is not whole", async () => {
    await using server = await start(() =>
      new Response(
        new ReadableStream({
          pull(controller) {
            controller.enqueue(new TextEncoder().encode("half"));
            controller.error(new Error("secret"));
          },
        }),
      )
    );
    await assert.rejects(async () => await (await createFetch(server.endpoint)("http://x/")).text(), {
      code: "ERR_CONNECTION",
    });
  });

  test("answers pipelined requests in order, one at a time, and ends a connection with too many", async () => {
    let running = 0;
    let most = 0;
    await using server = await start(async (request) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return new Response(`<${new URL(request.url).pathname}>`);
    });
    const requests = ["/1", "/2", "/3"].map((path, index) =>
      head(`GET ${path} HTTP/1.1`, ...(index === 2 ? ["connection: close"] : []))
    );
    assert.deepEqual((await raw(server, requests.join(""))).match(/<[^>]*>/g), ["</1>", "</2>", "</3>"]);
    assert.equal(most, 1);
    await raw(server, head("GET / HTTP/1.1").repeat(100));
    await until(() => server.connectionCount === 0);
  });

  test("close() lets the running request finish, and takes no other", async () => {
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    await using server = await start(async () => {
      ask();
      await mayAnswer;
      return new Response("done");
    });
    const answering = createFetch(server.endpoint)("http://x/");
    await asked;
    const closed = server.close({ graceMs: DAY_MS });
    await assert.rejects(createFetch(server.endpoint)("http://x/"), { code: "ERR_CONNECTION" });
    answer();
    assert.equal(await (await answering).text(), "done");
    await closed;
  });

  for (
    const [name, end] of [
      [
        "close() cuts what is left after the grace period",
        (server: HttpServer) => server.close({ graceMs: 50 }),
      ],
      ["await using cuts at once", (server: HttpServer) => server[Symbol.asyncDispose]()],
    ] as const
  ) {
    test(name, async () => {
      const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
      const server = await start((request) => {
        ask();
        return new Promise((_, reject) => request.signal.addEventListener("abort", reject));
      });
      const answering = createFetch(server.endpoint)("http://x/");
      const failed = assert.rejects(answering, { code: "ERR_CONNECTION" });
      await asked;
      await end(server);
      await failed;
    });
  }

  test("refuses options that are none, and says which", async () => {
    const handler = () => new Response();
    const refuses = (options: object, error: RegExp) =>
      assert.rejects(serve(handler, options as ServeOptions), (thrown) => error.test(String(thrown)));
    await refuses({}, /^TypeError: Give either port, on vsock, or endpoint/);
    await refuses({ port: 1, endpoint: ANYWHERE }, /^TypeError: Give either port/);
    await refuses({ port: -1 }, /^RangeError: port must be an integer from 0 to 4294967295/);
    await refuses({ endpoint: "tcp" }, /^TypeError: The endpoint must be an object, such as/);
    await refuses({ endpoint: ANYWHERE, maxBodySize: 1 }, /^TypeError: .*no field `maxBodySize`/);
    await refuses({ endpoint: ANYWHERE, maxHeaderBytes: 1 }, /^RangeError: maxHeaderBytes must be/);
    await refuses({ endpoint: ANYWHERE, onError: 1 }, /^TypeError: onError must be a function/);
    await refuses({ endpoint: ANYWHERE, idleTimeoutMs: 0 }, /^RangeError: idleTimeoutMs must be/);
    await assert.rejects(serve(undefined as never, { endpoint: ANYWHERE }), /handler must be a function/);
    await using server = await start(handler);
    await assert.rejects(server.close({ graceMs: -1 }), /graceMs must be an integer/);
  });
});
