import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ByteReader } from "../../../lib/envelope/byte_reader.ts";
import { framesAtOnce } from "../../../lib/envelope/frames.ts";
import { encryptStream } from "../../../lib/envelope/mod.ts";
import { pullStream } from "../../../lib/envelope/pull_stream.ts";
import { expectEnd } from "../../../lib/envelope/read_message.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { collect, decrypt, decryption, encrypt, pattern, streamOf } from "./streams.ts";

const FRAME = 1024;
const PLAINTEXT = pattern(20 * FRAME + 7);
const message = await encrypt(PLAINTEXT, { frameBytes: FRAME });

/** Copies bytes into memory that can be resized, and views all of it, whatever its length. */
function resizable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length, { maxByteLength: bytes.length }));
  copy.set(bytes);
  return copy;
}

async function restOf(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  while (!(await reader.read()).done);
}

describe("chunks that are written", () => {
  const directions = [
    [
      "encryptStream()",
      PLAINTEXT,
      encryptStream(new FakeKms(), { keyId: KEY_ARN, frameBytes: FRAME }),
      decrypt,
    ],
    ["decryptStream()", message, decryption(), (plaintext: Uint8Array) => Promise.resolve(plaintext)],
  ] as const;
  for (const [name, input, stream, plaintextOf] of directions) {
    test(`to ${name} may be overwritten once their write has ended`, async () => {
      const output = collect(stream.readable);
      const writer = stream.writable.getWriter();
      for (let offset = 0; offset < input.length; offset += 2500) {
        const chunk = input.slice(offset, offset + 2500);
        await writer.write(chunk);
        chunk.fill(0xee);
      }
      await writer.close();
      assert.deepEqual(await plaintextOf(await output), PLAINTEXT);
    });
  }

  const CHANGED = { name: "TypeError", message: /^A chunk must keep its memory until its write has ended/ };

  test("are missed when they were transferred before it was their turn", async () => {
    const { readable, writable } = encryptStream(new FakeKms(), { keyId: KEY_ARN, frameBytes: FRAME });
    const writer = writable.getWriter();
    const second = resizable(PLAINTEXT);
    const writes = Promise.allSettled([
      writer.write(PLAINTEXT.slice()),
      writer.write(second),
      writer.close(),
    ]);
    const reader = readable.getReader();
    await reader.read();
    second.buffer.transfer();
    await assert.rejects(restOf(reader), CHANGED);
    await writes;
  });

  for (
    const [what, lose] of [
      ["was transferred", (chunk: Uint8Array<ArrayBuffer>) => void chunk.buffer.transfer()],
      ["became shorter", (chunk: Uint8Array<ArrayBuffer>) => chunk.buffer.resize(10)],
    ] as const
  ) {
    test(`are missed when one ${what} before all of it was read`, async () => {
      const { readable, writable } = encryptStream(new FakeKms(), { keyId: KEY_ARN, frameBytes: FRAME });
      const writer = writable.getWriter();
      const chunk = resizable(pattern(1_000_000));
      const writes = Promise.allSettled([writer.write(chunk), writer.close()]);
      const reader = readable.getReader();
      // The header, and some of the frames.
      await reader.read();
      await reader.read();
      lose(chunk);
      await assert.rejects(restOf(reader), CHANGED);
      await writes;
    });
  }

  test("may be memory of several threads", async () => {
    const shared = (bytes: Uint8Array) => {
      const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
      copy.set(bytes);
      return copy;
    };
    const encryption = encryptStream(new FakeKms(), { keyId: KEY_ARN, frameBytes: FRAME });
    const made = await collect(streamOf(shared(PLAINTEXT)).pipeThrough(encryption));
    assert.deepEqual(await collect(streamOf(shared(made)).pipeThrough(decryption())), PLAINTEXT);
  });
});

describe("pieces that are read", () => {
  test("have several frames when those are there, and are the reader's own", async () => {
    const pieces = await Array.fromAsync(streamOf(message).pipeThrough(decryption()));
    assert.ok(pieces.length < 20, `${pieces.length} pieces`);
    assert.equal(new Set(pieces.map(({ buffer }) => buffer)).size, pieces.length);
  });

  test("end before the frame that is not genuine, and have nothing of it", async () => {
    const torn = message.slice();
    torn[torn.length - 5 * FRAME]! ^= 1;
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const reader = streamOf(torn).pipeThrough(decryption()).getReader();
    await assert.rejects(async () => {
      for (;;) pieces.push((await reader.read()).value as Uint8Array<ArrayBuffer>);
    }, { code: "ERR_ENVELOPE_AUTHENTICATION" });
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    assert.ok(length >= 10 * FRAME && length % FRAME === 0, `${length} bytes`);
    assert.deepEqual(await collect(streamOf(...pieces)), PLAINTEXT.slice(0, length));
    for (const { buffer, byteLength } of pieces) {
      assert.ok(new Uint8Array(buffer, byteLength).every((byte) => byte === 0));
    }
  });

  test("have so many frames that others get their turn, however short those are", () => {
    assert.equal(framesAtOnce(262_144, 65_536), 4);
    for (const frameBytes of [1, 4096]) assert.equal(framesAtOnce(262_144, frameBytes), 64);
    assert.equal(framesAtOnce(65_536, 1_048_576), 1);
  });

  test("are wiped when nobody is there to take them", async () => {
    const piece = pattern(100);
    const gate = Promise.withResolvers<void>();
    let ended = false;
    const { readable } = pullStream(async function* () {
      await gate.promise;
      try {
        yield piece;
      } finally {
        ended = true;
      }
    });
    const reader = readable.getReader();
    const reading = reader.read();
    await new Promise((resolve) => setTimeout(resolve, 0));
    const cancelling = reader.cancel();
    gate.resolve();
    await cancelling;
    assert.equal((await reading).done, true);
    assert.ok(ended);
    assert.deepEqual(piece, new Uint8Array(100));
  });

  /** Has a piece made whose reader has left. */
  async function pieceWithoutReader() {
    const piece = pattern(100);
    const [gate, made] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { readable } = pullStream(async function* () {
      await gate.promise;
      made.resolve();
      yield piece;
      yield pattern(3);
    });
    const reader = readable.getReader();
    const reading = assert.rejects(reader.read(), TypeError);
    await new Promise((resolve) => setTimeout(resolve, 0));
    reader.releaseLock();
    await reading;
    gate.resolve();
    await made.promise;
    await new Promise((resolve) => setTimeout(resolve, 0));
    return { piece, readable };
  }

  test("are the next reader's when theirs has left", async () => {
    const { readable } = await pieceWithoutReader();
    assert.deepEqual(await Array.fromAsync(readable), [pattern(100), pattern(3)]);
  });

  test("are wiped when theirs has left and the stream is cancelled, by the next reader or without one", async () => {
    for (const isRead of [true, false]) {
      const { piece, readable } = await pieceWithoutReader();
      assert.deepEqual(piece, pattern(100));
      await (isRead ? readable.getReader() : readable).cancel();
      assert.deepEqual(piece, new Uint8Array(100));
    }
  });

  test("are wiped when something follows the last, or the input fails there", async () => {
    const reason = new Error("broken");
    const endings: [read: () => Promise<Uint8Array | undefined>, expected: object][] = [
      [() => Promise.resolve(Uint8Array.of(0)), { code: "ERR_ENVELOPE_TRAILING" }],
      [() => Promise.reject(reason), reason],
    ];
    for (const [read, expected] of endings) {
      const last = pattern(100);
      const input = new ByteReader({ read }, new AbortController().signal);
      await assert.rejects(expectEnd(undefined, input, last), expected);
      assert.deepEqual(last, new Uint8Array(100));
    }
    const last = pattern(100);
    await expectEnd(
      undefined,
      new ByteReader({ read: () => Promise.resolve(undefined) }, new AbortController().signal),
      last,
    );
    assert.deepEqual(last, pattern(100));
  });
});
