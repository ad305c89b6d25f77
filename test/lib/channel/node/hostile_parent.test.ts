/**
 * A parent between a caller and an enclave. Whatever it does, no header and no body of the caller's reaches it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { createServer as createHttpServer } from "node:http";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { afterAll, beforeAll, describe } from "#test";
import {
  AttestationError,
  attestedTlsFetch,
  type AttestedTlsOptions,
  type ErrorCode,
} from "../../../../lib/channel/node/mod.ts";
import { SoftwareNsm } from "../../../../sim/mod.ts";
import { certificatePem, makeTlsCertificate } from "../../../../enclave/channels/tls_certificate.ts";
import { pem } from "../../../../sim/tls/certificates.ts";
import { type Answer, TestEnclave } from "./enclave.ts";
import { HELD_MS, HeldTimers } from "../../../support/held_timers.ts";
import { divideTests } from "../../../support/share.ts";
import { until } from "../../../support/until.ts";

const test = divideTests();

const SECRET = "HUSH";

/** Somebody on the way, who keeps all that they could read. */
class Parent implements AsyncDisposable {
  read = "";
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Ends TLS with a key of its own, and answers questions for an attestation with what `answer` gives. */
async function endingTls(options: TlsOptions, answer: (nonce: Uint8Array) => unknown): Promise<Parent> {
  const server = createTlsServer({ minVersion: "TLSv1.3", ...options });
  const parent = await new Parent(server).listen();
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", async (chunk) => {
      parent.read += String(chunk);
      const nonce = /nonce=([^ &]+)/.exec(String(chunk))?.[1] ?? "";
      const bytes = Uint8Array.from(Buffer.from(decodeURIComponent(nonce), "base64"));
      const body = JSON.stringify(await answer(bytes));
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
  });
  return parent;
}

/** Key and certificate of somebody who is no enclave. */
function ownIdentity() {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = makeTlsCertificate(keys, "00112233445566778899aabbccddeeff");
  const spki = new Uint8Array(keys.publicKey.export({ type: "spki", format: "der" }));
  const key = String(keys.privateKey.export({ type: "pkcs8", format: "pem" }));
  return { key, cert: certificatePem(certificate), spki };
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

/** Changes one byte of a certificate in PEM, or adds to it. */
function changed(certificate: string, change: (der: Uint8Array) => Uint8Array): string {
  const der = Uint8Array.from(Buffer.from(certificate.replace(/-----.*|\s/g, ""), "base64"));
  return pem("CERTIFICATE", change(der));
}

describe("a parent between a caller and an enclave", () => {
  let nsm: SoftwareNsm;
  let enclave: TestEnclave;
  let trust: AttestedTlsOptions;
  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    enclave = await TestEnclave.start({ nsm });
    trust = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
  });
  afterAll(async () => {
    await enclave[Symbol.asyncDispose]();
    nsm[Symbol.dispose]();
  });

  /** Sends secrets, and asserts that the caller refuses. */
  async function assertRefused(
    port: number,
    code: ErrorCode | readonly ErrorCode[],
    options: Partial<AttestedTlsOptions> = {},
    what = String(code),
  ): Promise<void> {
    const fetch = attestedTlsFetch({ ...trust, ...options });
    const sending = fetch(`https://127.0.0.1:${port}/v1/echo?q=${SECRET}`, {
      method: "POST",
      headers: { authorization: `Bearer ${SECRET}` },
      body: SECRET,
    });
    await assert.rejects(sending, (error: { code?: ErrorCode; message: string }) => {
      assert.ok([code].flat().includes(error.code as ErrorCode), `${what}: ${error.code} ${error.message}`);
      return true;
    });
  }

  test("who ends TLS before the enclave is noticed, however true the answer that they pass on", async () => {
    await using parent = await endingTls(ownIdentity(), (nonce) => enclave.attest(nonce));
    await assertRefused(parent.port, "ERR_CERTIFICATE");
    assert.match(parent.read, /GET \/v1\/attestation/);
    assert.doesNotMatch(parent.read, new RegExp(SECRET));
  });

  test("who puts their own certificate, key or both into the answer is noticed", async () => {
    const own = ownIdentity();
    const cases: readonly (readonly [code: ErrorCode, change: (answer: Answer) => Answer])[] = [
      ["ERR_ATTESTATION_PUBLIC_KEY", (answer) => ({ ...answer, certificate: own.cert })],
      [
        "ERR_ATTESTATION_USER_DATA",
        (answer) => ({ ...answer, keys: { ...answer.keys, tls: base64(own.spki) } }),
      ],
      [
        "ERR_ATTESTATION_USER_DATA",
        (answer) => ({ ...answer, certificate: own.cert, keys: { ...answer.keys, tls: base64(own.spki) } }),
      ],
      ["ERR_ATTESTATION_USER_DATA", ({ keys: { sign: _, ...keys }, ...answer }) => ({ ...answer, keys })],
      [
        "ERR_ATTESTATION_USER_DATA",
        (answer) => ({ ...answer, keys: { ...answer.keys, more: base64(own.spki) } }),
      ],
      ["ERR_ATTESTATION_USER_DATA", (answer) => ({ ...answer, bootId: "0".repeat(32) })],
      [
        "ERR_ATTESTATION_CERTIFICATE",
        (answer) => ({ ...answer, certificate: answer.certificate + own.cert }),
      ],
      [
        "ERR_ATTESTATION_CERTIFICATE",
        (answer) => ({ ...answer, certificate: own.cert + answer.certificate }),
      ],
      ["ERR_ATTESTATION_CERTIFICATE", (answer) => ({ ...answer, certificate: "" })],
      ["ERR_ATTESTATION_FIELD_MISSING", ({ certificate: _, ...answer }) => answer],
    ];
    for (const [code, change] of cases) {
      await using parent = await endingTls(own, async (nonce) => change(await enclave.attest(nonce)));
      await assertRefused(parent.port, code);
      assert.doesNotMatch(parent.read, new RegExp(SECRET));
    }
  });

  test("who changes a byte of the certificate, or writes it in another form, is noticed", async () => {
    const { certificate = "" } = await enclave.attest(new Uint8Array(32));
    const der = Buffer.from(certificate.replace(/-----.*|\s/g, ""), "base64");
    const changes: ((der: Uint8Array) => Uint8Array)[] = [
      (bytes) => Uint8Array.from([...bytes, 0]),
      // The length of the whole in three bytes instead of two.
      ([tag = 0, , high = 0, low = 0, ...rest]) => Uint8Array.from([tag, 0x83, 0, high, low, ...rest]),
      ([tag = 0, , , , ...rest]) => Uint8Array.from([tag, 0x80, ...rest, 0, 0]),
    ];
    for (let index = 0; index < der.length; index += 7) {
      changes.push((bytes) => bytes.with(index, (bytes[index] ?? 0) ^ 0x20));
    }
    const own = ownIdentity();
    let change = changes[0]!;
    await using parent = await endingTls(own, async (nonce) => {
      const answer = await enclave.attest(nonce);
      return { ...answer, certificate: changed(answer.certificate ?? "", change) };
    });
    for (change of changes) {
      await assertRefused(parent.port, [
        "ERR_ATTESTATION_CERTIFICATE",
        "ERR_ATTESTATION_CERTIFICATE_SIGNATURE",
        "ERR_ATTESTATION_PUBLIC_KEY",
      ]);
    }
    assert.doesNotMatch(parent.read, new RegExp(SECRET));
  });

  test("who changes a byte of what it passes on is noticed, and reads none", async () => {
    for (const at of [60, 200, 400]) {
      const relay = createServer((outside) => {
        const inside = connect(enclave.port, "127.0.0.1").on("error", () => {});
        const isQuestion = count++ === 0;
        let passed = 0;
        outside.on("error", () => {}).on("data", (chunk: Buffer) => {
          parent.read += chunk.toString("latin1");
          inside.write(chunk);
        });
        inside.on("data", (chunk: Buffer) => {
          const place = at - passed;
          passed += chunk.length;
          if (!isQuestion && place >= 0 && place < chunk.length) chunk[place]! ^= 1;
          outside.write(chunk);
        });
        outside.on("close", () => inside.destroy());
        inside.on("close", () => outside.destroy());
      });
      let count = 0;
      await using parent = await new Parent(relay).listen();
      await assertRefused(parent.port, ["ERR_CONNECTION", "ERR_CERTIFICATE"], {}, `byte ${at}`);
      assert.equal(count, 2);
      assert.doesNotMatch(parent.read, new RegExp(SECRET));
      assert.deepEqual(enclave.seen, []);
    }
  });

  test("who answers with another boot's document, or an old one, is noticed", async () => {
    await using sibling = await TestEnclave.start({ nsm });
    const old = await enclave.attest(new Uint8Array(32));
    const own = ownIdentity();
    const cases: readonly (readonly [code: ErrorCode, answer: (nonce: Uint8Array) => unknown])[] = [
      ["ERR_ATTESTATION_NONCE", () => old],
      ["ERR_ATTESTATION_NONCE", () => enclave.attest(new Uint8Array(0))],
      [
        "ERR_ATTESTATION_USER_DATA",
        async (nonce) => ({
          ...await enclave.attest(nonce),
          document: (await sibling.attest(nonce)).document,
        }),
      ],
      [
        "ERR_ATTESTATION_USER_DATA",
        async (nonce) => ({ ...await enclave.attest(nonce), document: base64(await nsm.attest({ nonce })) }),
      ],
    ];
    for (const [code, answer] of cases) {
      await using parent = await endingTls(own, answer);
      await assertRefused(parent.port, code);
      assert.doesNotMatch(parent.read, new RegExp(SECRET));
    }
  });

  test("who leads to an enclave of another image, in debug mode or of another cloud is noticed", async () => {
    const other = { 0: "ab".repeat(48) };
    await assertRefused(enclave.port, "ERR_ATTESTATION_PCR", { pcrs: other });
    using debugging = await SoftwareNsm.create({ debug: true });
    await using open = await TestEnclave.start({ nsm: debugging });
    await assertRefused(open.port, "ERR_ATTESTATION_DEBUG", { root: debugging.root });
    using elsewhere = await SoftwareNsm.create();
    await using foreign = await TestEnclave.start({ nsm: elsewhere });
    await assertRefused(foreign.port, "ERR_ATTESTATION_ROOT");
    for (const { seen } of [enclave, open, foreign]) assert.deepEqual(seen, []);
  });

  test("who leads to a sibling of the same image is not, and cannot be in between: the sibling ends TLS", async () => {
    await using sibling = await TestEnclave.start({ nsm });
    const boots: string[] = [];
    const fetch = attestedTlsFetch({ ...trust, onAttested: ({ bootId }) => boots.push(bootId) });
    const answer = await fetch(`https://127.0.0.1:${sibling.port}/v1/echo`, { method: "POST", body: SECRET });
    assert.deepEqual(await answer.json(), { boot: sibling.bootKeys.bootId, body: SECRET });
    assert.deepEqual(boots, [sibling.bootKeys.bootId]);
  });

  test("who leads to one that onAttested refuses after a while is noticed", async () => {
    await using sibling = await TestEnclave.start({ nsm });
    const refused = new AttestationError("BOOT", "Cannot trust enclave: another boot", { hint: "" });
    await assertRefused(sibling.port, "ERR_ATTESTATION_BOOT", {
      onAttested: async ({ bootId }) => {
        await Promise.resolve();
        if (bootId !== enclave.bootKeys.bootId) throw refused;
      },
    });
    const onAttested = () => new Promise<void>(() => {});
    await assertRefused(sibling.port, "ERR_TIMEOUT", { onAttested, timeoutMs: 200 });
    assert.deepEqual(sibling.seen, []);
  });

  test("who offers older TLS, or none, gets nothing", async () => {
    await using older = await endingTls(
      { ...ownIdentity(), minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
      (nonce) => enclave.attest(nonce),
    );
    await assertRefused(older.port, "ERR_CONNECTION");
    assert.equal(older.read, "");
    const clear = createHttpServer((_request, response) => response.end("{}"));
    await using plain = await new Parent(clear).listen();
    await assertRefused(plain.port, "ERR_CONNECTION");
    await using other = await endingTls({ ...ownIdentity(), ALPNProtocols: ["h2"] }, () => ({}));
    await assertRefused(other.port, "ERR_CONNECTION");
  });

  test("who is silent is given up on, at every step", async () => {
    const silent = createServer((socket) => socket.on("error", () => {}).resume());
    await using mute = await new Parent(silent).listen();
    await assertRefused(mute.port, "ERR_TIMEOUT", { timeoutMs: 200 });
    await using unanswering = await endingTls(ownIdentity(), () => new Promise(() => {}));
    using timers = new HeldTimers();
    const refused = assertRefused(unanswering.port, "ERR_TIMEOUT", { timeoutMs: HELD_MS });
    await until(() => unanswering.read.includes("GET /v1/attestation"));
    timers.goOff();
    await refused;
    assert.match(unanswering.read, /GET \/v1\/attestation/);
    assert.doesNotMatch(unanswering.read, new RegExp(SECRET));
  });

  test("who answers with anything else, or without end, is refused", async () => {
    const cases: readonly (readonly [code: ErrorCode, answer: string])[] = [
      ["ERR_PROTOCOL", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"],
      ["ERR_PROTOCOL", "HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n"],
      ["ERR_PROTOCOL", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnone"],
      ["ERR_PROTOCOL", `HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n${"[".repeat(1_000_000)}`],
      ["ERR_ATTESTATION_FIELD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"],
      ["ERR_ATTESTATION_FIELD", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull"],
      ["ERR_ATTESTATION_FIELD_MISSING", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
      ["ERR_CONNECTION", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
      ["ERR_CONNECTION", "SSH-2.0-OpenSSH_9.2\r\n"],
      ["ERR_CONNECTION", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(100_000)}\r\n\r\n{}`],
      ["ERR_CONNECTION", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}"],
    ];
    for (const [code, answer] of cases) {
      const server = createTlsServer({ ...ownIdentity(), minVersion: "TLSv1.3" }, (socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.end(answer));
      });
      await using parent = await new Parent(server).listen();
      await assertRefused(parent.port, code, {}, answer.slice(0, 60));
    }
  });
});
