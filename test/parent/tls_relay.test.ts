import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer } from "node:tls";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, test } from "#test";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { ConnectionError, PolicyDeniedError, ProtocolError, TimeoutError } from "../../lib/core/errors.ts";
import { connect, type Connection, listen } from "../../lib/transport/mod.ts";
import { TlsRelay, type TlsRelayOptions } from "../../parent/tls_relay.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { until } from "../support/until.ts";

const simulationFolder = mkdtempSync(join(tmpdir(), "enclave-kms-relay-"));
afterAll(() => rmSync(simulationFolder, { recursive: true }));

const ALLOW = ["sts.eu-central-1.amazonaws.com", "*.s3.eu-central-1.amazonaws.com"];
const BUCKET = "bucket.s3.eu-central-1.amazonaws.com";

const echo = ({ stream }: Connection) => void stream.pipe(stream);

/** Relay to one server, whatever the name. */
async function openWorld(handle = echo, options: Partial<TlsRelayOptions> = {}) {
  const service = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, {}, handle);
  const failures: unknown[] = [];
  const names: string[] = [];
  const relay = await TlsRelay.open({
    port: 8443,
    allow: ALLOW,
    targetPort: (service.endpoint as TcpEndpoint).port,
    simulationFolder,
    lookup: (name) => (names.push(name), Promise.resolve(["127.0.0.1"])),
    onFailure: (error) => failures.push(error),
    ...options,
  });
  return {
    relay,
    service,
    failures,
    names,
    connect: async () => {
      const stream = await connect(relay.endpoint, { timeoutMs: 60_000 });
      stream.on("error", () => {});
      return stream;
    },
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await service[Symbol.asyncDispose]();
    },
  };
}

/** Makes the ClientHello that node:tls sends for a name. */
async function helloFor(servername: string): Promise<Uint8Array> {
  const server = await listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, {}, ({ stream }) => {
    stream.once("data", (bytes) => received(new Uint8Array(bytes)));
  });
  await using _ = server;
  const { promise, resolve: received } = Promise.withResolvers<Uint8Array>();
  const { port } = server.endpoint as TcpEndpoint;
  const socket = connectTls({ host: "127.0.0.1", port, servername });
  socket.on("error", () => {});
  const bytes = await promise;
  socket.destroy();
  return bytes;
}

async function closed(stream: Duplex): Promise<void> {
  stream.resume();
  await until(() => stream.closed);
}

describe("TlsRelay", () => {
  test("takes each connection to the name in it, and leaves its bytes alone", async () => {
    await using world = await openWorld();
    for (const name of [BUCKET, "sts.eu-central-1.amazonaws.com"]) {
      const stream = await world.connect();
      const hello = await helloFor(name);
      const sent = Buffer.concat([hello, Buffer.alloc(100_000, 7)]);
      const received: Uint8Array[] = [];
      stream.on("data", (chunk) => received.push(chunk as Uint8Array));
      stream.end(sent);
      await closed(stream);
      assert.ok(Buffer.concat(received).equals(sent));
    }
    // Buckets are served by all servers of their region: names that enclaves make up are not looked up.
    assert.deepEqual(world.names, ["s3.eu-central-1.amazonaws.com", "sts.eu-central-1.amazonaws.com"]);
  });

  test("keeps a client that ends its direction right after its ClientHello", async () => {
    await using world = await openWorld();
    const hello = await helloFor(BUCKET);
    for (const parts of [[hello], [hello.subarray(0, 7), hello.subarray(7)]]) {
      const stream = await world.connect();
      const received: Uint8Array[] = [];
      stream.on("data", (chunk) => received.push(chunk as Uint8Array));
      for (const part of parts) stream.write(part);
      stream.end();
      await closed(stream);
      assert.ok(Buffer.concat(received).equals(hello), `${received.length} of ${hello.length} bytes`);
    }
    assert.deepEqual(world.failures, []);
  });

  test("carries a TLS handshake that ends on both sides of it", async () => {
    const authority = await TlsAuthority.create(BUCKET);
    const certificate = await authority.certificate("valid");
    const server = createServer(certificate, (socket) => void socket.end("over TLS"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      await using world = await openWorld(echo, { targetPort: (server.address() as { port: number }).port });
      const socket = connectTls({
        socket: await world.connect(),
        servername: BUCKET,
        ca: authority.trustedCertificates,
      });
      let text = "";
      socket.on("data", (chunk) => text += chunk);
      await once(socket, "end");
      assert.equal(text, "over TLS");
      socket.destroy();
    } finally {
      server.close();
    }
  });

  test("reads a ClientHello that comes a byte at a time, and keeps no chunk of it", async () => {
    await using world = await openWorld();
    let mostParts = 0;
    const { concat } = Buffer;
    using _restore = { [Symbol.dispose]: () => void (Buffer.concat = concat) };
    Buffer.concat = (parts, ...rest) => {
      mostParts = Math.max(mostParts, parts.length);
      return concat(parts, ...rest);
    };
    const stream = await world.connect();
    const hello = await helloFor(BUCKET);
    let received = 0;
    stream.on("data", (chunk: Uint8Array) => received += chunk.length);
    for (const byte of hello) {
      stream.write(Uint8Array.of(byte));
      if (byte % 16 === 0) await sleep(1);
    }
    await until(() => received === hello.length);
    assert.deepEqual([world.failures, mostParts], [[], 2]);
  });

  test("closes a connection whose name is not allowed, and connects nowhere", async () => {
    await using world = await openWorld();
    const names = [
      "evil.example",
      "s3.eu-central-1.amazonaws.com",
      "a.b.s3.eu-central-1.amazonaws.com",
      "bucket.s3.eu-west-1.amazonaws.com",
      "bucket.s3.eu-central-1.amazonaws.com.evil.example",
      "evil-sts.eu-central-1.amazonaws.com",
    ];
    for (const name of names) {
      const stream = await world.connect();
      stream.write(await helloFor(name));
      await closed(stream);
      const failure = world.failures.at(-1);
      assert.ok(failure instanceof PolicyDeniedError, name);
      assert.equal(failure.message, `Cannot relay to ${name}: it is not on the allow-list`);
    }
    assert.deepEqual([world.names, world.relay.counters.failedCount], [[], names.length]);
    assert.equal(world.service.connectionCount, 0);
  });

  test("closes a connection that is no TLS, or ends early, and goes on", async () => {
    await using world = await openWorld();
    const noTls = await world.connect();
    noTls.write("GET / HTTP/1.1\r\n\r\n");
    await closed(noTls);
    assert.ok(world.failures[0] instanceof ProtocolError);
    const early = await world.connect();
    early.end((await helloFor(BUCKET)).subarray(0, 20));
    await closed(early);
    await until(() => world.failures.length === 2);
    assert.ok(world.failures[1] instanceof ConnectionError);
    const stream = await world.connect();
    const hello = await helloFor(BUCKET);
    stream.write(hello);
    const [echoed] = await once(stream, "data");
    assert.deepEqual(new Uint8Array(echoed), hello);
  });

  test("gives the ClientHello one deadline, however slowly it comes", async () => {
    await using world = await openWorld(echo, { helloTimeoutMs: 200 });
    const [silent, slow] = [await world.connect(), await world.connect()];
    slow.on("close", () => clearInterval(timer));
    const hello = await helloFor(BUCKET);
    let sent = 0;
    const timer = setInterval(() => slow.write(hello.subarray(sent, ++sent)), 20);
    await Promise.all([closed(silent), closed(slow)]);
    await until(() => world.failures.length === 2);
    for (const failure of world.failures) assert.ok(failure instanceof TimeoutError);
  });

  test("refuses an allow-list and options that are malformed", async () => {
    const refused = (options: object, message: RegExp) =>
      assert.rejects(TlsRelay.open({ port: 8443, allow: ALLOW, simulationFolder, ...options }), { message });
    await refused({ allow: [] }, /must have at least one host$/);
    await refused({ allow: "*.s3.eu-central-1.amazonaws.com" }, /^allow must be an array of names$/);
    for (const name of ["*", "*.amazonaws.com", "*.s3.evil.example", "a*.s3.eu-central-1.amazonaws.com"]) {
      await refused({ allow: [name] }, /a star stands for a bucket, as in/);
    }
    await refused({ allow: [1] }, /^A name of the allow-list must be a string$/);
    await refused({ allow: ["a_b.example"] }, /is no DNS name and no IP address$/);
    await refused({ port: 0 }, /^port must be an integer from 1/);
    await refused({ port: undefined }, /^port must be a number$/);
    await refused({ helloTimeoutMs: 9 }, /^helloTimeoutMs must be an integer from 10/);
    await refused({ allowed: [] }, /no field `allowed`/);
  });
});
