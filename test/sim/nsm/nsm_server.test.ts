import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { decode, encode } from "cbor2";
import { afterAll, beforeAll, describe, test } from "#test";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { dialUnix } from "../../support/unix_socket.ts";

describe("SoftwareNsm.listen()", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  const path = join(folder, "nsm.sock");
  let nsm: SoftwareNsm;
  let server: AsyncDisposable;
  let count = 0;
  const exchanges = () => count;

  beforeAll(async () => {
    nsm = await SoftwareNsm.create();
    const exchange = nsm.exchange.bind(nsm);
    nsm.exchange = (request) => {
      count++;
      return exchange(request);
    };
    server = await nsm.listen(path);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    assert.equal(existsSync(path), false, "the socket is gone");
    rmSync(folder, { recursive: true });
  });

  test("answers several requests on each of several connections, in order", async () => {
    const conversations = Array.from({ length: 4 }, async () => {
      const client = new FramedClient(path);
      client.send(frame("DescribeNSM"), frame({ DescribePCR: { index: 0 } }), frame({ Nothing: {} }));
      const answers = await client.receive(3);
      assert.deepEqual(answers.map((answer) => Object.keys(answer as object)[0]), [
        "DescribeNSM",
        "DescribePCR",
        "Error",
      ]);
      client.end();
    });
    await Promise.all(conversations);
  });

  test("lets others in between the requests of one who sends many at once", async () => {
    const [flooding, other] = [new FramedClient(path), new FramedClient(path)];
    const [before, one] = [exchanges(), frame("DescribeNSM")];
    flooding.send(...Array.from({ length: 2000 }, () => one));
    for (let round = 0; round < 5; round++) {
      other.send(one);
      await other.receive(1);
    }
    assert.ok(exchanges() - before < 1000, `${exchanges() - before} of 2005 are answered`);
    await flooding.receive(2000);
    flooding.end();
    other.end();
  });

  test("takes a request that arrives byte by byte", async () => {
    const client = new FramedClient(path);
    for (const byte of frame("GetRandom")) {
      client.send(Uint8Array.of(byte));
      await pause(1);
    }
    assert.deepEqual(Object.keys((await client.receive(1))[0] as object), ["GetRandom"]);
    client.end();
  });

  test("answers a whole attestation document", async () => {
    const client = new FramedClient(path);
    client.send(frame({ Attestation: { nonce: new Uint8Array(512) } }));
    const [answer] = await client.receive(1) as [{ Attestation: { document: Uint8Array } }];
    await verifyAttestation(answer.Attestation.document, { root: nsm.root, nonce: new Uint8Array(512) });
    client.end();
  });

  test("drops a connection that announces an absurd length, and serves the next", async () => {
    const client = new FramedClient(path);
    client.send(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    await client.closed;
    const next = new FramedClient(path);
    next.send(frame("GetRandom"));
    assert.equal((await next.receive(1)).length, 1);
    next.end();
  });
});

function frame(request: unknown): Uint8Array {
  const body = encode(request);
  const header = new DataView(new ArrayBuffer(4));
  header.setUint32(0, body.length);
  return Uint8Array.of(...new Uint8Array(header.buffer), ...body);
}

/** The supervisor's side of the socket. */
class FramedClient {
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  #received = new Uint8Array();
  #wake: () => void = () => {};

  constructor(path: string) {
    this.#socket = dialUnix(path);
    this.closed = new Promise((resolve) => this.#socket.on("close", () => resolve()));
    this.#socket.on("error", () => {});
    this.#socket.on("data", (chunk: Uint8Array) => {
      this.#received = Uint8Array.of(...this.#received, ...chunk);
      this.#wake();
    });
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const bytes of frames) this.#socket.write(bytes);
  }

  async receive(count: number): Promise<unknown[]> {
    const answers: unknown[] = [];
    while (answers.length < count) {
      const length = this.#received.length < 4 ? Infinity : new DataView(this.#received.buffer).getUint32(0);
      if (this.#received.length < 4 + length) await new Promise<void>((resolve) => (this.#wake = resolve));
      else {
        answers.push(decode(this.#received.slice(4, 4 + length)));
        this.#received = this.#received.slice(4 + length);
      }
    }
    return answers;
  }

  end(): void {
    this.#socket.end();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
