import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { until } from "../../support/until.ts";
import { dial } from "../../server/serving.ts";
import { ask, open, TlsServing } from "./tls_serving.ts";

/** More than a busy machine takes for a handshake. */
const PATIENCE_MS = 3000;

const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/** Wraps bytes as one record of a handshake. */
const record = (bytes: Uint8Array, length = bytes.length) =>
  Buffer.concat([Buffer.from([0x16, 3, 1, length >> 8, length & 0xff]), bytes]);

/** A ClientHello that says it is as long as one can be, and is not one. */
const longHello = (length: number) => {
  const hello = Buffer.alloc(length, 0xff);
  hello.set([1, 0xff, 0xff, 0xff, 3, 3]);
  return hello;
};

/** Bytes that look like noise, the same for the same number. */
const noise = (length: number, seed: number) =>
  createHash("shake256", { outputLength: length }).update(String(seed)).digest();

describe("TlsListener", () => {
  const served = async (serving: TlsServing, endpoint: Endpoint) =>
    assert.deepEqual(await ask(endpoint, { ca: serving.channel.certificatePem }), {
      status: 200,
      body: '{"channel":"tls"}',
    });

  test("ends connections whose bytes are no handshake, counts them, and serves the next", async () => {
    await using serving = new TlsServing({ limits: { handshakeMs: PATIENCE_MS } });
    const endpoint = await serving.listen();
    const cases: readonly (string | Uint8Array)[] = [
      GET,
      "\0".repeat(100_000),
      "\xff".repeat(100_000),
      record(Buffer.alloc(0)),
      record(Buffer.alloc(16_385)),
      record(longHello(16_384)),
      Buffer.concat(Array.from({ length: 20 }, () => record(longHello(16_384)))),
      Buffer.concat(Array.from({ length: 5000 }, () => record(Uint8Array.of(1)))),
      record(Uint8Array.of(2, 0, 0, 0)),
      Buffer.from([0x15, 3, 3, 0, 2, 2, 40]),
      Buffer.from([0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
    ];
    for (const [index, bytes] of cases.entries()) {
      const socket = dial(endpoint);
      socket.resume();
      socket.write(bytes);
      await closed(socket);
      await until(() => serving.handshakes("refused") + serving.handshakes("timeout") === index + 1);
    }
    assert.equal(serving.callers.length, 0);
    assert.equal(serving.refusals.length, cases.length);
    await served(serving, endpoint);
  });

  test("says in the log no byte of what came", async () => {
    await using serving = new TlsServing({ limits: { handshakeMs: 300 } });
    const endpoint = await serving.listen();
    for (
      const bytes of [
        "HUSH-HUSH-HUSH",
        "GET /HUSH HTTP/1.1\r\nhost: HUSH\r\n\r\n",
        record(Buffer.from("HUSH")),
      ]
    ) {
      const socket = dial(endpoint);
      socket.resume();
      socket.write(bytes);
      await closed(socket);
    }
    await until(() => serving.refusals.length === 3);
    assert.doesNotMatch(serving.logged.join(), /HUSH/);
  });

  test("ends random bytes after a true beginning as well", async () => {
    await using serving = new TlsServing({ limits: { handshakeMs: PATIENCE_MS } });
    const endpoint = await serving.listen();
    const sockets = Array.from({ length: 50 }, (_, index) => {
      const socket = dial(endpoint);
      socket.resume();
      socket.write(record(Buffer.concat([Buffer.from([1, 0, 1, 0, 3, 3]), noise(250, index)])));
      return closed(socket);
    });
    await Promise.all(sockets);
    await until(() => serving.handshakes("refused") + serving.handshakes("timeout") === 50);
    await served(serving, endpoint);
  });

  test("ends a handshake that is late, although a byte comes now and then", async () => {
    await using serving = new TlsServing({ limits: { handshakeMs: 300 } });
    const endpoint = await serving.listen();
    const hello = await clientHello(serving);
    const socket = dial(endpoint);
    let sent = 0;
    const timer = setInterval(() => socket.write(hello.subarray(sent, ++sent)), 20);
    try {
      socket.resume();
      await closed(socket);
    } finally {
      clearInterval(timer);
    }
    await until(() => serving.handshakes("timeout") === 1);
    assert.deepEqual(serving.refusals, ["timeout"]);
    assert.ok(sent < hello.length, "its deadline came first");
  });

  test("serves a client whose handshake comes byte by byte, in its time", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen();
    const hello = await clientHello(serving);
    const socket = dial(endpoint);
    const answered = once(socket, "data");
    for (const byte of hello) {
      socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [answer] = await answered;
    assert.deepEqual([...(answer as Buffer).subarray(0, 3)], [0x16, 3, 3], "a ServerHello");
    socket.destroy();
    await until(() => serving.handshakes("gone") === 1);
  });

  test("holds few handshakes of a thousand that are begun, and serves a client among them", async () => {
    await using serving = new TlsServing({ limits: { maxHandshakes: 16, handshakeMs: 600_000 } });
    const endpoint = await serving.listen();
    const sockets = Array.from({ length: 1000 }, () => dial(endpoint));
    for (const socket of sockets) socket.resume();
    await until(() => serving.handshakes("displaced") === 1000 - 16);
    await served(serving, endpoint);
    assert.equal(serving.handshakes("displaced"), 1000 - 16 + 1);
    assert.equal(serving.handshakes("ok"), 1);
    for (const socket of sockets) socket.destroy();
    await until(() => serving.handshakes("gone") === 15);
    assert.equal(serving.refusals.length, 0, "no line of the log for each");
  });

  test("gives way at the limit of connections: a handshake first, one that is idle then", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen(undefined, { maxConnections: 8 });
    const ca = serving.channel.certificatePem;
    const silent: Duplex[] = [];
    for (let index = 0; index < 8; index++) {
      const socket = dial(endpoint);
      socket.resume();
      silent.push(socket);
      await once(socket, "connect");
    }
    for (let index = 0; index < 8; index++) await served(serving, endpoint);
    const kept: TLSSocket[] = [];
    for (let index = 0; index < 8; index++) {
      const client = await open(endpoint, { ca });
      client.write(GET);
      await once(client, "data");
      kept.push(client);
    }
    await served(serving, endpoint);
    await until(() => kept[0]?.destroyed === true);
    assert.deepEqual(kept.map(({ destroyed }) => destroyed), [true, ...kept.slice(1).map(() => false)]);
    for (const socket of [...silent, ...kept]) socket.destroy();
  });

  test("is not harmed by clients that leave at any point", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen();
    const ca = serving.channel.certificatePem;
    const hello = await clientHello(serving);
    for (const length of [0, 1, 5, 100, hello.length]) {
      const socket = dial(endpoint);
      await once(socket, "connect");
      if (length > 0) await new Promise((resolve) => socket.write(hello.subarray(0, length), resolve));
      socket.destroy();
    }
    for (const text of ["", GET.slice(0, 10), GET]) {
      const client = await open(endpoint, { ca });
      if (text !== "") client.write(text);
      client.destroy();
    }
    await served(serving, endpoint);
    await until(() => serving.metrics.openConnections("http") === 0);
  });

  test("cuts off a client that says nothing after its handshake", async () => {
    await using serving = new TlsServing({ headersMs: 200 });
    const client = await open(await serving.listen(), { ca: serving.channel.certificatePem });
    client.resume();
    await closed(client);
    await until(() => serving.metrics.openConnections("http") === 0);
  });

  // Deno's own client ends both directions at once.
  test.skipIf("Deno" in globalThis)(
    "answers a client that ends its direction after the request",
    async () => {
      await using serving = new TlsServing();
      const endpoint = await serving.listen();
      const options: ConnectionOptions & { allowHalfOpen: boolean } = {
        ca: serving.channel.certificatePem,
        allowHalfOpen: true,
      };
      const client = await open(endpoint, options);
      let answer = "";
      client.on("data", (chunk) => answer += String(chunk));
      client.end(GET);
      await closed(client);
      assert.match(answer, /^HTTP\/1\.1 200 /m);
    },
  );

  test("lets one who asks have a connection that another floods with bytes that are no HTTP", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen();
    const client = await open(endpoint, { ca: serving.channel.certificatePem });
    client.resume();
    client.write("\0".repeat(200_000));
    await closed(client);
    await served(serving, endpoint);
  });
});

/** Waits for the end of a connection, in order or not. */
function closed(socket: Duplex): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** Takes the first bytes of a client of this runtime. */
async function clientHello(serving: TlsServing): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const connected = once(server, "connection");
  const asked = ask({ transport: "tcp", host: "127.0.0.1", port }, { ca: serving.channel.certificatePem });
  const [socket] = await connected as [Duplex];
  const [hello] = await once(socket, "data") as [Buffer];
  socket.destroy();
  await asked;
  server.close();
  return hello;
}
