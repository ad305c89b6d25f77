import assert from "node:assert/strict";
import { describe, test } from "#test";
import { encryptStream, type EnvelopeStream } from "../../../lib/envelope/mod.ts";
import { pullStream } from "../../../lib/envelope/pull_stream.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { collect, decrypt, decryption, encrypt, pattern, streamOf } from "./streams.ts";

const FRAME = 1024;
const PLAINTEXT = pattern(9 * FRAME + 100);
const message = await encrypt(PLAINTEXT, { frameBytes: FRAME });

const encryption = () => encryptStream(new FakeKms(), { keyId: KEY_ARN, frameBytes: FRAME });

type Memory = Uint8Array<ArrayBuffer>;

function memory(length: number, fill = 0xee): Memory {
  return new Uint8Array(new ArrayBuffer(length)).fill(fill);
}

function readerOf(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader {
  return stream.getReader({ mode: "byob" });
}

/** Reads to the end into one and the same memory, and copies what came. */
async function readInto(stream: ReadableStream<Uint8Array>, own: Memory): Promise<Uint8Array[]> {
  const reader = readerOf(stream);
  const pieces: Uint8Array[] = [];
  for (;;) {
    const { length } = own.buffer instanceof ArrayBuffer ? new Uint8Array(own.buffer) : own;
    const { value, done } = await reader.read(own);
    if (done) return pieces;
    assert.equal(value.buffer.byteLength, length);
    pieces.push(value.slice());
    own = new Uint8Array(value.buffer as ArrayBuffer);
  }
}

/** Has a read wait, and makes its piece once that is allowed. */
function gatedStream(make: (memory: Memory) => Memory, length: number) {
  const gate = Promise.withResolvers<void>();
  const { readable } = pullStream(async function* (_input, _signal, memory) {
    await gate.promise;
    yield make(memory.take(length));
  });
  return { readable, gate };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("a reader with memory of its own", () => {
  for (const length of [1, 100, FRAME, FRAME + 32, 3 * FRAME + 5, 64 * FRAME]) {
    test(`of ${length} bytes gets what others get`, async () => {
      const made = await readInto(streamOf(PLAINTEXT).pipeThrough(encryption()), memory(length));
      assert.deepEqual(await decrypt(await collect(streamOf(...made))), PLAINTEXT);
      const opened = await readInto(streamOf(message).pipeThrough(decryption()), memory(length));
      assert.deepEqual(await collect(streamOf(...opened)), PLAINTEXT);
      assert.ok(opened.every((piece) => piece.length <= length));
    });
  }

  test("gets several frames at once, as many as it has memory for", async () => {
    const opened = await readInto(streamOf(message).pipeThrough(decryption()), memory(3 * FRAME + 5));
    assert.deepEqual(opened.map((piece) => piece.length / FRAME), [3, 3, 3, 100 / FRAME]);
  });

  test("gets frames in its memory, and no copies of them", async () => {
    let taken: Memory | undefined;
    const { readable, gate } = gatedStream((piece) => taken = piece.fill(7), 100);
    gate.resolve();
    const { value } = await readerOf(readable).read(memory(1000));
    assert.deepEqual(value, new Uint8Array(100).fill(7));
    // What was written to is the reader's now, and nobody else's.
    assert.equal(taken?.length, 0);
  });

  test("may have memory that can be resized, and may ask for a least number of bytes", async () => {
    const resizable = new Uint8Array(new ArrayBuffer(2 * FRAME, { maxByteLength: 4 * FRAME }));
    const reader = readerOf(streamOf(message).pipeThrough(decryption()));
    assert.deepEqual((await reader.read(resizable)).value?.slice(), PLAINTEXT.slice(0, 2 * FRAME));
    const { value } = await reader.read(memory(2 * FRAME), { min: FRAME + 1 });
    assert.deepEqual(value, PLAINTEXT.slice(2 * FRAME, 4 * FRAME));
    await reader.cancel();
  });

  test("gets its memory back at the end", async () => {
    const reader = readerOf(streamOf(message).pipeThrough(decryption()));
    for (let length = 0; length < PLAINTEXT.length;) {
      length += (await reader.read(memory(64 * FRAME))).value?.length ?? 0;
    }
    const { value, done } = await reader.read(memory(50));
    assert.deepEqual([done, value?.length, value?.buffer.byteLength], [true, 0, 50]);
  });

  test("gets nothing of a frame that is not genuine", async () => {
    const torn = message.slice();
    torn[torn.length - 5 * FRAME]! ^= 1;
    const reader = readerOf(streamOf(torn).pipeThrough(decryption()));
    let length = 0;
    await assert.rejects(async () => {
      for (;;) length += (await reader.read(memory(64 * FRAME))).value?.length ?? 0;
    }, { code: "ERR_ENVELOPE_AUTHENTICATION" });
    assert.equal(length, 4 * FRAME);
  });

  test("leaves nothing behind when it has less memory than a piece, and cancels", async () => {
    const piece = pattern(100);
    const { readable } = pullStream(async function* () {
      yield await Promise.resolve(piece);
    });
    const reader = readerOf(readable);
    assert.deepEqual((await reader.read(memory(30))).value, pattern(30));
    assert.deepEqual(piece.slice(0, 30), new Uint8Array(30));
    assert.deepEqual(piece.slice(30), pattern(100).slice(30));
    await reader.cancel();
    assert.deepEqual(piece, new Uint8Array(100));
  });

  test("may leave the rest of a piece to another, without memory", async () => {
    const { readable } = pullStream(async function* () {
      yield await Promise.resolve(pattern(100));
      yield pattern(3);
    });
    const reader = readerOf(readable);
    await reader.read(memory(30));
    reader.releaseLock();
    assert.deepEqual(await Array.fromAsync(readable as EnvelopeStream["readable"]), [
      pattern(100).slice(30),
      pattern(3),
    ]);
  });

  test("ends the stream when it leaves while it waits, and what was made is wiped", async () => {
    let made: Memory | undefined;
    const { readable, gate } = gatedStream((piece) => made = piece.fill(7), 100);
    const reader = readerOf(readable);
    const reading = assert.rejects(reader.read(memory(1000)), TypeError);
    await settle();
    reader.releaseLock();
    await reading;
    gate.resolve();
    await settle();
    assert.deepEqual(made, memory(100, 0));
    await assert.rejects(readerOf(readable).read(memory(10)), /must not leave while its read waits/);
  });
});
