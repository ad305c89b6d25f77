import assert from "node:assert/strict";
import { once } from "node:events";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { describe, test } from "#test";
import { TlsChannel } from "../../../enclave/channels/tls_channel.ts";
import { ask, BOOT_ID, open, TlsServing } from "./tls_serving.ts";
import { until } from "../../support/until.ts";

const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/** Two ends of a connection that is no socket, as a vsock connection of Deno is none. */
function duplexPair(): [Duplex, Duplex] {
  const ends: [Duplex, Duplex] = [0, 1].map((index) =>
    new Duplex({
      allowHalfOpen: true,
      read() {},
      write(chunk, _encoding, done) {
        ends[1 - index]?.push(chunk);
        done();
      },
      final(done) {
        ends[1 - index]?.push(null);
        done();
      },
    })
  ) as [Duplex, Duplex];
  return ends;
}

describe("TlsChannel", () => {
  test("adds the key of its certificate to the boot's keys", () => {
    const added: [string, Uint8Array][] = [];
    const add = (name: string, key: Uint8Array) => void added.push([name, key]);
    using channel = TlsChannel.create({ keys: { bootId: BOOT_ID, add } });
    const { publicKey, subjectAltName } = new X509Certificate(channel.certificatePem);
    const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
    assert.deepEqual(added, [["tls", spki]]);
    assert.match(subjectAltName ?? "", new RegExp(`DNS:${BOOT_ID}\\.enclave\\.internal`));
    using other = TlsChannel.create({ keys: { bootId: BOOT_ID, add } });
    assert.notDeepEqual(added[1], added[0], "another key at each start");
    assert.notEqual(other.certificatePem, channel.certificatePem);
  });

  test("is not made when a document may vouch for the keys without its own", () => {
    const add = () => {
      throw new TypeError("Too late");
    };
    assert.throws(() => TlsChannel.create({ keys: { bootId: BOOT_ID, add } }), /Too late/);
  });

  test("answers over TCP and unix sockets, and says in the bindings that it was TLS", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-tls-"));
    try {
      await using serving = new TlsServing();
      const ca = serving.channel.certificatePem;
      for (
        const endpoint of [
          await serving.listen(),
          await serving.listen({ transport: "unix", path: join(folder, "tls") }),
        ]
      ) {
        assert.deepEqual(await ask(endpoint, { ca }), { status: 200, body: '{"channel":"tls"}' });
        const { cid, certificate } = serving.callers.at(-1) ?? {};
        assert.deepEqual([cid, certificate], [16, undefined]);
      }
      assert.equal(serving.handshakes("ok"), 2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("answers over a stream that is no socket", async () => {
    await using serving = new TlsServing();
    const [inner, outer] = duplexPair();
    serving.tls.accept(inner, 3);
    const client = connectTls({
      socket: outer,
      servername: "enclave.internal",
      ca: serving.channel.certificatePem,
    });
    await once(client, "secureConnect");
    assert.ok(client.authorized);
    client.write(GET);
    const [answer] = await once(client, "data");
    assert.match(String(answer), /^HTTP\/1\.1 200 /);
    assert.equal(serving.callers[0]?.cid, 3);
    client.destroy();
  });

  test("shows another certificate after each start, which the old one does not vouch for", async () => {
    await using old = new TlsServing();
    await using serving = new TlsServing();
    const asked = await ask(await serving.listen(), { ca: old.channel.certificatePem });
    assert.ok("failure" in asked, JSON.stringify(asked));
    assert.equal(serving.callers.length, 0);
  });

  test("refuses older versions of TLS, and protocols that are not HTTP/1.1", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen();
    const ca = serving.channel.certificatePem;
    for (const options of [{ maxVersion: "TLSv1.2" }, { ALPNProtocols: ["h2"] }] as const) {
      assert.ok("failure" in await ask(endpoint, { ca, ...options }), JSON.stringify(options));
    }
    await until(() => serving.handshakes("refused") === 2);
    assert.equal(serving.refusals.length, 2);
    assert.ok(serving.refusals.every((answer) => /^ERR_/.test(String(answer))), serving.refusals.join());
    const client = await open(endpoint, { ca, ALPNProtocols: ["h2", "http/1.1"] });
    assert.deepEqual([client.alpnProtocol, client.getProtocol()], ["http/1.1", "TLSv1.3"]);
    client.destroy();
  });

  test("keeps a connection, and answers what comes over it in turn", async () => {
    await using serving = new TlsServing();
    const client = await open(await serving.listen(), { ca: serving.channel.certificatePem });
    let answers = "";
    client.on("data", (chunk) => answers += String(chunk));
    client.write(GET + GET);
    await until(() => answers.match(/HTTP\/1\.1 200 /g)?.length === 2);
    client.write(GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    await once(client, "close");
    assert.equal(answers.match(/HTTP\/1\.1 200 /g)?.length, 3);
    assert.equal(serving.callers[0]?.connection, serving.callers[2]?.connection);
  });

  test("answers what is larger than a record of TLS, and wipes it", async () => {
    const body = new Uint8Array(50_000).fill(65);
    await using serving = new TlsServing({ fetch: () => new Response(streamOf(body)) });
    const asked = await ask(await serving.listen(), { ca: serving.channel.certificatePem });
    assert.deepEqual(asked, { status: 200, body: "A".repeat(50_000) });
    await until(() => body.every((byte) => byte === 0));
  });

  // Deno resumes sessions whatever it is told; test/enclave/channels/client_authorities.test.ts has what that means.
  test.skipIf("Deno" in globalThis)("does not resume sessions", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen();
    const ca = serving.channel.certificatePem;
    const first = await open(endpoint, { ca });
    const sessions: Uint8Array[] = [];
    first.on("session", (session) => sessions.push(session));
    first.write(GET);
    await once(first, "data");
    const [session] = sessions;
    const second = await open(endpoint, {
      ca,
      ...(session === undefined ? {} : { session: session as never }),
    });
    assert.equal(second.isSessionReused(), false);
    first.destroy();
    second.destroy();
  });

  test("ends with its listener: idle at once, the others after their answers", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    await using serving = new TlsServing({
      fetch: async () => {
        await held;
        return new Response("late");
      },
    });
    const endpoint = await serving.listen();
    const ca = serving.channel.certificatePem;
    const idle = await open(endpoint, { ca });
    const begun = connectSocket(endpoint.transport === "tcp" ? endpoint.port : 0, "127.0.0.1");
    begun.on("error", () => {});
    const busy = ask(endpoint, { ca });
    await until(() => serving.callers.length === 1);
    const ends = Promise.all([once(idle, "close"), once(begun, "close")]);
    const closed = serving.tls.close(30_000);
    await ends;
    release();
    assert.deepEqual(await busy, { status: 200, body: "late" });
    await closed;
  });

  test("closes what comes after it was disposed", async () => {
    await using serving = new TlsServing();
    const endpoint = await serving.listen();
    serving.channel[Symbol.dispose]();
    serving.channel[Symbol.dispose]();
    assert.ok("failure" in await ask(endpoint, { ca: serving.channel.certificatePem }));
    assert.equal(serving.handshakes("ok"), 0);
  });
});

function streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}
