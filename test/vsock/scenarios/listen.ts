/** Listening and connecting over AF_VSOCK, in one process and with many connections. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Deadline } from "../../../lib/core/deadline.ts";
import { ConnectionError } from "../../../lib/core/errors.ts";
import { connectVsock } from "../../../lib/transport/connect_vsock.ts";
import { ANY_CID, ANY_VSOCK_PORT, listen, type Listener } from "../../../lib/transport/listen.ts";
import type { Connection } from "../../../lib/transport/connection.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID, PARENT } from "../guest_addresses.ts";

const BURST = 400;

const echo = ({ stream }: Connection) => void stream.pipe(stream);

await check("echoes a megabyte each way, and knows the peer", async () => {
  const peers: unknown[] = [];
  await using listener = await listen(PARENT, {}, (connection) => {
    peers.push(connection.peer?.cid, (connection.peer?.port ?? 0) >= 1024);
    echo(connection);
  });
  assert.deepEqual(listener.endpoint, PARENT);
  for (const cid of [GUEST_CID, LOOPBACK_CID]) {
    const sent = Buffer.alloc(1 << 20, cid);
    const stream = await connect(listener, cid);
    stream.end(sent);
    assert.ok((await readAll(stream)).equals(sent));
  }
  assert.deepEqual(peers, [LOOPBACK_CID, true, LOOPBACK_CID, true]);
});

await check("takes a free port, and tells which", async () => {
  await using listener = await listen({ transport: "vsock", cid: ANY_CID, port: ANY_VSOCK_PORT }, {}, echo);
  assert.ok(listener.endpoint.transport === "vsock" && listener.endpoint.port !== ANY_VSOCK_PORT);
  assert.equal(await ask(await connect(listener)), "hello");
  return `port ${listener.endpoint.port}`;
});

await check(`${BURST} connections at once: none is lost`, async () => {
  let mostAtOnce = 0;
  await using listener = await listen(PARENT, { backlog: 512 }, (connection) => {
    mostAtOnce = Math.max(mostAtOnce, listener.connectionCount);
    echo(connection);
  });
  const answers = await Promise.all(
    Array.from({ length: BURST }, async () => await ask(await connect(listener, GUEST_CID, 30_000))),
  );
  assert.ok(answers.every((answer) => answer === "hello"));
  await until(() => listener.connectionCount === 0);
  return `${mostAtOnce} open at once`;
});

await check("one connection too many is closed unheard", async () => {
  await using listener = await listen(PARENT, { maxConnections: 1 }, echo);
  const first = await connect(listener);
  await until(() => listener.connectionCount === 1);
  assert.equal(await ask(await connect(listener)), "");
  assert.equal(await ask(first), "hello");
  assert.equal(listener.refusedCount, 1);
});

await check("an idle connection is broken off", async () => {
  await using listener = await listen(PARENT, { idleTimeoutMs: 300 }, echo);
  const stream = await connect(listener);
  stream.resume();
  await once(stream, "close");
  assert.equal(listener.idleCount, 1);
});

await check("close() waits for a connection, and takes no other", async () => {
  await using listener = await listen(PARENT, {}, echo);
  const stream = await connect(listener);
  await until(() => listener.connectionCount === 1);
  const closed = listener.close();
  // Deno needs a turn of its loop to close the descriptor; who comes before that is closed unheard.
  await sleep(50);
  await assert.rejects(connect(listener), ConnectionError);
  assert.equal(await ask(stream), "hello");
  await closed;
  await using again = await listen(PARENT, {}, echo);
  assert.equal(await ask(await connect(again)), "hello");
});

await check("a peer that breaks off harms nobody", async () => {
  await using listener = await listen(PARENT, {}, ({ stream }) => {
    const timer = setInterval(() => stream.write(new Uint8Array(65_536)), 1);
    stream.on("close", () => clearInterval(timer));
  });
  const streams = await Promise.all(Array.from({ length: 20 }, () => connect(listener)));
  await until(() => listener.connectionCount === streams.length);
  for (const stream of streams) stream.destroy();
  await until(() => listener.connectionCount === 0);
});

await check("an address in use, and one that is not ours, say what to check", async () => {
  await using _ = await listen(PARENT, {}, echo);
  const inUse = await refusal(ANY_CID, PARENT.port);
  assert.match(inUse.hint, /^Another process listens on that port/);
  const notOurs = await refusal(77, PARENT.port + 1);
  assert.match(notOurs.hint, /^This machine does not have that CID/);
  return `${inUse.message}; ${notOurs.message}`;
});

async function refusal(cid: number, port: number): Promise<ConnectionError> {
  const error = await listen({ transport: "vsock", cid, port }, {}, echo).then(
    () => assert.fail("listens"),
    (error: ConnectionError) => error,
  );
  assert.ok(error instanceof ConnectionError, String(error));
  return error;
}

async function connect({ endpoint }: Listener, cid = GUEST_CID, timeoutMs = 60_000): Promise<Duplex> {
  assert.ok(endpoint.transport === "vsock");
  using deadline = new Deadline("connect", timeoutMs);
  const stream = await connectVsock({ ...endpoint, cid }, deadline);
  stream.on("error", () => {});
  return stream;
}

async function ask(stream: Duplex): Promise<string> {
  stream.end("hello");
  return String(await readAll(stream).catch(() => ""));
}

async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}
