import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import {
  connect,
  createFetch,
  type CreateFetchOptions,
  listen,
  type Listener,
  serve,
  type ServeHandler,
} from "../../../lib/transport/mod.ts";
import { choosePort } from "../../../sim/free_port.ts";
import { until } from "../../support/until.ts";

const ANYWHERE: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

const start = (handler: ServeHandler) => serve(handler, { endpoint: ANYWHERE });

/** Says nothing, and ends when the peer does. */
const listenOnly = () =>
  listen(ANYWHERE, {}, ({ stream }) => void stream.resume().on("end", () => stream.end()));

/** Answers every connection with the same bytes, once its request is there, and keeps what it got. */
async function speak(answer: string, { ends = true } = {}): Promise<Listener & { readonly got: string[] }> {
  const got: string[] = [];
  const listener = await listen(ANYWHERE, {}, ({ stream }) => {
    const index = got.push("") - 1;
    stream.on("end", () => stream.end());
    stream.on("data", (chunk) => {
      got[index] += String(chunk);
      if (!got[index]?.includes("\r\n\r\n")) return;
      stream.write(answer);
      if (ends) stream.end();
    });
  });
  return Object.assign(listener, { got });
}

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

describe("createFetch()", () => {
  test("sends a request on a connection of its own, with the lengths it knows", async () => {
    await using server = await speak(OK);
    const fetch = createFetch(server.endpoint);
    for (const body of ["é", new Uint8Array(2), new URLSearchParams("a"), new Blob(["ab"])]) {
      assert.equal(await (await fetch("http://host.example:81/p?q", { method: "POST", body })).text(), "ok");
    }
    await fetch(
      new Request("http://host.example/", { headers: { host: "other", connection: "keep-alive" } }),
    );
    await fetch(new URL("http://host.example/"), { method: "POST" });
    const [first = "", , , , get = "", empty = ""] = server.got;
    assert.match(first, /^POST \/p\?q HTTP\/1\.1\r\n/);
    assert.match(first, /\r\nhost: host\.example:81\r\n/i);
    for (const sent of server.got.slice(0, 4)) assert.match(sent, /\r\ncontent-length: 2\r\n/i);
    for (const sent of server.got) assert.match(sent, /\r\nconnection: close\r\n/i);
    assert.match(get, /^GET \/ /);
    assert.doesNotMatch(get, /content-length|transfer-encoding|keep-alive/i);
    assert.match(empty, /\r\ncontent-length: 0\r\n/i);
    assert.equal(server.got.length, 6);
  });

  test("sends a stream in chunks, and no header that says otherwise", async () => {
    await using server = await start(async (request) =>
      Response.json([await request.text(), [...request.headers]])
    );
    const headers = { "content-length": "3", "transfer-encoding": "identity", "x-own": "1" };
    const init = {
      method: "POST",
      headers,
      body: new Blob(["hello"]).stream(),
      duplex: "half",
    } as RequestInit;
    const answer = await createFetch(server.endpoint)("http://x/", init);
    const [text, received] = await answer.json() as [string, [string, string][]];
    assert.equal(text, "hello");
    const names = Object.fromEntries(received);
    assert.deepEqual([names["transfer-encoding"], names["content-length"], names["x-own"]], [
      "chunked",
      undefined,
      "1",
    ]);
  });

  test("answers HEAD and 204 without a body", async () => {
    await using server = await start((request) =>
      new Response(null, { status: request.method === "HEAD" ? 200 : 204, headers: { "x-a": "b" } })
    );
    const fetch = createFetch(server.endpoint);
    for (const method of ["HEAD", "DELETE"]) {
      const answer = await fetch("http://x/", { method });
      assert.deepEqual([answer.body, answer.headers.get("x-a")], [null, "b"]);
    }
    await until(() => server.connectionCount === 0);
  });

  test("follows no redirect, and makes it an error where it is to be one", async () => {
    await using server = await start(() =>
      new Response("", { status: 302, headers: { location: "http://evil/" } })
    );
    const fetch = createFetch(server.endpoint);
    for (const redirect of ["follow", "manual"] as const) {
      assert.equal((await fetch("http://x/", { redirect })).status, 302);
    }
    await assert.rejects(
      fetch("http://x/", { redirect: "error" }),
      /^TypeError: The peer answers with a redirect/,
    );
  });

  test("refuses https, which would go in the clear, before it connects", async () => {
    await using server = await speak(OK);
    await assert.rejects(
      createFetch(server.endpoint)("https://x/"),
      /^TypeError: The URL must begin with http:/,
    );
    assert.equal(server.got.length, 0);
  });

  test("an abort ends the call before, during and after the wait for the answer, with its reason", async () => {
    await using server = await speak("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", { ends: false });
    const fetch = createFetch(server.endpoint);
    const reason = new Error("enough");
    const isReason = (error: unknown) => error === reason;
    await assert.rejects(fetch("http://x/", { signal: AbortSignal.abort(reason) }), isReason);
    assert.equal(server.got.length, 0);

    const later = new AbortController();
    const answer = await fetch("http://x/", { signal: later.signal });
    const reader = answer.body?.getReader();
    assert.equal(new TextDecoder().decode((await reader?.read())?.value), "half");
    const pending = reader?.read() ?? Promise.resolve();
    later.abort(reason);
    await assert.rejects(pending, isReason);
    await until(() => server.connectionCount === 0);

    await using silent = await listenOnly();
    const waiting = new AbortController();
    const asked = createFetch(silent.endpoint)("http://x/", { signal: waiting.signal });
    const failed = assert.rejects(asked, isReason);
    await until(() => silent.connectionCount === 1);
    waiting.abort(reason);
    await failed;
    await until(() => silent.connectionCount === 0);
  });

  test("a peer that says nothing ends in TimeoutError, and so does one that stops", async () => {
    await using silent = await listenOnly();
    const options = { idleTimeoutMs: 1500 };
    await assert.rejects(createFetch(silent.endpoint, options)("http://x/"), { code: "ERR_TIMEOUT" });
    await using halted = await speak("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", { ends: false });
    const answer = await createFetch(halted.endpoint, options)("http://x/");
    await assert.rejects(answer.text(), { code: "ERR_TIMEOUT" });
  });

  for (
    const [what, bytes] of [
      ["is no HTTP", "\x16\x03\x01 nonsense\r\n\r\n"],
      ["has headers that are too large", `HTTP/1.1 200 OK\r\nx: ${"y".repeat(20_000)}\r\n\r\n`],
      ["has more than 100 header lines", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(101)}\r\n`],
      ["has a status that fetch does not know", "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"],
      ["has a control character in its status line", "HTTP/1.1 200 a\x01b\r\ncontent-length: 0\r\n\r\n"],
      ["is none", ""],
      [
        "changes the protocol",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
      ],
    ] as const
  ) {
    test(`an answer that ${what} is a ConnectionError`, async () => {
      await using server = await speak(bytes);
      await assert.rejects(createFetch(server.endpoint)("http://x/"), { code: "ERR_CONNECTION" });
      await until(() => server.connectionCount === 0);
    });
  }

  test("passes on all of 100 header lines", async () => {
    await using server = await speak(
      `${OK.slice(0, OK.indexOf("\r\n\r\n"))}\r\n${"a: b\r\n".repeat(99)}\r\nok`,
    );
    const answer = await createFetch(server.endpoint)("http://x/");
    assert.equal(answer.headers.get("a")?.split(", ").length, 99);
    assert.equal(await answer.text(), "ok");
  });

  test("an answer that is cut short is a ConnectionError, for its reader", async () => {
    await using server = await speak("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    const answer = await createFetch(server.endpoint)("http://x/");
    await assert.rejects(answer.text(), { code: "ERR_CONNECTION" });
  });

  test("a body that fails ends the call with its error", async () => {
    await using server = await listenOnly();
    const reason = new Error("no more");
    const body = new ReadableStream({ pull: (controller) => controller.error(reason) });
    const init = { method: "POST", body, duplex: "half" } as RequestInit;
    await assert.rejects(createFetch(server.endpoint)("http://x/", init), (error) => error === reason);
    await until(() => server.connectionCount === 0);
  });

  test("a reader that wants no more ends the connection, and the body it sends", async () => {
    let isCancelled = false;
    await using server = await speak("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", {
      ends: false,
    });
    const body = new ReadableStream({ cancel: () => void (isCancelled = true) });
    const init = { method: "POST", body, duplex: "half" } as RequestInit;
    const answer = await createFetch(server.endpoint)("http://x/", init);
    await answer.body?.cancel();
    await until(() => server.connectionCount === 0 && isCancelled);
  });

  test("nothing that listens is a ConnectionError that does not speak of KMS", async () => {
    const endpoint: Endpoint = { transport: "tcp", host: "127.0.0.1", port: await choosePort() };
    await assert.rejects(
      createFetch(endpoint)("http://x/"),
      (error: Error & { code?: string; hint?: string }) => {
        assert.equal(error.code, "ERR_CONNECTION");
        assert.doesNotMatch(`${error.message} ${error.hint}`, /KMS/);
        return true;
      },
    );
  });

  test("refuses targets and options that are none, and says which", () => {
    const refuses = (target: unknown, options: object, error: RegExp) =>
      assert.throws(
        () => createFetch(target as Endpoint, options as CreateFetchOptions),
        (thrown) => error.test(String(thrown)),
      );
    refuses(undefined, {}, /^TypeError: The endpoint must be an object, such as/);
    refuses({ cid: 16 }, {}, /^TypeError: endpoint.port must be a number/);
    refuses({ cid: -1, port: 1 }, {}, /^RangeError: endpoint.cid must be/);
    refuses({ cid: 16, port: 1 }, { timeoutMs: 1 }, /^TypeError: .*no field `timeoutMs`/);
    refuses({ cid: 16, port: 1 }, { idleTimeoutMs: 1 }, /^RangeError: idleTimeoutMs must be/);
  });
});

describe("connect()", () => {
  test("gives the stream to its caller, and ends by time-out, signal or refusal", async () => {
    await using server = await listen(ANYWHERE, {}, ({ stream }) => void stream.pipe(stream));
    const stream: Duplex = await connect(server.endpoint);
    stream.end("hello");
    assert.equal(String(await stream.take(1).toArray()), "hello");
    const reason = new Error("enough");
    await assert.rejects(
      connect(server.endpoint, { signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
    await assert.rejects(connect({ transport: "unix", path: "/no/such/socket" }), {
      code: "ERR_CONNECTION",
      message: "Cannot connect to the peer: the unix socket does not answer (ENOENT)",
    });
    await assert.rejects(connect("tcp:x" as never), /^TypeError: The endpoint must be an object, such as/);
    await assert.rejects(
      connect(server.endpoint, { timeout: 1 } as never),
      /^TypeError: .*no field `timeout`/,
    );
  });
});
