import assert from "node:assert/strict";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { type ByteConn, ConnStream } from "../../../lib/core/conn_stream.ts";
import type { ConnectionStream } from "../../../lib/transport/connection.ts";
import { ConnectionPool } from "../../../lib/transport/connection_pool.ts";
import { fetchThrough } from "../../../lib/transport/create_fetch.ts";
import { serve } from "../../../lib/transport/mod.ts";

const ANYWHERE = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
const LIMITS = { maxConnections: 1, maxIdleMs: 60_000, reconnectMs: 0 };

interface DenoConnect {
  connect(to: { hostname: string; port: number }): Promise<ByteConn>;
}

/** Opens the stream that vsock has on each runtime. */
async function open({ host, port }: TcpEndpoint): Promise<ConnectionStream> {
  const { Deno } = globalThis as unknown as { Deno?: DenoConnect };
  if (Deno !== undefined) return new ConnStream(await Deno.connect({ hostname: host, port }));
  return await new Promise((resolve) => {
    const socket = connect({ host, port }, () => resolve(socket));
  });
}

const mostListeners = (stream: ConnectionStream) =>
  Math.max(...stream.eventNames().map((name) => stream.listenerCount(name)));

async function openWorld(handler: () => Response, idleTimeoutMs = 60_000) {
  const server = await serve(handler, { endpoint: ANYWHERE });
  const streams: ConnectionStream[] = [];
  const pool = new ConnectionPool(async () => {
    const stream = await open(server.endpoint as TcpEndpoint);
    streams.push(stream);
    return stream;
  }, LIMITS);
  const fetch = fetchThrough({ protocol: "http:", take: (_url, call) => pool.take(call) }, { idleTimeoutMs });
  return {
    fetch,
    pool,
    streams,
    async [Symbol.asyncDispose]() {
      pool.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe("ConnectionPool", () => {
  test("leaves no listener on a connection, however many requests it serves", async () => {
    await using world = await openWorld(() => new Response("ok"));
    for (let i = 0; i < 30; i++) {
      assert.equal(await (await world.fetch("http://x/", { method: "POST", body: "x" })).text(), "ok");
    }
    const [stream, ...others] = world.streams as [ConnectionStream];
    assert.equal(others.length, 0);
    assert.ok(mostListeners(stream) < 10, `${mostListeners(stream)} listeners`);
  });

  test("keeps a connection whose bodies the handler leaves unread, once they have come", async () => {
    await using world = await openWorld(() => new Response("ok"));
    for (let i = 0; i < 3; i++) {
      assert.equal(await (await world.fetch("http://x/", { method: "POST", body: "x" })).text(), "ok");
      // As long as the server waits for the rest of a body.
      await sleep(1100);
    }
    assert.deepEqual(world.streams.map(({ destroyed }) => destroyed), [false]);
  });

  test("a peer that says nothing for too long ends the request, and its connection", async () => {
    const never = new ReadableStream({ pull: () => new Promise(() => {}) });
    await using world = await openWorld(() => new Response(never), 40);
    const answer = await world.fetch("http://x/");
    await assert.rejects(answer.text(), { code: "ERR_TIMEOUT", stage: "body" });
    assert.equal(world.streams[0]?.destroyed, true);
  });
});
