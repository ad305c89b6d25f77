import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import {
  corruptRecord,
  dropRecord,
  type RecordChange,
  Relay,
  repeatRecord,
  replaceRecord,
  replayToServer,
  shortenRecord,
  splitRecords,
  swapRecords,
} from "./relay.ts";
import { until } from "./until.ts";

/** A record with three bytes of content. */
const record = (content: string) => `\x17\x03\x03\0\x03${content}`;

/** Says back what it hears, in capitals. */
async function startEcho(): Promise<AsyncDisposable & { endpoint: TcpEndpoint }> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => socket.write(String(chunk).toUpperCase()));
    socket.on("end", () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    endpoint: {
      transport: "tcp",
      host: "127.0.0.1",
      port: typeof address === "object" ? address?.port ?? 0 : 0,
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("a relay", () => {
  let echo: Awaited<ReturnType<typeof startEcho>>;
  let relay: Relay;
  const opened: Socket[] = [];

  beforeAll(async () => {
    echo = await startEcho();
    relay = await Relay.start(echo.endpoint);
  });
  beforeEach(() => relay.clear());
  afterAll(async () => {
    for (const socket of opened) socket.destroy();
    await relay[Symbol.asyncDispose]();
    await echo[Symbol.asyncDispose]();
  });

  /** Collects the bytes that the client got until those came or the connection ended, and the end. */
  async function talk(
    text: string,
    wanted: string | undefined,
    socket = dial(),
  ): Promise<{ heard: string; end: "open" | "ended" | "reset" }> {
    let heard = "";
    let end: "open" | "ended" | "reset" = "open";
    const onData = (chunk: Uint8Array) => void (heard += Buffer.from(chunk).toString("latin1"));
    socket.on("data", onData);
    socket.once("end", () => (end = "ended"));
    socket.once("error", () => (end = "reset"));
    socket.write(Buffer.from(text, "latin1"));
    await until(() => end !== "open" || heard === wanted, () => `${end}, ${heard}`);
    socket.off("data", onData);
    return { heard, end };
  }

  function dial(): Socket {
    const socket = connect(relay.endpoint.port, "127.0.0.1");
    opened.push(socket);
    return socket;
  }

  test("forwards both ways, counts and records", async () => {
    const before = relay.connectionCount;
    assert.deepEqual(await talk("hello", "HELLO"), { heard: "HELLO", end: "open" });
    assert.equal(relay.connectionCount, before + 1);
    const { toServer, toClient } = relay.recordings.at(-1)!;
    assert.equal(Buffer.from(toServer).toString(), "hello");
    assert.equal(Buffer.from(toClient).toString(), "HELLO");
  });

  for (const how of ["end", "reset"] as const) {
    for (const atByte of [0, 1, 4, 5]) {
      test(`${how}s at byte ${atByte} of the answer, and of the request`, async () => {
        relay.planForNew({ cut: { direction: "toClient", atByte, how } });
        const expected = how === "end" ? "ended" : "reset";
        assert.deepEqual(await talk("hello", undefined), { heard: "HELLO".slice(0, atByte), end: expected });
        relay.planForNew({ cut: { direction: "toServer", atByte, how } });
        assert.equal((await talk("hello", undefined)).end, expected);
        assert.equal(Buffer.from(relay.recordings.at(-1)!.toServer).toString(), "hello");
      });
    }
  }

  test("stalls after a byte, and the connection stays open", async () => {
    relay.planForNew({ cut: { direction: "toClient", atByte: 3, how: "stall" } });
    const socket = dial();
    assert.deepEqual(await talk("hello", "HEL", socket), { heard: "HEL", end: "open" });
    await sleep(50);
    assert.equal(socket.readable && socket.writable, true);
  });

  test("begins a plan on an open connection, and counts from there", async () => {
    const socket = dial();
    await talk("hello", "HELLO", socket);
    relay.planForOpen({ cut: { direction: "toClient", atByte: 2, how: "end" } });
    assert.deepEqual(await talk("world", undefined, socket), { heard: "WO", end: "ended" });
    assert.deepEqual(await talk("anew", "ANEW"), { heard: "ANEW", end: "open" });
  });

  const changes: readonly (readonly [name: string, change: RecordChange, expected: string])[] = [
    ["repeats", repeatRecord(1), record("aaa") + record("bbb") + record("bbb") + record("ccc")],
    ["drops", dropRecord(1), record("aaa") + record("ccc")],
    ["swaps", swapRecords(1), record("aaa") + record("ccc") + record("bbb")],
    ["corrupts the end of", corruptRecord(1), record("aaa") + record("bbc") + record("ccc")],
    ["corrupts a byte of", corruptRecord(1, 5), record("aaa") + record("cbb") + record("ccc")],
    ["replaces", replaceRecord(1, Buffer.from(record("xxx"))), record("aaa") + record("xxx") + record("ccc")],
    ["shortens", shortenRecord(1), `${record("aaa")}\x17\x03\x03\0\x02bb${record("ccc")}`],
  ];
  for (const [name, change, expected] of changes) {
    test(`${name} a record, however the bytes come`, async () => {
      relay.planForNew({ records: { toServer: change } });
      const socket = dial();
      const sent = record("aaa") + record("bbb") + record("ccc");
      for (const part of [sent.slice(0, 3), sent.slice(3, 14)]) {
        socket.write(Buffer.from(part, "latin1"));
        await sleep(5);
      }
      const { heard } = await talk(sent.slice(14), expected.toUpperCase(), socket);
      assert.equal(heard, expected.toUpperCase());
    });
  }

  test("splits what it recorded, but for an incomplete end", () => {
    const split = splitRecords(Buffer.from(`${record("aaa")}${record("bbb")}\x17\x03`, "latin1"));
    assert.deepEqual(split.map(({ type, bytes }) => [type, bytes.length]), [[23, 8], [23, 8]]);
  });

  test("replays a server to clients, and a client to servers", async () => {
    await talk("hello", "HELLO");
    const recording = relay.recordings.at(-1)!;
    relay.planForNew({ replay: recording });
    assert.deepEqual(await talk("other", "HELLO"), { heard: "HELLO", end: "open" });
    assert.equal(Buffer.from(await replayToServer(recording, echo.endpoint)).toString(), "HELLO");
  });

  test("redirects new connections", async () => {
    await using elsewhere = await startEcho();
    await using moved = await Relay.start(elsewhere.endpoint);
    moved.redirect(echo.endpoint);
    const socket = connect(moved.endpoint.port, "127.0.0.1");
    opened.push(socket);
    await elsewhere[Symbol.asyncDispose]();
    assert.equal((await talk("hello", "HELLO", socket)).heard, "HELLO");
  });
});
