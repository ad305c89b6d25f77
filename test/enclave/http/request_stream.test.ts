import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import { describe, test } from "#test";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { DEFAULT_HTTP_TIMEOUTS, HttpListener } from "../../../enclave/http/http_listener.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import { RequestStream } from "../../../enclave/http/request_stream.ts";

const KIB = 1024;

/** A peer in memory. */
class Peer extends Duplex {
  readonly written: Uint8Array[] = [];

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.written.push(chunk.slice());
    done();
  }
}

/** Says which turn of the event loop it is. */
function countTurns(): { now(): number } & Disposable {
  let [turn, isOver] = [0, false];
  const tick = () => {
    turn++;
    if (!isOver) setImmediate(tick);
  };
  tick();
  return { now: () => turn, [Symbol.dispose]: () => isOver = true };
}

describe("RequestStream", () => {
  test("gives what came at once in slices of 4 KiB, each in a turn of its own, to two connections in turn", async () => {
    using turns = countTurns();
    const sent = Buffer.from(Array.from({ length: 64 * KIB }, (_, index) => index % 251));
    const got: { readonly name: string; readonly turn: number; readonly chunk: Uint8Array }[] = [];
    const ends = ["a", "b"].map(async (name) => {
      const peer = new Peer();
      const stream = new RequestStream(peer, () => undefined);
      stream.on("data", (chunk) => got.push({ name, turn: turns.now(), chunk }));
      peer.push(sent);
      peer.push(null);
      await new Promise((resolve) => stream.once("end", resolve));
      stream.destroy();
    });
    await Promise.all(ends);
    assert.equal(got.length, 32);
    assert.equal(got.map(({ name }) => name).join(""), "ab".repeat(16));
    assert.equal(new Set(got.map(({ turn }) => turn)).size, 32);
    const ofA = got.filter(({ name }) => name === "a").map(({ chunk }) => chunk);
    assert.ok(Buffer.concat(ofA).equals(sent));
    assert.ok(ofA.every((chunk) => chunk.length === 4 * KIB));
  });

  test("ends with the connection, and the connection with it", async () => {
    for (const first of ["peer", "stream"] as const) {
      const peer = new Peer();
      const stream = new RequestStream(peer, () => undefined);
      const [ended, other] = first === "peer" ? [peer, stream] : [stream, peer];
      const closed = new Promise((resolve) => other.once("close", resolve));
      ended.destroy();
      await closed;
    }
  });
});

describe("pipelined requests of several connections", () => {
  test("are handled one of each after the other", async () => {
    const order: string[] = [];
    const logger = createLogger("silent");
    const listener = new HttpListener({
      logger,
      metrics: new Metrics(),
      refusals: new RefusalLog({ logger }),
      timeouts: DEFAULT_HTTP_TIMEOUTS,
      fetch(request) {
        order.push(new URL(request.url).pathname.slice(1));
        return new Response("ok");
      },
    });
    try {
      for (const name of ["a", "b", "c"]) {
        const peer = new Peer();
        listener.accept(peer, 3);
        peer.push(`GET /${name} HTTP/1.1\r\nhost: a\r\n\r\n`.repeat(16));
      }
      while (order.length < 48) await new Promise((resolve) => setImmediate(resolve));
      for (let round = 1; round <= 16; round++) {
        const counts = ["a", "b", "c"].map((name) =>
          order.slice(0, 3 * round).filter((one) => one === name).length
        );
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 2, `${order}`);
      }
    } finally {
      await listener.close(0);
    }
  });
});
