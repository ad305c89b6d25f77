import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, test } from "#test";
import { Deadline } from "../../../lib/core/deadline.ts";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { ConnectionError } from "../../../lib/core/errors.ts";
import { openTransport } from "../../../lib/transport/open_transport.ts";
import { listen, type ListenOptions } from "../../../lib/transport/listen.ts";
import type { Connection } from "../../../lib/transport/connection.ts";
import { until } from "../../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  tcp: { transport: "tcp", host: "127.0.0.1", port: 0 },
  unix: { transport: "unix", path: join(folder, "listen.sock") },
};

const echo = ({ stream }: Connection) => void stream.pipe(stream);

async function connect(endpoint: Endpoint): Promise<Socket> {
  using deadline = new Deadline("connect", 60_000);
  const socket = await openTransport(endpoint, deadline) as Socket;
  socket.on("error", () => {});
  return socket;
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of socket) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

for (const [name, endpoint] of Object.entries(ENDPOINTS)) {
  describe(`listen() on ${name}`, () => {
    test("serves connections, half-open ones too, without a peer", async () => {
      const peers: unknown[] = [];
      await using listener = await listen(endpoint, {}, (connection) => {
        peers.push(connection.peer);
        echo(connection);
      });
      if (listener.endpoint.transport === "tcp") assert.notEqual(listener.endpoint.port, 0);
      for (let round = 0; round < 10; round++) {
        const socket = await connect(listener.endpoint);
        const sent = Buffer.alloc(100_000, round);
        socket.end(sent);
        assert.deepEqual(await readAll(socket), sent);
      }
      assert.deepEqual(peers, new Array(10).fill(undefined));
      await until(() => listener.connectionCount === 0);
    });

    test("close() takes no more and waits for the connections there are", async () => {
      await using listener = await listen(endpoint, {}, echo);
      const socket = await connect(listener.endpoint);
      await until(() => listener.connectionCount === 1);
      let closed = false;
      const closing = listener.close().then(() => closed = true);
      await assert.rejects(connect(listener.endpoint), ConnectionError);
      socket.write("still here");
      assert.deepEqual((await once(socket, "data")).map(String), ["still here"]);
      assert.equal(closed, false);
      socket.end();
      socket.resume();
      await closing;
      assert.equal(listener.close(), listener.close());
    });

    test("disposing breaks the connections off", async () => {
      let socket: Socket;
      {
        await using listener = await listen(endpoint, {}, echo);
        socket = await connect(listener.endpoint);
        await until(() => listener.connectionCount === 1);
      }
      socket.resume();
      if (!socket.closed) await once(socket, "close");
    });

    test("one connection too many is closed unheard, and there is room again later", async () => {
      let heard = 0;
      await using listener = await listen(endpoint, { maxConnections: 2 }, (connection) => {
        heard++;
        echo(connection);
      });
      const [first, second] = [await connect(listener.endpoint), await connect(listener.endpoint)];
      await until(() => listener.connectionCount === 2);
      assert.equal((await readAll(await connect(listener.endpoint)).catch(() => "")).length, 0);
      assert.deepEqual([heard, listener.refusedCount], [2, 1]);
      first.destroy();
      await until(() => listener.connectionCount === 1);
      const third = await connect(listener.endpoint);
      third.end("hello");
      assert.equal(String(await readAll(third)), "hello");
      second.destroy();
    });

    test("at the limit the connection that giveWay names is closed for the new one", async () => {
      const streams: Connection["stream"][] = [];
      const named: (Connection["stream"] | undefined)[] = [];
      const limits = { maxConnections: 2, giveWay: () => named.shift() };
      await using listener = await listen(endpoint, limits, (connection) => {
        streams.push(connection.stream);
        echo(connection);
      });
      const first = await connect(listener.endpoint);
      await until(() => streams.length === 1);
      const second = await connect(listener.endpoint);
      await until(() => streams.length === 2);
      named.push(streams[0], undefined, streams[0]);
      const third = await connect(listener.endpoint);
      third.end("hello");
      assert.equal(String(await readAll(third)), "hello");
      first.resume();
      if (!first.closed) await once(first, "close");
      await until(() => listener.connectionCount === 1);
      assert.deepEqual([listener.displacedCount, listener.refusedCount, second.destroyed], [1, 0, false]);
      const fourth = await connect(listener.endpoint);
      await until(() => streams.length === 4);
      // None is named, and then one that is open no more.
      for (const refused of [1, 2]) {
        await readAll(await connect(listener.endpoint)).catch(() => "");
        assert.deepEqual([listener.displacedCount, listener.refusedCount], [1, refused]);
      }
      assert.deepEqual([streams.length, fourth.destroyed], [4, false]);
    });

    test("an idle connection is broken off, a busy one is not", async () => {
      await using listener = await listen(endpoint, { idleTimeoutMs: 1500 }, echo);
      const [busy, idle] = [await connect(listener.endpoint), await connect(listener.endpoint)];
      busy.resume();
      idle.resume();
      const gone = once(idle, "close");
      let idleIsGone = false;
      void gone.then(() => idleIsGone = true);
      while (!idleIsGone) {
        busy.write("x");
        await sleep(20);
      }
      assert.deepEqual([busy.destroyed, listener.idleCount], [false, 1]);
      busy.destroy();
    });

    test("a handler that throws loses its connection and nothing else", async () => {
      let calls = 0;
      await using listener = await listen(endpoint, {}, (connection) => {
        if (calls++ === 0) throw new RangeError("no");
        echo(connection);
      });
      assert.equal((await readAll(await connect(listener.endpoint)).catch(() => "")).length, 0);
      const socket = await connect(listener.endpoint);
      socket.end("hello");
      assert.equal(String(await readAll(socket)), "hello");
    });

    test("an address in use is a ConnectionError with a hint", async () => {
      await using listener = await listen(endpoint, {}, echo);
      await assert.rejects(listen(listener.endpoint, {}, echo), (error) => {
        assert.ok(error instanceof ConnectionError);
        assert.match(error.message, /^Cannot listen on .*: EADDRINUSE$/);
        assert.match(error.hint, /^Another process listens there/);
        return true;
      });
    });
  });
}

describe("listen()", () => {
  const refuses = async (options: unknown, kind: new () => Error, message: RegExp) => {
    const endpoint = ENDPOINTS["tcp"] as Endpoint;
    await assert.rejects(listen(endpoint, options as ListenOptions, echo), (error: Error) => {
      assert.ok(error instanceof kind);
      assert.match(error.message, message);
      return true;
    });
  };

  test("refuses options that are unknown or out of range", async () => {
    await refuses({ maxConnection: 1 }, TypeError, /no field `maxConnection`/);
    await refuses({ backlog: 0 }, RangeError, /backlog must be an integer from 1/);
    await refuses({ maxConnections: 0.5 }, RangeError, /maxConnections/);
    await refuses({ idleTimeoutMs: "60" }, TypeError, /idleTimeoutMs must be a number/);
    await refuses({ giveWay: true }, TypeError, /giveWay must be a function/);
  });

  test("says how an endpoint looks when it is given as a text", async () => {
    await assert.rejects(listen("tcp:127.0.0.1:0" as never, {}, echo), {
      name: "TypeError",
      message: 'The endpoint must be an object, such as { transport: "tcp", host: "127.0.0.1", port: 8443 }',
    });
  });

  test("says which folder to look at when a unix socket has none", async () => {
    const endpoint = { transport: "unix", path: join(folder, "none", "x.sock") } as const;
    await assert.rejects(listen(endpoint, {}, echo), (error) => {
      assert.ok(
        error instanceof ConnectionError && error.message.startsWith(`Cannot listen on ${endpoint.path}: `),
      );
      return true;
    });
  });
});
