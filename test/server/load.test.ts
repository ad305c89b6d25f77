import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import type { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { ENCRYPTION_CONTEXT, Fixture, PLAINTEXT } from "./fixture.ts";
import { dial, exchange, Serving } from "./serving.ts";

const DAY_MS = 86_400_000;
const KEPT = 64;
const ROUNDS = 4;
const BURST = 400;
const MESSAGES = process.env["SLOW"] === "1" ? 50_000 : 2000;
const AT_ONCE = 50;

const ANSWER = JSON.stringify({ plaintext: Buffer.from(PLAINTEXT).toString("base64") });

describe("under load", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-load-"));
  let fixture: Fixture;
  let serving: Serving;
  const endpoints: Endpoint[] = [];
  let request = "";

  beforeAll(async () => {
    fixture = await Fixture.start({ timeoutMs: DAY_MS });
    await fixture.setCredentials();
    // On a busy machine the last of a burst waits for long: what ends a connection here is no time-out.
    serving = new Serving(fixture, { headersMs: DAY_MS, bodyMs: DAY_MS, idleMs: DAY_MS, answerMs: DAY_MS });
    endpoints.push(await serving.listen("http"));
    endpoints.push(await serving.listen("http", { transport: "unix", path: join(folder, "http.sock") }));
    const body = JSON.stringify(fixture.decryptBody);
    request = "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
      `content-length: ${body.length}\r\n\r\n${body}`;
  });
  afterAll(async () => {
    await serving[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const endpointFor = (index: number): Endpoint => {
    const endpoint = endpoints[index % endpoints.length];
    assert.ok(endpoint !== undefined);
    return endpoint;
  };

  test(`${KEPT} kept connections and a burst of ${BURST} lose no request, beside clients that misbehave`, async () => {
    const bad = misbehave();
    try {
      const kept = Array.from({ length: KEPT }, (_, index) => keepAsking(endpointFor(index), ROUNDS));
      const burst = Array.from({ length: BURST }, (_, index) => keepAsking(endpointFor(index), 1));
      const counts = await Promise.all([...kept, ...burst]);
      const total = counts.reduce((sum, count) => sum + count, 0);
      assert.equal(total, KEPT * ROUNDS + BURST);
    } finally {
      for (const socket of bad) socket.destroy();
    }
  });

  test(`${MESSAGES} random and mutated requests: no crash, no hang, no 500`, async () => {
    const random = generator(20_261_121);
    const statuses = new Map<string, number>();
    for (let sent = 0; sent < MESSAGES; sent += AT_ONCE) {
      const batch = Array.from(
        { length: AT_ONCE },
        (_, index) => tryBytes(endpointFor(index), mutate(random)),
      );
      for (const status of await Promise.all(batch)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    const seen = [...statuses.keys()].sort();
    assert.ok(seen.every((status) => /^(?:none|2\d\d|4\d\d)$/.test(status)), seen.join(", "));
    assert.ok(seen.length >= 5, `the mutations reach many places: ${seen.join(", ")}`);
    assert.ok(!fixture.logged.some((line) => line.includes('"answer":500')));
    assert.match(await exchange(endpointFor(0), closing(request)), /^HTTP\/1\.1 200 /);
  });

  async function keepAsking(endpoint: Endpoint, rounds: number): Promise<number> {
    const socket = dial(endpoint);
    let answered = 0;
    for (let round = 0; round < rounds && !socket.destroyed; round++) {
      socket.write(request);
      if (await readAnswer(socket)) answered++;
    }
    socket.destroy();
    return answered;
  }

  /** Opens connections that send nothing, stop in the middle, send nonsense, or send without reading. */
  function misbehave(): Duplex[] {
    return Array.from({ length: 24 }, (_, index) => {
      const socket = dial(endpointFor(index));
      const texts = ["", request.slice(0, 80), "\x16\x03\x01 nonsense\r\n\r\n", request.repeat(20)];
      socket.write(texts[index % texts.length] ?? "");
      socket.pause();
      return socket;
    });
  }

  /** @returns The status of the answer, or that there was none */
  async function tryBytes(endpoint: Endpoint, bytes: Uint8Array): Promise<string> {
    const socket = dial(endpoint);
    let answer = "";
    socket.on("data", (chunk) => (answer += String(chunk)));
    // A peer that half-closes in the middle of a request ends it.
    socket.end(bytes);
    await new Promise((resolve) => socket.once("close", resolve));
    return /^(?:HTTP\/1\.1 102 Processing\r\n\r\n)*HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? "none";
  }

  function mutate(random: (below: number) => number): Uint8Array {
    const bodies = [
      fixture.decryptBody,
      { ciphertext: fixture.ciphertext, encryptionContext: ENCRYPTION_CONTEXT, keyId: "alias/a" },
      fixture.simulator.credentials,
      [],
    ];
    const paths = ["/v1/decrypt", "/v1/attestation?nonce=AQID", "/readyz", "/metrics", "/v1/%ff/../decrypt"];
    const body = JSON.stringify(bodies[random(bodies.length)]);
    const method = ["POST", "GET", "PUT", "HEAD"][random(4)];
    const head = `${method} ${paths[random(paths.length)]} HTTP/1.1\r\nhost: a\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
    // Half of the time only the body is changed: what the parser turns away gets no further.
    const inBody = random(2) === 0;
    const bytes = Buffer.from(head + body);
    const first = inBody ? head.length : 0;
    for (let times = random(4); times > 0; times--) {
      bytes[first + random(Math.max(1, bytes.length - first))] = random(256);
    }
    return random(20) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
  }
});

/** @returns Whether it was the plaintext */
function readAnswer(socket: Duplex): Promise<boolean> {
  return new Promise((resolve) => {
    let text = "";
    const onData = (chunk: Uint8Array) => {
      text += String(chunk);
      if (!text.endsWith("}")) return;
      socket.off("data", onData);
      socket.off("close", onClose);
      resolve(text.startsWith("HTTP/1.1 200 ") && text.endsWith(ANSWER));
    };
    const onClose = () => resolve(false);
    socket.on("data", onData);
    socket.once("close", onClose);
  });
}

function closing(request: string): string {
  return request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
}

/** mulberry32: the same numbers on both runtimes, every time. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
