import assert from "node:assert/strict";
import process from "node:process";
import { setImmediate } from "node:timers";
import { afterEach, beforeEach, describe, test } from "#test";
import { decryptStream, encryptStream, type EnvelopeStream } from "../../../lib/envelope/mod.ts";
import { chooseGcm } from "../../../lib/envelope/choose_gcm.ts";
import { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { collectUntilFailure, encrypt, pattern, streamOf } from "./streams.ts";

const FRAME = 1024;
/** Most turns between two of the test's own. */
const TURNS = 2;
/** Bytes that a short piece counts as. */
const LEAST_COST = 65_536;
const REASON = new Error("no longer wanted");
const LONG = new Uint8Array(12 * 1_048_576);
const message = await encrypt(pattern(100 * FRAME), { frameBytes: FRAME });

/** Either direction, over a KMS of its own, and something that it takes. */
interface Direction {
  readonly name: string;
  readonly input: Uint8Array;
  /** More of it: 12 MiB. */
  readonly long: Uint8Array;
  open(kms: FakeKms, signal?: AbortSignal): EnvelopeStream;
}

const DIRECTIONS: readonly Direction[] = [
  {
    name: "encryptStream()",
    input: pattern(100 * FRAME),
    long: LONG,
    open: (kms, signal) => encryptStream(kms, { keyId: KEY_ARN, frameBytes: FRAME, signal }),
  },
  {
    name: "decryptStream()",
    input: message,
    long: await encrypt(LONG, { frameBytes: FRAME }),
    open: (kms, signal) => decryptStream(kms, { keyId: KEY_ARN, signal }),
  },
];

for (const { name, input, long, open } of DIRECTIONS) {
  describe(`${name}, as a stream,`, () => {
    const dispose = MessageCipher.prototype[Symbol.dispose];
    let kms: FakeKms;
    let wiped = 0;

    beforeEach(() => {
      kms = new FakeKms();
      wiped = 0;
      MessageCipher.prototype[Symbol.dispose] = function () {
        wiped++;
        dispose.call(this);
      };
    });
    afterEach(() => {
      MessageCipher.prototype[Symbol.dispose] = dispose;
    });

    /** Expects that one key was used and wiped. */
    function expectWiped(): void {
      assert.deepEqual(kms.secrets.map(({ length }) => length), [0]);
      assert.equal(wiped, 1);
    }

    test("makes 2 MiB in a turn of the event loop, however much is there", async () => {
      // The turn of the test before may not be over: its end, and a whole turn after it, would count as one.
      await settle();
      let [bytes, isOver] = [0, false];
      const inTurn: number[] = [];
      const tick = () => {
        inTurn.push(bytes);
        bytes = 0;
        if (!isOver) setImmediate(tick);
      };
      setImmediate(tick);
      for await (const piece of streamOf(long).pipeThrough(open(kms))) bytes += piece.length;
      isOver = true;
      assert.ok(Math.max(...inTurn) <= TURNS * 9 * (chooseGcm().bytesAtOnce + LEAST_COST), `${inTurn}`);
      expectWiped();
    });

    test("makes few pieces in a turn of the event loop, however short they are", async () => {
      await settle();
      let [pieces, isOver] = [0, false];
      const inTurn: number[] = [];
      const tick = () => {
        inTurn.push(pieces);
        pieces = 0;
        if (!isOver) setImmediate(tick);
      };
      setImmediate(tick);
      const chunks = Array.from(
        { length: 100 },
        (_, index) => input.subarray(index * FRAME, (index + 1) * FRAME),
      );
      chunks.push(input.subarray(100 * FRAME));
      for await (const _ of streamOf(...chunks).pipeThrough(open(kms))) pieces++;
      isOver = true;
      assert.ok(Math.max(...inTurn) <= TURNS * 9 * chooseGcm().bytesAtOnce / LEAST_COST, `${inTurn}`);
      expectWiped();
    });

    test("wipes the message's key at the end", async () => {
      for await (const _ of streamOf(input).pipeThrough(open(kms)));
      expectWiped();
    });

    test("makes no piece that nobody asked for, however large the chunks", async () => {
      const read = source(input);
      const reader = read.stream.pipeThrough(open(kms)).getReader();
      for (let pieces = 1; pieces <= 5; pieces++) {
        await reader.read();
        await settle();
        // The chunk in hand, and one in each of the queues before it; each is as long as a frame.
        assert.ok(read.chunks() <= pieces + 4, `${read.chunks()} chunks read for ${pieces} pieces`);
      }
      await reader.cancel();
    });

    test("passes a cancellation on to the source, and wipes the key", async () => {
      const read = source(input);
      const reader = read.stream.pipeThrough(open(kms)).getReader();
      await reader.read();
      await reader.read();
      await reader.cancel(REASON);
      await settle();
      assert.equal(read.cancelledWith(), REASON);
      expectWiped();
    });

    test("can be cancelled while it waits for input, and wipes the key", async () => {
      const { readable, writable } = open(kms);
      const writer = writable.getWriter();
      void writer.write(input.subarray(0, 3 * FRAME)).catch(() => {});
      const reader = readable.getReader();
      await reader.read();
      const waiting = drain(reader);
      await settle();
      await reader.cancel(REASON);
      await waiting;
      await assert.rejects(writer.closed, REASON);
      expectWiped();
    });

    test("passes the source's failure on, and wipes the key though nobody reads", async () => {
      const { readable, writable } = open(kms);
      const writer = writable.getWriter();
      void writer.write(input.subarray(0, 3 * FRAME)).catch(() => {});
      const reader = readable.getReader();
      await reader.read();
      await writer.abort(REASON);
      await settle();
      await assert.rejects(reader.read(), REASON);
      await assert.rejects(reader.closed, REASON);
      expectWiped();
    });

    test("ends at both ends when the signal aborts", async () => {
      const controller = new AbortController();
      const read = source(input);
      const reader = read.stream.pipeThrough(open(kms, controller.signal)).getReader();
      await reader.read();
      controller.abort(REASON);
      await assert.rejects(reader.read(), REASON);
      await settle();
      assert.equal(read.cancelledWith(), REASON);
      assert.ok(wiped === 1 && kms.secrets.every(({ length }) => length === 0));
    });

    test("does nothing when the signal has aborted before", async () => {
      const { error } = await collectUntilFailure(
        streamOf(input).pipeThrough(open(kms, AbortSignal.abort(REASON))),
      );
      assert.equal(error, REASON);
      assert.equal(kms.requests.length, 0);
    });

    test("ends the call to KMS when it is cancelled, and wipes a key that comes too late", async () => {
      const late = Promise.withResolvers<void>();
      let signal: AbortSignal | undefined;
      const [generateDataKey, decrypt] = [kms.generateDataKey.bind(kms), kms.decrypt.bind(kms)];
      kms.generateDataKey = async (request) => {
        signal = request.signal;
        await late.promise;
        return await generateDataKey(request);
      };
      kms.decrypt = async (request) => {
        signal = request.signal;
        await late.promise;
        return await decrypt(request);
      };
      const reader = streamOf(input).pipeThrough(open(kms)).getReader();
      const reading = reader.read();
      await settle();
      const cancelling = reader.cancel(REASON);
      await reading;
      assert.equal(signal?.reason, REASON);
      late.resolve();
      await cancelling;
      assert.deepEqual(kms.secrets.map(({ length }) => length), [0]);
    });

    test("hands on what the client throws, and cancels the source", async () => {
      kms.generateDataKey = () => Promise.reject(REASON);
      kms.decrypt = () => Promise.reject(REASON);
      const read = source(input);
      const { error } = await collectUntilFailure(read.stream.pipeThrough(open(kms)));
      await settle();
      assert.equal(error, REASON);
      assert.equal(read.cancelledWith(), REASON);
    });
  });
}

describe("encryption and decryption together", () => {
  const gigabytes = 4;
  test.skipIf(process.env["SLOW"] !== "1")(
    `take ${gigabytes} GiB in memory that does not grow (SLOW=1)`,
    async () => {
      const chunk = pattern(1 << 18);
      const total = gigabytes * 2 ** 30;
      const input = ReadableStream.from((function* () {
        for (let offset = 0; offset < total; offset += chunk.length) yield chunk;
      })());
      const kms = new FakeKms();
      const output = input.pipeThrough(encryptStream(kms, { keyId: KEY_ARN }))
        .pipeThrough(decryptStream(kms, { keyId: KEY_ARN }));
      let length = 0;
      let atStart = 0;
      let most = 0;
      for await (const piece of output) {
        length += piece.length;
        if (length % 2 ** 26 !== 0) continue;
        const { rss } = process.memoryUsage();
        if (length === 2 ** 29) atStart = rss;
        most = Math.max(most, rss);
      }
      assert.equal(length, total);
      const grown = Math.round((most - atStart) / 2 ** 20);
      console.log(
        `${gigabytes} GiB: ${Math.round(most / 2 ** 20)} MiB at most, ${grown} more than after 512 MiB`,
      );
      assert.ok(grown < 128, `${grown} MiB more`);
    },
    600_000,
  );
});

/** Makes a source that gives a frame's length at a time, and counts. */
function source(input: Uint8Array) {
  let chunks = 0;
  let cancelledWith: unknown;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(input.subarray(chunks * FRAME, ++chunks * FRAME));
      if (chunks * FRAME >= input.length) controller.close();
    },
    cancel(reason) {
      cancelledWith = reason;
    },
  }, { highWaterMark: 0 });
  return { stream, chunks: () => chunks, cancelledWith: () => cancelledWith };
}

async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  while (!(await reader.read()).done);
}

/** Waits until the streams are at rest. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}
