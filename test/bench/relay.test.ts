import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { Relay } from "../../bench/relay.ts";
import { describe, test } from "#test";

const ROUND_TRIP_MS = 30;

/** Sends back what it gets. */
async function startEcho(): Promise<TcpEndpoint & AsyncDisposable> {
  const server = createServer((socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    transport: "tcp",
    host: "127.0.0.1",
    port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

describe("relay", () => {
  test("Relay adds a round trip to every answer, and one more to a new connection", async () => {
    await using echo = await startEcho();
    await using relay = await Relay.start(echo, ROUND_TRIP_MS);
    const socket = connect(relay.endpoint.port, relay.endpoint.host);
    /** @returns Whether a timer that is due before the answer came before it */
    const ask = async (dueMs: number) => {
      let earlier = false;
      setTimeout(() => (earlier = true), dueMs);
      socket.write("a");
      await once(socket, "data");
      return earlier;
    };
    // Timers may be early by less than a millisecond.
    assert.ok(await ask(ROUND_TRIP_MS * 2 - 3), "first");
    assert.ok(await ask(ROUND_TRIP_MS - 2), "second");
    socket.destroy();
  });

  test("Relay keeps bytes whole and in order, and counts them", async () => {
    await using echo = await startEcho();
    await using relay = await Relay.start(echo, 5);
    const socket = connect(relay.endpoint.port, relay.endpoint.host);
    const sent = crypto.getRandomValues(new Uint8Array(60_000));
    for (let offset = 0; offset < sent.length; offset += 1000) {
      socket.write(sent.subarray(offset, offset + 1000));
    }
    socket.end();
    const received: Uint8Array[] = [];
    for await (const chunk of socket) received.push(chunk as Uint8Array);
    assert.ok(Buffer.concat(received).equals(sent));
    assert.deepEqual(relay.passed, { connections: 1, bytesUp: 60_000, bytesDown: 60_000 });
  });
});
