import assert from "node:assert/strict";
import { hc } from "hono/client";
import { Hono } from "hono";
import { describe, test } from "#test";
import { EnclaveListener, type ListenerHandler } from "../../../enclave/enclave_listener.ts";
import type { Endpoint, TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { type Connection, listen } from "../../../lib/transport/mod.ts";
import { type ConnectorOptions, SimulationConnector } from "../../../parent/mod.ts";
import { choosePort } from "../../../sim/free_port.ts";
import { until } from "../../support/until.ts";
import { HELD_MS, HeldTimers } from "../../support/held_timers.ts";

const ANYWHERE: TcpEndpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const ENVIRONMENT = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };

const startListener = (handler: ListenerHandler) =>
  EnclaveListener.start(handler, { environment: ENVIRONMENT });

const connectTo = (endpoint: Endpoint, options: ConnectorOptions = {}) =>
  new SimulationConnector({ port: (endpoint as TcpEndpoint).port, ...options });

/** Answers each request of each connection in turn; an answer that is undefined ends the connection. */
async function speak(answers: readonly (string | undefined)[], endpoint: Endpoint = ANYWHERE) {
  const connections: Connection["stream"][] = [];
  const got: string[] = [];
  const listener = await listen(endpoint, {}, ({ stream }) => {
    connections.push(stream);
    stream.on("data", (chunk) => {
      const answer = answers[got.push(String(chunk)) - 1] ?? "";
      if (answer === "") stream.destroy();
      else stream.write(answer);
    });
    stream.on("end", () => stream.end());
  });
  return Object.assign(listener, { got, connections });
}

async function unusedPort(): Promise<Endpoint> {
  return { ...ANYWHERE, port: await choosePort() };
}

describe("a connector", () => {
  test("sends text, bytes and JSON, and reads status, headers and body", async () => {
    await using listener = await startListener(({ method, path, headers, body }) => ({
      status: 201,
      headers: { "x-type": headers.get("content-type") ?? "none" },
      body: `${method} ${path} ${new TextDecoder().decode(body)}`,
    }));
    await using connector = connectTo(listener.endpoint);
    const said = async (request: Parameters<typeof connector.sendRequest>[0]) => {
      const { status, headers, ...answer } = await connector.sendRequest(request);
      assert.equal(status, 201);
      return [answer.text(), headers.get("x-type")];
    };
    assert.deepEqual(await said({ path: "/a?b=c" }), ["GET /a?b=c ", "none"]);
    const json = await said({ path: "/", body: { a: 1 } });
    assert.deepEqual(json, ['POST / {"a":1}', "application/json"]);
    const bytes = { path: "/", method: "PUT", body: new Uint8Array([104, 105]) };
    assert.deepEqual(await said({ ...bytes, headers: { "content-type": "x/y" } }), ["PUT / hi", "x/y"]);
  });

  test("a hundred requests in turn take one connection, and a hundred at once at most maxConnections", async () => {
    let open = 0;
    let most = 0;
    let awaited = 1;
    await using listener = await startListener(async () => {
      most = Math.max(most, ++open);
      await until(() => most >= awaited);
      open--;
      return { body: "ok" };
    });
    await using world = await countingRelay(listener.endpoint);
    await using connector = connectTo(world.endpoint, { maxConnections: 4 });
    for (let i = 0; i < 100; i++) {
      assert.equal((await connector.sendRequest({ path: "/" })).text(), "ok");
    }
    assert.equal(world.count(), 1);
    awaited = 4;
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => connector.sendRequest({ path: "/", body: "x" })),
    );
    assert.equal(answers.length, 100);
    assert.equal(world.count(), 4);
    assert.equal(most, 4);
  });

  test("its fetch plugs into Hono's typed client, and streams", async () => {
    const app = new Hono().get("/v1/hello", (c) => c.json({ hello: "enclave" }));
    await using listener = await startListener((request) =>
      app.fetch(new Request(`http://enclave${request.path}`))
    );
    await using connector = connectTo(listener.endpoint);
    const client = hc<typeof app>("http://enclave", { fetch: connector.fetch });
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await (await client.v1.hello.$get()).json(), { hello: "enclave" });
    }
    await assert.rejects(connector.fetch("https://enclave/"), /^TypeError: The URL must begin with http:/);
  });

  test("a connection that waits does not keep the process alive, is closed after maxIdleMs, and when the peer says something", async () => {
    await using server = await speak([OK, OK]);
    await using connector = connectTo(server.endpoint, { maxIdleMs: 30 });
    await connector.sendRequest({ path: "/" });
    await until(() => server.connectionCount === 0);
    await using patient = connectTo(server.endpoint);
    await patient.sendRequest({ path: "/" });
    assert.equal(server.connections.length, 2);
    server.connections[1]?.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfalse");
    await until(() => server.connectionCount === 0);
  });

  test("an answer that nobody asked for is never another request's", async () => {
    await using server = await speak([`${OK}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfalse`, OK]);
    await using connector = connectTo(server.endpoint);
    const first = await connector.sendRequest({ path: "/1" }).then((answer) => answer.text(), () => "ok");
    assert.equal(first, "ok");
    assert.equal((await connector.sendRequest({ path: "/2", body: "x" })).text(), "ok");
    assert.equal(server.connections.length, 2);
  });

  test("refuses requests and options that are none, before anything is sent", async () => {
    await using server = await speak([]);
    await using connector = connectTo(server.endpoint);
    const refuses = (request: object, pattern: RegExp, options = {}) =>
      assert.rejects(
        connector.sendRequest(request as { path: string }, options),
        (e) => pattern.test(String(e)),
      );
    await refuses({}, /^TypeError: path must begin with one slash/);
    await refuses({ path: "//evil/x" }, /^TypeError: path must/);
    await refuses({ path: "http://evil/" }, /^TypeError: path must/);
    await refuses({ path: "/a b" }, /^TypeError: path must/);
    await refuses({ path: "/a#b" }, /^TypeError: path must/);
    await refuses({ path: "/", method: "get" }, /^TypeError: method must/);
    await refuses({ path: "/", body: 7 }, /^TypeError: body must/);
    await refuses({ path: "/", bdy: "" }, /^TypeError: .*no field `bdy`/);
    await refuses({ path: "/", headers: new Headers() }, /^TypeError: headers must be a plain object/);
    await refuses({ path: "/" }, /^RangeError: timeoutMs/, { timeoutMs: 0 });
    await refuses({ path: "/" }, /^TypeError: signal must/, { signal: {} });
    assert.equal(server.connections.length, 0);
    assert.throws(() => new SimulationConnector({ maxConnections: 0 }), /maxConnections must be/);
    assert.throws(() => new SimulationConnector({ prt: 1 } as object), /no field `prt`/);
  });
});

describe("a connector whose enclave fails", () => {
  test("is absent: tried again with pauses for reconnectMs, then a ConnectionError that says where", async () => {
    const endpoint = await unusedPort();
    await using connector = connectTo(endpoint, { reconnectMs: 100 });
    await assert.rejects(
      connector.sendRequest({ path: "/", body: "x" }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "ERR_CONNECTION");
        assert.match(error.message, /^Cannot connect to the enclave: nothing answers at 127\.0\.0\.1:\d+$/);
        return true;
      },
    );
    await using impatient = connectTo(endpoint, { reconnectMs: 60_000 });
    await assert.rejects(impatient.sendRequest({ path: "/" }, { timeoutMs: 50 }), {
      code: "ERR_TIMEOUT",
      stage: "enclave-connect",
    });
  });

  test("starts while requests wait: each is sent once, and answered", async () => {
    const endpoint = await unusedPort();
    await using connector = connectTo(endpoint, { reconnectMs: 20_000 });
    const waiting = Promise.all(
      Array.from({ length: 5 }, (_, i) => connector.sendRequest({ path: `/${i}`, body: "x" })),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    await using server = await speak(Array(10).fill(OK), endpoint);
    assert.equal((await waiting).length, 5);
    assert.equal(server.got.length, 5);
  });

  test("restarts between requests: the next one goes over a new connection", async () => {
    const endpoint = await unusedPort();
    const first = await speak([OK], endpoint);
    await using connector = connectTo(endpoint, { reconnectMs: 20_000 });
    await connector.sendRequest({ path: "/", body: "x" });
    for (const stream of first.connections) stream.destroy();
    await first.close();
    await until(() => connector.connectionCount === 0);
    await using second = await speak([OK], endpoint);
    assert.equal((await connector.sendRequest({ path: "/", body: "x" })).text(), "ok");
    assert.equal(second.got.length, 1);
  });

  test("breaks a kept connection on the request: GET is sent again, POST is not, and POST that is repeatable is", async () => {
    const request = { path: "/", body: "x" };
    await using server = await speak([OK, undefined, OK, undefined, OK, undefined, OK]);
    await using connector = connectTo(server.endpoint);
    await connector.sendRequest(request);
    assert.equal((await connector.sendRequest({ path: "/" })).text(), "ok");
    await assert.rejects(connector.sendRequest(request), { code: "ERR_CONNECTION" });
    await connector.sendRequest(request);
    assert.equal((await connector.sendRequest({ ...request, isRepeatable: true })).text(), "ok");
    assert.equal(server.got.length, 7);
  });

  test("breaks every connection: GET is sent twice at most, and fails", async () => {
    await using server = await speak([OK, undefined, undefined, OK]);
    await using connector = connectTo(server.endpoint);
    await connector.sendRequest({ path: "/" });
    await assert.rejects(connector.sendRequest({ path: "/" }), { code: "ERR_CONNECTION" });
    assert.equal(server.got.length, 3);
  });

  test("hangs, before its answer and within it: TimeoutError at the stage, and the connection is closed", async () => {
    await using server = await speak([
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ]);
    await using connector = connectTo(server.endpoint);
    using timers = new HeldTimers();
    for (let i = 0; i < 2; i++) {
      const refused = assert.rejects(connector.sendRequest({ path: "/" }, { timeoutMs: HELD_MS }), {
        code: "ERR_TIMEOUT",
        stage: "enclave",
      });
      await until(() => server.got.length > i);
      timers.goOff();
      await refused;
    }
    await until(() => server.connectionCount === 0);
  });

  test("hangs: an abort ends the call with its reason, and the others go on", async () => {
    await using server = await speak(["HTTP/1.1 200 OK\r\n", OK]);
    await using connector = connectTo(server.endpoint);
    const caller = new AbortController();
    const reason = new Error("enough");
    const asked = assert.rejects(
      connector.sendRequest({ path: "/" }, { signal: caller.signal }),
      (error) => error === reason,
    );
    await until(() => server.got.length === 1);
    caller.abort(reason);
    await asked;
    assert.equal((await connector.sendRequest({ path: "/" })).text(), "ok");
  });

  test("is half open: it ends its direction and answers nothing", async () => {
    await using server = await listen(ANYWHERE, {}, ({ stream }) => {
      stream.on("data", () => stream.end());
    });
    await using connector = connectTo(server.endpoint);
    await assert.rejects(connector.sendRequest({ path: "/", body: "x" }), { code: "ERR_CONNECTION" });
  });

  for (
    const [what, bytes] of [
      ["speaks no HTTP", "\x16\x03\x01 nonsense\r\n\r\n"],
      ["answers two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"],
      ["answers with too many header lines", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(101)}\r\n`],
      [
        "switches the protocol",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
      ],
    ] as const
  ) {
    test(`${what}: a ConnectionError, and the connection is closed`, async () => {
      await using server = await speak([bytes]);
      await using connector = connectTo(server.endpoint);
      await assert.rejects(connector.sendRequest({ path: "/", body: "x" }), { code: "ERR_CONNECTION" });
      await until(() => server.connectionCount === 0);
    });
  }

  test("answers more than maxAnswerBytes, with and without saying so: a ProtocolError, and no more is read", async () => {
    const chunk = `1000\r\n${"x".repeat(4096)}\r\n`;
    await using server = await speak([
      "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" + "x".repeat(2048),
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(4)}`,
    ]);
    await using connector = connectTo(server.endpoint, { maxAnswerBytes: 1024 });
    for (let i = 0; i < 2; i++) {
      await assert.rejects(connector.sendRequest({ path: "/" }), { code: "ERR_PROTOCOL" });
    }
    await until(() => server.connectionCount === 0);
  });

  test("answers no JSON: json() is a ProtocolError that quotes nothing", async () => {
    await using server = await speak([OK]);
    await using connector = connectTo(server.endpoint);
    const answer = await connector.sendRequest({ path: "/" });
    assert.throws(() => answer.json(), { code: "ERR_PROTOCOL", message: /no JSON$/ });
  });
});

describe("close() of a connector", () => {
  test("lets requests end, refuses new ones, and leaves nothing open", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    await using listener = await startListener(async () => {
      await promise;
      return { body: "late" };
    });
    await using world = await countingRelay(listener.endpoint);
    const connector = connectTo(world.endpoint, { maxConnections: 1 });
    const running = [1, 2].map((i) => connector.sendRequest({ path: `/${i}`, body: "x" }));
    await until(() => world.count() === 1);
    const closed = connector.close();
    await assert.rejects(connector.sendRequest({ path: "/" }), { code: "ERR_DISPOSED" });
    resolve();
    for (const answer of await Promise.all(running)) assert.equal(answer.text(), "late");
    await closed;
    await until(() => world.connectionCount === 0);
    await connector.close();
  });

  test("breaks off those that are left after the grace period, and those that wait to connect", async () => {
    await using server = await speak(["HTTP/1.1 200 OK\r\n"]);
    const connector = connectTo(server.endpoint, { maxConnections: 1 });
    const running = [1, 2].map((i) => assert.rejects(connector.sendRequest({ path: `/${i}` })));
    await until(() => server.got.length === 1);
    await connector.close({ graceMs: 10 });
    await Promise.all(running);
    const absent = connectTo(await unusedPort(), { reconnectMs: 60_000 });
    const waiting = assert.rejects(absent.sendRequest({ path: "/" }), { code: "ERR_DISPOSED" });
    await absent[Symbol.asyncDispose]();
    await waiting;
  });
});

/** Takes connections to a listener, and counts them. */
async function countingRelay(target: Endpoint) {
  const { openBridge } = await import("../../../lib/transport/mod.ts");
  const bridge = await openBridge(ANYWHERE, target);
  return {
    endpoint: bridge.endpoint,
    count: () => bridge.counters.acceptedCount,
    get connectionCount() {
      return bridge.counters.openCount;
    },
    [Symbol.asyncDispose]: () => bridge[Symbol.asyncDispose](),
  };
}
