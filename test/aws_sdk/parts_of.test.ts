import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "#test";
import { partsOf, readBody } from "../../aws_sdk/request_body.ts";

const BYTES = new Uint8Array([1, 2, 3]);

async function collect(body: unknown, declared?: number): Promise<number[][]> {
  const parts: number[][] = [];
  for await (const part of partsOf(readBody(body), declared)) parts.push([...part]);
  return parts;
}

const bodies: readonly (readonly [name: string, make: () => unknown, parts: number[][]])[] = [
  ["nothing", () => undefined, []],
  ["null", () => null, []],
  ["no text", () => "", []],
  ["text", () => "é", [[0xc3, 0xa9]]],
  ["bytes", () => BYTES, [[1, 2, 3]]],
  ["part of a buffer", () => new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4), [[1, 2, 3]]],
  ["a DataView", () => new DataView(BYTES.buffer, 1), [[2, 3]]],
  ["an ArrayBuffer", () => BYTES.buffer, [[1, 2, 3]]],
  ["a Blob", () => new Blob([BYTES]), [[1, 2, 3]]],
  ["a stream of Node.js", () => Readable.from([BYTES, BYTES]), [[1, 2, 3], [1, 2, 3]]],
  ["a web stream", () => ReadableStream.from([BYTES, "a"]), [[1, 2, 3], [97]]],
];

describe("readBody() and partsOf()", () => {
  for (const [name, make, parts] of bodies) {
    const length = parts.flat().length;
    test(`give the bytes of ${name}, with and without a declared length`, async () => {
      assert.deepEqual(await collect(make()), parts);
      assert.deepEqual(await collect(make(), length), parts);
    });

    test(`refuse ${name} of another length than declared`, async () => {
      const refusal = { name: "TypeError", message: /content-length/ };
      await assert.rejects(collect(make(), length + 1), refusal);
      if (length > 0) await assert.rejects(collect(make(), length - 1), refusal);
    });
  }

  test("give nothing of what is beyond the declared length", async () => {
    const given: number[] = [];
    const read = async () => {
      for await (const part of partsOf(readBody(Readable.from([BYTES, BYTES])), 5)) given.push(...part);
    };
    await assert.rejects(read(), { name: "TypeError", message: /content-length/ });
    assert.deepEqual(given, [1, 2, 3]);
  });

  test("give large bytes in parts of 64 KiB", async () => {
    const sizes = (await collect(new Uint8Array(150_000))).map(({ length }) => length);
    assert.deepEqual(sizes, [65_536, 65_536, 18_928]);
  });

  for (
    const [name, make, isOnce] of [
      ["a stream of Node.js", () => Readable.from([BYTES]), true],
      ["a web stream", () => ReadableStream.from([BYTES]), true],
      ["a generator", () =>
        (async function* () {
          await Promise.resolve();
          yield BYTES;
        })(), true],
      [
        "what can be read again",
        () => ({ [Symbol.asyncIterator]: () => Readable.from([BYTES]).iterator() }),
        false,
      ],
    ] as const
  ) {
    test(`give ${name} ${isOnce ? "once" : "as often as asked"}`, async () => {
      const body = make();
      assert.deepEqual(await collect(body), [[1, 2, 3]]);
      if (!isOnce) assert.deepEqual(await collect(body), [[1, 2, 3]]);
      else await assert.rejects(collect(body), { name: "TypeError", message: /cannot be sent twice/ });
    });
  }

  test("refuse what is no body, and chunks that are no bytes", async () => {
    for (const body of [1, true, {}, Symbol.iterator]) {
      assert.throws(() => readBody(body), { name: "TypeError", message: /^The body must be text/ });
    }
    await assert.rejects(collect(Readable.from([{ a: 1 }])), {
      name: "TypeError",
      message: /chunks must be text or Uint8Array/,
    });
  });
});
