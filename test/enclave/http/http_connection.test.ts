import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import {
  DEFAULT_HTTP_TIMEOUTS,
  HttpListener,
  type HttpListenerParts,
} from "../../../enclave/http/http_listener.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";

/** A peer in memory. */
class Peer extends Duplex {
  readonly written: Buffer[] = [];
  /** Called for each piece that is written. */
  onWrite = () => {};

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.written.push(Buffer.from(chunk));
    this.onWrite();
    done();
  }

  get answered(): string {
    return Buffer.concat(this.written).toString("latin1");
  }

  get statuses(): readonly number[] {
    return [...this.answered.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  }
}

function listenerOf(fetch: HttpListenerParts["fetch"], parts: Partial<HttpListenerParts> = {}): HttpListener {
  const logger = createLogger("silent");
  const log = { logger, metrics: new Metrics(), refusals: new RefusalLog({ logger }) };
  return new HttpListener({ ...log, timeouts: DEFAULT_HTTP_TIMEOUTS, fetch, ...parts });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1);
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

const post = (body: string, headers = "") =>
  `POST / HTTP/1.1\r\nhost: a\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`;

const chunked = (chunks: string, headers = "") =>
  `POST / HTTP/1.1\r\nhost: a\r\n${headers}transfer-encoding: chunked\r\n\r\n${chunks}`;

describe("a connection of HttpListener", () => {
  test("reads the same request however its bytes are cut, and the next one behind it", async () => {
    const text = post("hello", "x-one: 1\r\n") + chunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n") +
      "GET /last HTTP/1.1\r\nhost: a\r\n\r\n";
    for (const size of [1, 2, 3, 7, 60, text.length]) {
      const seen: string[] = [];
      const listener = listenerOf(async (request) => {
        seen.push(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`);
        return new Response("ok");
      });
      const peer = new Peer();
      listener.accept(peer, 3);
      for (let at = 0; at < text.length; at += size) {
        peer.push(text.slice(at, at + size));
        if (size < 60) await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => peer.statuses.length === 3);
      assert.deepEqual(seen, ["POST / hello", "POST / abc0123456789", "GET /last "], `pieces of ${size}`);
      await listener.close(0);
    }
  });

  test("reads a body in many chunks in slices, each in a turn of its own, to two connections in turn", async () => {
    using turns = countTurns();
    const text = chunked(`${"1\r\nx\r\n".repeat(4000)}0\r\n\r\n`);
    const taken: { readonly name: string; readonly turn: number }[] = [];
    const listener = listenerOf(async (request) => new Response((await request.text()).length.toString()));
    const peers = ["a", "b"].map((name) => {
      const peer = new Peer();
      listener.accept(peer, 3);
      peer.push(text);
      peer.onWrite = () => taken.push({ name, turn: turns.now() });
      return peer;
    });
    const started = turns.now();
    await until(() => peers.every((peer) => peer.answered.endsWith("4000")));
    // 24 kB in slices of 4 KiB, of two connections.
    assert.ok(Math.min(...taken.map(({ turn }) => turn)) - started >= 10, JSON.stringify(taken));
    await listener.close(0);
  });

  test("reads no more of a peer that sends ahead of its answers, and all of it in the end", async () => {
    const goOn = Promise.withResolvers<void>();
    let count = 0;
    const listener = listenerOf(async () => {
      count++;
      await goOn.promise;
      return new Response("ok");
    });
    const peer = new Peer();
    listener.accept(peer, 3);
    const one = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    peer.push(one.repeat(1000));
    await until(() => count === 1 && peer.isPaused());
    goOn.resolve();
    await until(() => peer.statuses.length === 1000);
    assert.equal(peer.isPaused(), false);
    await listener.close(0);
  });

  test("asks for a body that the client holds back until it is asked, and wipes what it read", async () => {
    const listener = listenerOf(async (request) => new Response((await request.text()).toUpperCase()));
    const peer = new Peer();
    listener.accept(peer, 3);
    peer.push(post("", "expect: 100-continue\r\n").replace("content-length: 0", "content-length: 5"));
    await until(() => peer.statuses.length === 1);
    assert.equal(peer.answered, "HTTP/1.1 100 Continue\r\n\r\n");
    const body = Buffer.from("hello");
    peer.push(body);
    await until(() => peer.statuses.length === 2);
    assert.match(peer.answered, /^[^]*HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nHELLO$/);
    assert.deepEqual([...body], [0, 0, 0, 0, 0]);
    await listener.close(0);
  });

  test("wipes a body when its request is over, and of one that never comes whole", async () => {
    const held: Uint8Array[] = [];
    const listener = listenerOf(async (request) => {
      const reader = request.body?.getReader();
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
        held.push(next.value);
      }
      return new Response(`${held[0]?.[0]}`);
    });
    const peer = new Peer();
    listener.accept(peer, 3);
    peer.push(post("secret"));
    await until(() => peer.statuses.length === 1);
    assert.ok(peer.answered.endsWith(`${"s".charCodeAt(0)}`));
    await until(() => held[0]?.every((byte) => byte === 0) === true);
    const half = Buffer.from(post("secret").slice(0, -1));
    peer.push(half);
    await new Promise((resolve) => setImmediate(resolve));
    peer.destroy();
    await once(peer, "close");
    assert.deepEqual([...half.subarray(-5)], [0, 0, 0, 0, 0]);
    await listener.close(0);
  });

  test("ends with the answer where either side says so, and answers nothing that came behind", async () => {
    for (const text of [post("", "connection: close\r\n"), "GET / HTTP/1.0\r\n\r\n"]) {
      const peer = new Peer();
      const listener = listenerOf(() => new Response("ok"));
      listener.accept(peer, 3);
      peer.push(text + text);
      await once(peer, "close");
      assert.deepEqual(peer.statuses, [200]);
      assert.match(peer.answered, /\r\nconnection: close\r\n/);
    }
    const peer = new Peer();
    listenerOf(() => new Response("ok", { headers: { connection: "close" } })).accept(peer, 3);
    peer.push(post("") + post(""));
    await once(peer, "close");
    assert.deepEqual(peer.statuses, [200]);
  });

  test("hands over a streamed body once, though more is asked for meanwhile, and the next request behind it", async () => {
    const next = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";
    const head = post("").replace("length: 0", "length: 10");
    for (
      const pieces of [
        [head, "abc", "defg", `hij${next}`],
        [`${head}ab`, `cdefghij${next}`],
        [chunked(""), "3\r\nabc\r\n4\r\ndefg\r\n", `3\r\nhij\r\n0\r\n\r\n${next}`],
      ]
    ) {
      const seen: string[] = [];
      const listener = listenerOf(async (request) => {
        let text = "";
        for await (const chunk of request.body ?? []) text += new TextDecoder().decode(chunk);
        seen.push(`${new URL(request.url).pathname} ${text}`);
        return new Response("ok");
      }, { readsStream: () => true });
      const peer = new Peer();
      listener.accept(peer, 3);
      for (const piece of pieces) {
        peer.push(piece);
        await sleep(5);
      }
      await until(() => peer.statuses.length === 2);
      assert.deepEqual([seen, peer.statuses], [["/ abcdefghij", "/next "], [200, 200]]);
      await listener.close(0);
    }
  });

  test("does not take a streamed body that came at once for one within the limit", async () => {
    const seen: unknown[] = [];
    const listener = listenerOf(async (request, { hasWholeBody }) => {
      seen.push(hasWholeBody, await request.text());
      return new Response("ok");
    }, { readsStream: (_, target) => target === "/", maxBodyBytes: 3 });
    const peer = new Peer();
    listener.accept(peer, 3);
    peer.push(post("hello") + post("all").replace("/ ", "/whole "));
    await until(() => peer.statuses.length === 2);
    assert.deepEqual(seen, [false, "hello", true, "all"]);
    await listener.close(0);
  });

  test("wipes each piece that it was given of a body, however the pieces are cut, read or not", async () => {
    const listener = listenerOf(() => new Response("ok"));
    const [head, body] = [post("").replace("length: 0", "length: 10"), "0123456789"];
    for (const isRead of [true, false]) {
      const peer = new Peer();
      listener.accept(peer, 3);
      const second = Buffer.from(`${head.slice(9)}${body}`);
      const pieces = [Buffer.from(head.slice(0, 9)), isRead ? second : second.subarray(0, -16)];
      for (const piece of pieces) {
        peer.push(piece);
        await sleep(5);
      }
      if (!isRead) peer.destroy();
      await until(() => isRead ? peer.statuses.length === 1 : peer.closed);
      assert.ok(pieces.every((piece) => piece.every((byte) => byte === 0)), String(isRead));
    }
    await listener.close(0);
  });

  test("breaks off a request whose streamed body is no chunks, or ends before its length", async () => {
    for (
      const [head, rest] of [[chunked(""), "5\r\nhelloXX"], [post("hello").slice(0, -5), "hel"]] as const
    ) {
      const [asked, failed] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()];
      const listener = listenerOf(async (request, caller) => {
        asked.resolve();
        await request.text().catch(failed.resolve);
        assert.equal(caller.gone.aborted, true);
        return new Response("too late");
      }, { readsStream: () => true });
      const peer = new Peer();
      listener.accept(peer, 3);
      peer.push(head);
      await asked.promise;
      peer.push(rest);
      peer.push(null);
      assert.ok(await failed.promise instanceof TypeError);
      await until(() => peer.destroyed);
      assert.deepEqual(peer.statuses, []);
    }
  });

  test("gives a signal that aborts when the caller goes away, whenever it is asked for", async () => {
    for (const isEarly of [true, false]) {
      const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const signals: AbortSignal[] = [];
      const listener = listenerOf(async (request, caller) => {
        if (isEarly) signals.push(caller.gone);
        asked.resolve();
        await goOn.promise;
        signals.push(caller.gone, request.signal);
        return new Response("ok");
      });
      const peer = new Peer();
      listener.accept(peer, 3);
      peer.push(post(""));
      await asked.promise;
      peer.destroy();
      await once(peer, "close");
      goOn.resolve();
      await until(() => signals.length === (isEarly ? 3 : 2));
      assert.ok(signals.every(({ aborted, reason }) => aborted && reason.code === "ERR_CALLER_GONE"));
    }
  });
});

describe("pipelined requests of several connections", () => {
  test("are handled one of each after the other", async () => {
    const order: string[] = [];
    const listener = listenerOf((request) => {
      order.push(new URL(request.url).pathname.slice(1));
      return new Response("ok");
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
