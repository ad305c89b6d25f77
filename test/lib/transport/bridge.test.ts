import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import {
  type Bridge,
  type BridgeOptions,
  connect,
  type Connection,
  ConnectionError,
  listen,
  type Listener,
  openBridge,
  TimeoutError,
} from "../../../lib/transport/mod.ts";
import { breakOff } from "../../../lib/transport/joined_pair.ts";
import { until } from "../../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-bridge-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ANY_PORT: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };

let sockets = 0;
const anySocket = (): Endpoint => ({ transport: "unix", path: join(folder, `${sockets++}.sock`) });

/** Bridges from TCP, to both kinds of targets: TCP can be reset, unix sockets cannot. */
const TARGETS: Readonly<Record<string, () => Endpoint>> = { tcp: () => ANY_PORT, unix: anySocket };

const echo = ({ stream }: Connection) => void stream.pipe(stream);

/** Bridge to a target that handles connections. */
class World implements AsyncDisposable {
  readonly bridge: Bridge;
  readonly target: Listener;

  private constructor(bridge: Bridge, target: Listener) {
    this.bridge = bridge;
    this.target = target;
  }

  static async open(
    at: Endpoint,
    handle: (connection: Connection) => void,
    options: BridgeOptions = {},
  ): Promise<World> {
    const target = await listen(at, { backlog: 1024, maxConnections: 5000 }, handle);
    return new World(await openBridge(ANY_PORT, target.endpoint, options), target);
  }

  async connect(): Promise<Duplex> {
    return await connectTo(this.bridge.endpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bridge[Symbol.asyncDispose]();
    await this.target[Symbol.asyncDispose]();
  }
}

async function connectTo(endpoint: Endpoint): Promise<Duplex> {
  const stream = await connect(endpoint, { timeoutMs: 60_000 });
  stream.allowHalfOpen = true;
  stream.on("error", () => {});
  return stream;
}

/** Reads to the end, and leaves the other direction open, unlike an iterator on Deno. */
async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  stream.on("data", (chunk) => chunks.push(chunk as Uint8Array));
  await new Promise<void>((resolve, reject) => {
    stream.once("end", resolve);
    stream.once("close", () => reject(new Error("closed before its end")));
  });
  return Buffer.concat(chunks);
}

/** Tells whether the bridge has broken a connection off: Deno cannot reset one that it accepted, and ends it. */
function isGone(stream: Duplex): boolean {
  return stream.closed || "Deno" in globalThis && stream.readableEnded;
}

/** Bytes that are the same nowhere for long. */
function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = seed + 1; i < length; i++) bytes[i] = state = (state * 181 + 59 + (i >> 8)) & 0xff;
  return bytes;
}

test("breakOff() closes a connection whose end is on the way", async () => {
  await using listener = await listen(ANY_PORT, {}, ({ stream }) => void stream.resume());
  const stream = await connectTo(listener.endpoint) as Connection["stream"];
  const closed = once(stream, "close");
  stream.end();
  breakOff(stream);
  await closed;
});

for (const [name, endpoint] of Object.entries(TARGETS)) {
  describe(`a bridge from tcp to ${name}`, () => {
    test("passes a megabyte each way untouched, and counts it", async () => {
      await using world = await World.open(endpoint(), echo);
      const sent = pattern(1_000_003, 7);
      const stream = await world.connect();
      stream.end(sent);
      assert.ok((await readAll(stream)).equals(sent));
      await until(() => world.bridge.counters.openCount === 0);
      assert.deepEqual(world.bridge.counters, {
        openCount: 0,
        acceptedCount: 1,
        refusedCount: 0,
        failedCount: 0,
        brokenCount: 0,
        idleCount: 0,
        bytesToTarget: sent.length,
        bytesFromTarget: sent.length,
      });
    });

    test("gives the answer that comes 1.5 s after the request's end", async () => {
      await using world = await World.open(endpoint(), async ({ stream }) => {
        const request = await readAll(stream);
        await sleep(1500);
        stream.end(`answer to ${request}`);
      });
      const stream = await world.connect();
      stream.end("a request");
      assert.equal(String(await readAll(stream)), "answer to a request");
    });

    test("takes the request that goes on after the answer's end", async () => {
      const { promise: request, resolve } = Promise.withResolvers<string>();
      await using world = await World.open(endpoint(), ({ stream }) => {
        stream.end("early answer");
        void readAll(stream).then((bytes) => resolve(String(bytes)));
      });
      const stream = await world.connect();
      assert.equal(String(await readAll(stream)), "early answer");
      stream.write("late ");
      await sleep(100);
      stream.end("request");
      assert.equal(await request, "late request");
      await until(() => world.bridge.counters.openCount === 0);
      assert.equal(world.bridge.counters.brokenCount, 0);
    });

    test("reads no more than a target takes, and loses nothing of it", async () => {
      const { promise: accepted, resolve } = Promise.withResolvers<Duplex>();
      await using world = await World.open(endpoint(), ({ stream }) => resolve(stream));
      const stream = await world.connect();
      const sent = pattern(32 << 20, 3);
      let isSent = false;
      stream.write(sent, () => isSent = true);
      const target = await accepted;
      let before = -1;
      await until(async () => {
        await sleep(100);
        const { bytesToTarget } = world.bridge.counters;
        return bytesToTarget > 0 && bytesToTarget === before || (before = bytesToTarget, false);
      });
      // Buffers of the kernel and of the streams, and not the whole.
      assert.ok(before < 24 << 20, `${before} bytes read`);
      assert.equal(isSent, false);
      stream.end();
      assert.ok((await readAll(target)).equals(sent));
      target.end();
    });

    test("a peer that breaks off is broken off on the other side, after the bytes that it sent", async () => {
      const { promise: received, resolve } = Promise.withResolvers<string>();
      await using world = await World.open(endpoint(), ({ stream }) => {
        const chunks: string[] = [];
        stream.on("data", (chunk) => chunks.push(String(chunk)));
        stream.once("error", () => chunks.push("broken"));
        stream.once("end", () => chunks.push("ended"));
        stream.once("close", () => resolve(chunks.join(" ")));
        stream.once("end", () => stream.destroy());
      });
      const stream = await world.connect();
      stream.write("torn");
      await until(() => world.bridge.counters.bytesToTarget === 4);
      (stream as Duplex & { resetAndDestroy(): void }).resetAndDestroy();
      // Unix sockets have no reset: there a break looks like an end.
      assert.equal(await received, name === "tcp" ? "torn broken" : "torn ended");
      await until(() => world.bridge.counters.openCount === 0);
      assert.deepEqual([world.bridge.counters.brokenCount, world.bridge.counters.failedCount], [1, 0]);
    });

    test("a target that breaks off ends the connection to it", async () => {
      await using world = await World.open(
        endpoint(),
        ({ stream }) => void stream.once("data", () => stream.destroy()),
      );
      const stream = await world.connect();
      stream.resume();
      await until(() => {
        // A close alone only ends the target's direction.
        if (stream.writable) stream.write("hello");
        return stream.closed;
      });
      await until(() => world.bridge.counters.openCount === 0);
    });

    test("a target that is not there closes the connection, and is there again later", async () => {
      const at = endpoint();
      const failures: unknown[] = [];
      const target = await listen(at, {}, echo);
      await using bridge = await openBridge(ANY_PORT, target.endpoint, {
        onFailure: (error) => failures.push(error),
      });
      await target[Symbol.asyncDispose]();
      assert.equal((await readAll(await connectTo(bridge.endpoint)).catch(() => "")).length, 0);
      await until(() => bridge.counters.failedCount === 1);
      const [failure] = failures;
      assert.ok(failure instanceof ConnectionError);
      assert.match(failure.message, /^Cannot connect to the target of a bridge: /);
      await using _ = await listen(target.endpoint, {}, echo);
      const stream = await connectTo(bridge.endpoint);
      stream.end("hello");
      assert.equal(String(await readAll(stream)), "hello");
    });

    test("an idle pair is broken off on both sides, a busy one is not", async () => {
      const closed: string[] = [];
      await using world = await World.open(endpoint(), (connection) => {
        connection.stream.once(
          "data",
          (name) => connection.stream.once("close", () => closed.push(String(name))),
        );
        echo(connection);
      }, { idleTimeoutMs: 1500 });
      const [busy, idle] = [await world.connect(), await world.connect()];
      idle.write("idle");
      for (const stream of [busy, idle]) stream.resume();
      while (!isGone(idle)) {
        busy.write("busy");
        await sleep(20);
      }
      await until(() => closed.length > 0);
      assert.deepEqual([busy.destroyed, closed, world.bridge.counters.idleCount], [false, ["idle"], 1]);
      busy.destroy();
    });

    test("a peer that ends, and then neither side says anything, is broken off early", async () => {
      await using world = await World.open(endpoint(), ({ stream }) => void stream.resume(), {
        halfOpenTimeoutMs: 300,
        idleTimeoutMs: 600_000,
      });
      const [half, open] = [await world.connect(), await world.connect()];
      half.end("request");
      half.resume();
      await until(() => isGone(half));
      await until(() => world.bridge.counters.openCount === 1);
      assert.deepEqual([world.bridge.counters.idleCount, open.destroyed], [1, false]);
      open.destroy();
    });

    test("a target that takes nothing any more counts as idle, although its peer has gone", async () => {
      const { promise: accepted, resolve } = Promise.withResolvers<Duplex>();
      const limits = { idleTimeoutMs: 300, halfOpenTimeoutMs: 300 };
      await using world = await World.open(endpoint(), ({ stream }) => resolve(stream), limits);
      const stream = await world.connect();
      stream.write(Buffer.alloc(32 << 20));
      await accepted;
      await until(() => world.bridge.counters.bytesToTarget > 0);
      stream.destroy();
      await until(() => world.bridge.counters.openCount === 0);
      assert.equal(world.bridge.counters.idleCount, 1);
    });

    test("one connection too many is closed unheard, and there is room again later", async () => {
      await using world = await World.open(endpoint(), echo, { maxConnections: 2 });
      const [first, second] = [await world.connect(), await world.connect()];
      await until(() => world.bridge.counters.openCount === 2);
      assert.equal((await readAll(await world.connect()).catch(() => "")).length, 0);
      assert.equal(world.bridge.counters.refusedCount, 1);
      first.destroy();
      await until(() => world.bridge.counters.openCount === 1);
      const third = await world.connect();
      third.end("hello");
      assert.equal(String(await readAll(third)), "hello");
      second.destroy();
    });

    test("close() accepts no more, and lets what runs end", async () => {
      await using world = await World.open(endpoint(), echo);
      const stream = await world.connect();
      await until(() => world.target.connectionCount === 1);
      let isClosed = false;
      const closing = world.bridge.close({ graceMs: 600_000 }).then(() => isClosed = true);
      await assert.rejects(connectTo(world.bridge.endpoint), ConnectionError);
      stream.write("still here");
      assert.deepEqual((await once(stream, "data")).map(String), ["still here"]);
      assert.equal(isClosed, false);
      stream.end();
      await closing;
      assert.equal(world.bridge.counters.brokenCount, 0);
    });

    test("close() breaks off what is left after the grace period, and so does dispose", async () => {
      for (const close of [(bridge: Bridge) => bridge.close({ graceMs: 50 }), undefined]) {
        await using world = await World.open(endpoint(), echo);
        const stream = await world.connect();
        await until(() => world.target.connectionCount === 1);
        await (close?.(world.bridge) ?? world.bridge[Symbol.asyncDispose]());
        stream.resume();
        await until(() => isGone(stream));
        await until(() => world.target.connectionCount === 0);
        assert.equal(world.bridge.counters.openCount, 0);
      }
    });

    test("1000 connections at once: each has its own answer", async () => {
      await using world = await World.open(endpoint(), echo, { backlog: 1024 });
      const streams: Duplex[] = [];
      while (streams.length < 1000) {
        streams.push(...await Promise.all(Array.from({ length: 50 }, () => world.connect())));
      }
      const answers = await Promise.all(streams.map(async (stream, number) => {
        stream.end(`${number} `.repeat(100));
        return String(await readAll(stream));
      }));
      assert.ok(answers.every((answer, number) => answer === `${number} `.repeat(100)));
      await until(() => world.bridge.counters.openCount === 0);
      assert.deepEqual([world.bridge.counters.acceptedCount, world.bridge.counters.brokenCount], [1000, 0]);
    });
  });
}

describe("openBridge()", () => {
  test("gives up a target that does not open in time, and one whose peer has gone", async () => {
    const failures: unknown[] = [];
    let aborted = 0;
    const never = (_: Connection, signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => {
          aborted++;
          reject(signal.reason);
        });
      });
    const options = { onFailure: (error: unknown) => failures.push(error) };
    await using slow = await openBridge(ANY_PORT, never, { ...options, connectTimeoutMs: 50 });
    assert.equal((await readAll(await connectTo(slow.endpoint)).catch(() => "")).length, 0);
    await until(() => slow.counters.failedCount === 1);
    assert.ok(failures[0] instanceof TimeoutError);
    await using patient = await openBridge(ANY_PORT, never, options);
    (await connectTo(patient.endpoint)).destroy();
    // Over TCP a peer that closes has only ended its direction until something is sent to it.
    await until(() => patient.counters.acceptedCount === 1);
    await patient[Symbol.asyncDispose]();
    await until(() => patient.counters.failedCount === 1);
    assert.equal(aborted, 2);
  });

  test("refuses options that are unknown or out of range", async () => {
    const refuses = async (options: unknown, kind: new () => Error, message: RegExp) => {
      await assert.rejects(openBridge(ANY_PORT, anySocket(), options as BridgeOptions), (error: Error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.match(error.message, message);
        return true;
      });
    };
    await refuses({ halfOpenTimeout: 1 }, TypeError, /no field `halfOpenTimeout`/);
    await refuses({ halfOpenTimeoutMs: 9 }, RangeError, /halfOpenTimeoutMs must be an integer from 10/);
    await refuses({ idleTimeoutMs: "1" }, TypeError, /idleTimeoutMs must be a number/);
    await refuses({ connectTimeoutMs: 2 ** 31 }, RangeError, /connectTimeoutMs/);
    await refuses({ maxConnections: 0 }, RangeError, /maxConnections/);
    await refuses({ onFailure: true }, TypeError, /onFailure must be a function/);
  });
});
