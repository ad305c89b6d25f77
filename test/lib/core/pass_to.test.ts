import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, test } from "#test";
import { type ByteConn, ConnStream } from "../../../lib/core/conn_stream.ts";
import type { ConnectionStream } from "../../../lib/core/connection_stream.ts";

/** Connection whose reads come from a list, and whose writes are kept. */
class ListConn implements ByteConn {
  readonly written: string[] = [];
  isClosed = false;
  /** Resolves each write; a failure rejects it. */
  gate: Promise<void> = Promise.resolve();
  readonly #chunks: (string | Error)[];

  constructor(chunks: (string | Error)[] = []) {
    this.#chunks = chunks;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return Promise.resolve(null);
    if (chunk instanceof Error) return Promise.reject(chunk);
    buffer.set(new TextEncoder().encode(chunk));
    return Promise.resolve(chunk.length);
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.gate;
    this.written.push(new TextDecoder().decode(bytes.subarray(0, 3)));
    return Math.min(3, bytes.length);
  }

  closeWrite(): Promise<void> {
    this.written.push("end");
    return Promise.resolve();
  }

  close(): void {
    this.isClosed = true;
  }

  ref(): void {}
  unref(): void {}
}

const open = (conn: ByteConn) => new ConnStream(conn, { allowHalfOpen: true });

describe("ConnStream.passTo()", () => {
  test("passes bytes and the end, and counts them", async () => {
    const conn = new ListConn();
    const [from, to] = [open(new ListConn(["hello", "you"])), open(conn)];
    assert.equal(from.passTo(to), true);
    await once(to, "finish");
    assert.deepEqual(conn.written, ["hel", "lo", "you", "end"]);
    assert.deepEqual([from.bytesRead, to.bytesWritten, from.readableEnded], [8, 8, true]);
  });

  test("is refused once somebody has read the stream, or it is gone", () => {
    const [read, gone, to] = [open(new ListConn(["hello"])), open(new ListConn()), open(new ListConn())];
    read.read();
    gone.destroy();
    assert.equal(read.passTo(to), false);
    assert.equal(gone.passTo(to), false);
  });

  test("passes on to streams of other kinds", async () => {
    const to = new PassThrough();
    assert.equal(open(new ListConn(["hello", "you"])).passTo(to as unknown as ConnectionStream), true);
    assert.equal(String(Buffer.concat(await to.toArray())), "helloyou");
  });

  test("destroys the target when a write fails, and itself when a read fails", async () => {
    for (const to of [open(failing()), failingStream()]) {
      const from = open(new ListConn(["hello"]));
      const closed = once(to, "error");
      from.passTo(to);
      assert.equal((await closed as Error[])[0]?.message, "no");
      assert.equal(from.destroyed, false);
    }
    const [from, to] = [open(new ListConn([new Error("broken")])), open(new ListConn())];
    const failed = once(from, "error");
    from.passTo(to);
    assert.equal((await failed as Error[])[0]?.message, "broken");
    assert.deepEqual([to.destroyed, to.writableEnded], [false, false]);
  });

  test("is not overtaken by what is written besides, such as before a connection is broken off", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const conn = new ListConn();
    conn.gate = promise;
    const [from, to] = [open(new ListConn(["one", "two"])), open(conn)];
    from.passTo(to);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const written = new Promise((resolve) => to.write("late", resolve));
    resolve();
    await written;
    assert.deepEqual(conn.written.indexOf("one"), 0);
    assert.ok(conn.written.indexOf("lat") > 0, String(conn.written));
  });
});

function failing(): ListConn {
  const conn = new ListConn();
  conn.write = () => Promise.reject(new Error("no"));
  return conn;
}

function failingStream(): ConnectionStream {
  const stream = new PassThrough({ write: (_chunk, _encoding, done) => done(new Error("no")) });
  return stream as unknown as ConnectionStream;
}
