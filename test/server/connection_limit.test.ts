import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "#test";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import type { Listener } from "../../lib/transport/listen.ts";
import { ENCRYPTION_CONTEXT, Fixture, PLAINTEXT } from "./fixture.ts";
import { dial, Serving } from "./serving.ts";

const LIMIT = 32;
const PLAINTEXT_BASE64 = Buffer.from(PLAINTEXT).toString("base64");

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-limit-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Requests of one protocol, and the bytes that an attacker sends instead. */
interface Protocol {
  /** Message that must precede a request; it is answered too. */
  readonly greeting: (fixture: Fixture) => string | undefined;
  readonly request: (fixture: Fixture) => string;
  /** Ends an answer. */
  readonly end: string;
  readonly isAnswer: (text: string) => boolean;
  /** None of them completes a request. */
  readonly halves: readonly string[];
}

const PROTOCOLS: Readonly<Record<"http" | "kmstool", Protocol>> = {
  http: {
    greeting: () => undefined,
    request: (fixture) => {
      const body = JSON.stringify(fixture.decryptBody);
      return "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
        `content-length: ${body.length}\r\n\r\n${body}`;
    },
    end: "}",
    isAnswer: (text) => text.startsWith("HTTP/1.1 200 ") && text.includes(PLAINTEXT_BASE64),
    halves: [
      "",
      "POST /v1/decrypt HT",
      "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\n",
      "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    ],
  },
  kmstool: {
    greeting: ({ simulator: { credentials } }) =>
      message({
        Operation: "SetClient",
        AwsAccessKeyId: credentials.accessKeyId,
        AwsSecretAccessKey: credentials.secretAccessKey,
        AwsSessionToken: credentials.sessionToken,
      }),
    request: ({ ciphertext }) =>
      message({ Operation: "Decrypt", Ciphertext: ciphertext, EncryptionContext: ENCRYPTION_CONTEXT }),
    end: "\0",
    isAnswer: (text) => text === `{"Status":"Ok","Message":"${PLAINTEXT_BASE64}"}\0`,
    halves: ["", "{", '{"Operation":"Decrypt",'],
  },
};

/** A server at its limit; every caller has the same CID. */
class Place implements AsyncDisposable {
  readonly fixture: Fixture;
  readonly listener: Listener;
  readonly closed: Duplex[] = [];
  readonly #serving: Serving;
  readonly #protocol: Protocol;
  readonly #sockets: Duplex[] = [];

  private constructor(fixture: Fixture, serving: Serving, listener: Listener, protocol: Protocol) {
    this.fixture = fixture;
    this.#serving = serving;
    this.listener = listener;
    this.#protocol = protocol;
  }

  static async open(fixture: Fixture, name: "http" | "kmstool", limit = LIMIT): Promise<Place> {
    const serving = new Serving(fixture);
    const endpoint: Endpoint = { transport: "unix", path: join(folder, `${name}-${Math.random()}`) };
    await serving.listen(name, endpoint, { maxConnections: limit });
    const [listener] = serving.listeners;
    assert.ok(listener !== undefined);
    return new Place(fixture, serving, listener, PROTOCOLS[name]);
  }

  /** @returns A connection that the server has accepted */
  async connect(text = ""): Promise<Duplex> {
    const { displacedCount, refusedCount, connectionCount } = this.listener;
    const before = displacedCount + refusedCount + connectionCount;
    const socket = dial(this.listener.endpoint);
    this.#sockets.push(socket);
    socket.once("close", () => this.closed.push(socket));
    socket.resume();
    if (text !== "") socket.write(text);
    await so(() => {
      const { displacedCount, refusedCount, connectionCount } = this.listener;
      return displacedCount + refusedCount + connectionCount > before;
    });
    return socket;
  }

  async connectMany(count: number, text = ""): Promise<Duplex[]> {
    const sockets: Duplex[] = [];
    for (let made = 0; made < count; made++) sockets.push(await this.connect(text));
    return sockets;
  }

  /** @returns A connection that may ask */
  async caller(): Promise<Duplex> {
    return await this.#greet(await this.connect());
  }

  /** @returns The same, while others close, so that nobody can count who was accepted */
  async callerAmongLeavers(): Promise<Duplex> {
    const socket = dial(this.listener.endpoint);
    this.#sockets.push(socket);
    return await this.#greet(socket);
  }

  async #greet(socket: Duplex): Promise<Duplex> {
    const greeting = this.#protocol.greeting(this.fixture);
    if (greeting !== undefined) assert.equal(await this.#exchange(socket, greeting), '{"Status":"Ok"}\0');
    return socket;
  }

  /** Asks, and expects the plaintext. */
  async ask(socket: Duplex): Promise<void> {
    const answer = await this.#exchange(socket, this.#protocol.request(this.fixture));
    assert.ok(this.#protocol.isAnswer(answer), answer === "" ? "it was closed" : answer);
  }

  get counts(): [displaced: number, refused: number, open: number] {
    const { displacedCount, refusedCount, connectionCount } = this.listener;
    return [displacedCount, refusedCount, connectionCount];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#serving[Symbol.asyncDispose]();
  }

  #exchange(socket: Duplex, text: string): Promise<string> {
    const { end } = this.#protocol;
    return new Promise((resolve) => {
      let answer = "";
      const done = () => {
        socket.off("data", take).off("close", done);
        resolve(answer);
      };
      const take = (chunk: Uint8Array) => {
        answer += String(chunk);
        if (answer.endsWith(end)) done();
      };
      socket.on("data", take).on("close", done);
      if (socket.closed) return done();
      socket.write(text);
    });
  }
}

let fixture: Fixture;
beforeAll(async () => {
  fixture = await Fixture.start({ maxConcurrent: 1, timeoutMs: 60_000 });
  await fixture.setCredentials();
});
afterAll(() => fixture[Symbol.asyncDispose]());

for (const name of ["http", "kmstool"] as const) {
  describe(`${name} at its limit of connections, attacker and victim on one CID`, () => {
    for (const half of PROTOCOLS[name].halves) {
      test(`${LIMIT} connections that sent ${JSON.stringify(half.slice(0, 60))} give way, the oldest first`, async () => {
        await using place = await Place.open(fixture, name);
        const attackers = await place.connectMany(LIMIT, half);
        const victims = [await place.caller(), await place.caller()];
        for (const victim of victims) await place.ask(victim);
        await so(() => place.closed.length === 2);
        assert.deepEqual(place.closed, attackers.slice(0, 2));
        assert.deepEqual(place.counts, [2, 0, LIMIT]);
      });
    }

    test("kept connections of callers outlive any number of silent ones", async () => {
      await using place = await Place.open(fixture, name);
      const kept: Duplex[] = [];
      for (let made = 0; made < 5; made++) kept.push(await place.caller());
      for (const socket of kept) await place.ask(socket);
      await place.connectMany(100);
      for (const socket of kept) await place.ask(socket);
      assert.deepEqual(place.counts, [100 + 5 - LIMIT, 0, LIMIT]);
    });

    test("bytes that complete no request make a connection no younger", async () => {
      await using place = await Place.open(fixture, name);
      const attackers = await place.connectMany(LIMIT, name === "http" ? "GET /" : "{");
      const [first] = attackers;
      for (let sent = 0; sent < 20; sent++) first?.write("x");
      await so(() => first?.writableLength === 0);
      await place.ask(await place.caller());
      await so(() => place.closed.length === 1);
      assert.deepEqual(place.closed, [first]);
    });

    test("answered connections give way when there are no others, the longest idle first", async () => {
      await using place = await Place.open(fixture, name, 4);
      const callers = [
        await place.caller(),
        await place.caller(),
        await place.caller(),
        await place.caller(),
      ];
      for (const caller of callers) await place.ask(caller);
      await place.ask(callers[0] as Duplex);
      await place.ask(await place.caller());
      await so(() => place.closed.length === 1);
      assert.deepEqual(place.closed, [callers[1]]);
      assert.deepEqual(place.counts, [1, 0, 4]);
    });

    test("who holds answered connections cannot have a new one closed before its request", async () => {
      await using place = await Place.open(fixture, name);
      const attackers: Duplex[] = [];
      for (let made = 0; made < LIMIT; made++) attackers.push(await place.caller());
      for (const attacker of attackers) await place.ask(attacker);
      const victim = await place.caller();
      await place.connect();
      await place.ask(victim);
      await so(() => place.closed.length === 2);
      assert.deepEqual(place.closed, attackers.slice(0, 2));
    });

    test("a request in flight is never cut: a new connection is closed unheard when each has one", async () => {
      await using place = await Place.open(fixture, name, 4);
      const callers = [
        await place.caller(),
        await place.caller(),
        await place.caller(),
        await place.caller(),
      ];
      const turn = await place.fixture.admission.enter({}, new AbortController().signal);
      const answers = callers.map((caller) => place.ask(caller));
      await so(() => place.fixture.admission.inside === 5);
      const late = await place.connect();
      await so(() => late.closed);
      assert.deepEqual(place.counts, [0, 1, 4]);
      turn[Symbol.dispose]();
      await Promise.all(answers);
      assert.deepEqual(place.closed, [late]);
      await place.ask(await place.caller());
    });

    test("peers that asked and ended give way to a new one, which is answered, when all others are in flight", async () => {
      await using place = await Place.open(fixture, name, 4);
      const callers = [await place.caller(), await place.caller(), await place.caller()];
      const leaver = await place.caller();
      const turn = await place.fixture.admission.enter({}, new AbortController().signal);
      leaver.end(PROTOCOLS[name].request(fixture));
      const answers = callers.map((caller) => place.ask(caller));
      await so(() => place.fixture.admission.inside === 5);
      const late = await place.connect();
      await so(() => place.closed.length === 1);
      assert.deepEqual(place.closed, [leaver]);
      assert.equal(late.closed, false);
      turn[Symbol.dispose]();
      await Promise.all(answers);
      assert.deepEqual(place.counts, [1, 0, 4]);
    });

    test("who asks and leaves holds no place: the next caller is answered", async () => {
      await using place = await Place.open(fixture, name, 4);
      const turn = await place.fixture.admission.enter({}, new AbortController().signal);
      const { greeting, request } = PROTOCOLS[name];
      for (let left = 0; left < 20; left++) {
        const leaver = dial(place.listener.endpoint).resume();
        leaver.write(`${greeting(fixture) ?? ""}${request(fixture)}`, () => leaver.destroy());
        await once(leaver, "close");
      }
      const caller = await place.callerAmongLeavers();
      const answer = place.ask(caller);
      turn[Symbol.dispose]();
      await answer;
      assert.equal(place.counts[1], 0);
    });
  });
}

test("who does not take its answers holds no place in HTTP, even with every connection", async () => {
  await using place = await Place.open(fixture, "http", 4);
  const attackers: Duplex[] = [];
  for (let made = 0; made < 4; made++) {
    const attacker = await place.connect();
    attacker.pause();
    // More than a socket holds.
    attacker.write("GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(16));
    attackers.push(attacker);
  }
  const answered = () => /operation="OpenApi",outcome="ok"\} (\d+)/.exec(fixture.metrics.render())?.[1];
  let before: string | undefined;
  do {
    before = answered();
    await sleep(200);
  } while (before === undefined || before !== answered());
  await place.ask(await place.caller());
  const [displaced, refused] = place.counts;
  assert.deepEqual([displaced, refused], [1, 0]);
});

test("kmstool messages that are no JSON object count as no request: who sends them gives way first", async () => {
  await using place = await Place.open(fixture, "kmstool", 4);
  const callers = [await place.caller(), await place.caller(), await place.caller()];
  const attacker = await place.connect();
  const answered = once(attacker, "data");
  attacker.write("\0");
  assert.match(String(await answered), /"Error reading JSON object"/);
  for (const caller of callers) await place.ask(caller);
  await place.ask(await place.caller());
  await so(() => place.closed.length === 1);
  assert.deepEqual(place.closed, [attacker]);
});

/** Waits until it is so: the test's own time-out is the limit. */
async function so(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

function message(fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(fields)}\0`;
}
