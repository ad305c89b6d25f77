import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  encodeS32,
  encodeU32,
  WasmFormatError,
  WasmReader,
} from "../../../../lib/policy/wasm/wasm_reader.ts";

/** Numbers at the edges of LEB128's groups of seven bits, as the specification encodes them. */
const UNSIGNED: readonly (readonly [value: number, bytes: readonly number[]])[] = [
  [0, [0]],
  [63, [0x3f]],
  [64, [0x40]],
  [127, [0x7f]],
  [128, [0x80, 0x01]],
  [8192, [0x80, 0x40]],
  [16_384, [0x80, 0x80, 0x01]],
  [0xffff_ffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
];

/** The same with a sign, whose bit would be the highest of the last byte. */
const SIGNED: readonly (readonly [value: number, bytes: readonly number[]])[] = [
  [0, [0]],
  [63, [0x3f]],
  [64, [0xc0, 0x00]],
  [127, [0xff, 0x00]],
  [128, [0x80, 0x01]],
  [8191, [0xff, 0x3f]],
  [8192, [0x80, 0xc0, 0x00]],
];

const reader = (bytes: readonly number[]) => new WasmReader(new Uint8Array(bytes));

function fails(read: () => unknown, message: string): void {
  assert.throws(read, (error) => error instanceof WasmFormatError && error.message === message);
}

describe("integers of a WebAssembly module", () => {
  test("unsigned ones are written and read", () => {
    for (const [value, bytes] of UNSIGNED) {
      assert.deepEqual(encodeU32(value), bytes);
      assert.equal(reader(bytes).u32(), value);
    }
  });

  test("signed ones are written so that they stay positive", () => {
    for (const [value, bytes] of SIGNED) assert.deepEqual(encodeS32(value), bytes);
  });

  test("padding is allowed, more than 32 bits are not", () => {
    assert.equal(reader([0x85, 0x80, 0x80, 0x80, 0x00]).u32(), 5);
    fails(() => reader([0xff, 0xff, 0xff, 0xff, 0x1f]).u32(), "an integer is too long at byte 0");
    fails(() => reader([0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).u32(), "an integer is too long at byte 0");
  });

  test("as many bytes of an integer are passed over as it may have, and no more", () => {
    const padded = (length: number) => [...Array(length - 1).fill(0x80), 0x00];
    for (const length of [1, 2, 10]) {
      const integer = reader([...padded(length), 0x77]);
      integer.skipInteger(10);
      assert.equal(integer.byte(), 0x77);
    }
    fails(() => reader(padded(6)).skipInteger(5), "an integer is too long at byte 0");
    fails(() => reader(padded(11)).skipInteger(10), "an integer is too long at byte 0");
    fails(() => reader([0x80]).skipInteger(10), "it ends too early at byte 1");
  });
});

describe("a part of a WebAssembly module", () => {
  test("is not read past its end, though the module goes on", () => {
    const part = reader([2, 0xaa, 0xbb, 0xcc]).sized();
    part.skip(2);
    assert.equal(part.done, true);
    fails(() => part.byte(), "it ends too early at byte 3");
    fails(() => part.skip(1), "it ends too early at byte 3");
  });

  test("is not longer than what is left", () => {
    assert.deepEqual([...reader([3, 1, 2, 3]).sized().rest()], [1, 2, 3]);
    fails(() => reader([4, 1, 2, 3]).sized(), "it ends too early at byte 4");
  });
});
