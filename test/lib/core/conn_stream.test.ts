import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { Deadline } from "../../../lib/core/deadline.ts";
import { TimeoutError } from "../../../lib/core/errors.ts";
import { openTransport } from "../../../lib/transport/open_transport.ts";
import { type ByteConn, ConnStream } from "../../../lib/core/conn_stream.ts";
import { until } from "../../support/until.ts";
import { authority, connectionTo, echo, send, serveTls } from "../kms/https/servers.ts";

const IS_DENO = "Deno" in globalThis;

/** Connection like Deno's over a socket of Node: reads and writes only a few bytes at a time. */
class SocketConn implements ByteConn {
  readonly log: string[] = [];
  /** Time of the last byte in either direction, by `performance.now()`. */
  lastByteAt = performance.now();
  readonly #socket: Socket;
  readonly #maxBytes: number;
  #wake = () => {};

  constructor(socket: Socket, maxBytes: number) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    for (const event of ["readable", "end", "error", "close"]) socket.on(event, () => this.#wake());
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      const length = Math.min(this.#maxBytes, buffer.length, this.#socket.readableLength);
      const chunk: Uint8Array | null = this.#socket.read(length === 0 ? undefined : length);
      if (chunk !== null) {
        buffer.set(chunk);
        this.lastByteAt = performance.now();
        return chunk.length;
      }
      if (this.#socket.readableEnded) return null;
      if (this.#socket.destroyed) throw new Error("closed");
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    const part = bytes.slice(0, this.#maxBytes);
    await new Promise((resolve) => this.#socket.write(part, resolve));
    this.lastByteAt = performance.now();
    return part.length;
  }

  closeWrite(): Promise<void> {
    this.log.push("closeWrite");
    return new Promise((resolve) => this.#socket.end(resolve));
  }

  close(): void {
    this.log.push("close");
    this.#socket.destroy();
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }
}

/** A peer whose bytes are always there. */
class EndlessConn implements ByteConn {
  reads = 0;
  readonly #maxReads: number;

  constructor(maxReads: number) {
    this.#maxReads = maxReads;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return Promise.resolve(this.reads++ < this.#maxReads ? buffer.length : null);
  }

  write(bytes: Uint8Array): Promise<number> {
    return Promise.resolve(bytes.length);
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
  ref(): void {}
  unref(): void {}
}

describe("a peer whose bytes are always there", () => {
  test("is read 64 times in a turn of the event loop", async () => {
    const conn = new EndlessConn(640);
    const stream = new ConnStream(conn);
    const readsByTurn: number[] = [];
    const tick = () => {
      readsByTurn.push(conn.reads);
      if (!stream.destroyed) setImmediate(tick);
    };
    setImmediate(tick);
    await once(stream.resume(), "end");
    stream.destroy();
    const most = Math.max(...readsByTurn.map((reads, turn) => reads - (readsByTurn[turn - 1] ?? 0)));
    assert.ok(most <= 64, `${readsByTurn}`);
    assert.equal(conn.reads, 641);
  });
});

describe("ConnStream", () => {
  test("carries TLS, however few bytes go at a time", async () => {
    await using server = await serveTls(echo);
    for (const maxBytes of [7, 100_000]) {
      using connection = connectionTo(server, {
        open: async (deadline) =>
          new ConnStream(
            new SocketConn((await openTransport(server.endpoint, deadline)) as Socket, maxBytes),
          ),
      });
      for (let i = 0; i < 3; i++) assert.equal(JSON.parse(await send(connection)).length, 4);
    }
    assert.equal(server.sockets.length, 2);
  });

  test("is closed when a call is aborted", async () => {
    await using server = await serveTls(() => {});
    let conn: SocketConn | undefined;
    using connection = connectionTo(server, {
      open: async (deadline) => {
        conn = new SocketConn((await openTransport(server.endpoint, deadline)) as Socket, 1000);
        return new ConnStream(conn);
      },
    });
    await assert.rejects(send(connection, 50), TimeoutError);
    while (!conn?.log.includes("close")) await sleep(1);
  });

  test("reports a failing read, and closes once", async () => {
    const conn = new FailingConn();
    const stream = new ConnStream(conn);
    const failed = once(stream, "error");
    stream.resume();
    assert.deepEqual((await failed).map(String), ["Error: reset"]);
    stream.destroy();
    assert.equal(conn.closed, 1);
  });

  test("ends when the peer ends, and half-closes when it is ended", async () => {
    using deadline = new Deadline("test", 60_000);
    await using server = await serveTls(echo);
    const conn = new SocketConn((await openTransport(server.endpoint, deadline)) as Socket, 1000);
    const stream = new ConnStream(conn);
    stream.resume();
    stream.end();
    await once(stream, "close");
    assert.deepEqual(conn.log, ["closeWrite", "close"]);
  });

  test("stays open after the peer's end only when it is told to", async () => {
    for (const allowHalfOpen of [false, true]) {
      const conn = new EndedConn();
      const stream = new ConnStream(conn, { allowHalfOpen });
      stream.resume();
      await once(stream, "end");
      await sleep(10);
      assert.equal(stream.destroyed, !allowHalfOpen);
      stream.destroy();
    }
  });

  test("setTimeout() tells of silence, and of nothing else", async () => {
    using deadline = new Deadline("test", 60_000);
    await using server = await serveTls(echo);
    const conn = new SocketConn((await openTransport(server.endpoint, deadline)) as Socket, 1000);
    const stream = new ConnStream(conn);
    let calls = 0;
    const silences: number[] = [];
    stream.on("timeout", () => silences.push(performance.now() - conn.lastByteAt));
    stream.setTimeout(100, () => calls++);
    for (let i = 0; i < 10; i++) {
      stream.write("x");
      await sleep(20);
    }
    await until(() => silences.length > 0);
    // On a busy machine there may have been silence between two bytes, too.
    assert.ok(silences.every((ms) => ms > 98), `${silences} ms after the last byte`);
    assert.deepEqual([calls, stream.destroyed, stream.bytesWritten], [1, false, 10]);
    stream.setTimeout(50).setTimeout(0);
    stream.on("timeout", () => assert.fail("was switched off"));
    await sleep(80);
    stream.destroy();
  });

  // Only Deno has connections of this kind.
  test.skipIf(!IS_DENO)("lets the process exit while it is idle", async () => {
    await using server = await serveTls(echo);
    const script = fileURLToPath(new URL("./deno_client.ts", import.meta.url));
    assert.ok(server.endpoint.transport === "tcp");
    const args = ["run", "-A", script, String(server.endpoint.port), authority.trustedCertificates];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    const [code] = await once(child, "close");
    assert.deepEqual([code, output.trim(), server.sockets.length], [0, "answered", 1]);
  });
});

class FailingConn implements ByteConn {
  closed = 0;
  read(): Promise<number | null> {
    return Promise.reject(new Error("reset"));
  }
  write(): Promise<number> {
    return Promise.reject(new Error("reset"));
  }
  closeWrite(): Promise<void> {
    return Promise.reject(new Error("reset"));
  }
  close(): void {
    if (++this.closed > 1) throw new Error("closed twice");
  }
  ref(): void {}
  unref(): void {}
}

class EndedConn extends FailingConn {
  override read(): Promise<number | null> {
    return Promise.resolve(null);
  }
  override closeWrite(): Promise<void> {
    return Promise.resolve();
  }
}
