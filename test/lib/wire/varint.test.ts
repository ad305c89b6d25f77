import assert from "node:assert/strict";
import { describe, test } from "#test";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import { encodeVarint, MessageReader } from "../../../lib/wire/varint.ts";

/** Examples of RFC 9000, appendix A.1. */
const EXAMPLES: readonly (readonly [hex: string, value: number])[] = [
  ["c2197c5eff14e88c", 151_288_809_941_952_652],
  ["9d7f3e7d", 494_878_333],
  ["7bbd", 15_293],
  ["25", 37],
  ["4025", 37],
];

describe("encodeVarint()", () => {
  test("takes the fewest bytes, at every border", () => {
    for (
      const [value, hex] of [
        [0, "00"],
        [63, "3f"],
        [64, "4040"],
        [16_383, "7fff"],
        [16_384, "80004000"],
        [2 ** 30 - 1, "bfffffff"],
        [2 ** 30, "c000000040000000"],
        [Number.MAX_SAFE_INTEGER, "c01fffffffffffff"],
      ] as const
    ) {
      assert.equal(encodeHex(encodeVarint(value)), hex);
      assert.equal(new MessageReader(encodeVarint(value)).varint(), value);
    }
  });

  test("refuses what is no such integer", () => {
    for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      assert.throws(() => encodeVarint(value), RangeError, String(value));
    }
  });
});

describe("MessageReader", () => {
  test("reads the examples of RFC 9000, and integers that are longer than they must be", () => {
    for (const [hex, value] of EXAMPLES) {
      assert.equal(new MessageReader(decodeHex(hex)).varint(), value, hex);
    }
  });

  test("reads to the end, and never past it", () => {
    const reader = new MessageReader(decodeHex("02616203"));
    assert.deepEqual([...reader.lengthAndBytes()], [0x61, 0x62]);
    assert.equal(reader.isAtEnd, false);
    assert.deepEqual([...reader.rest], [3]);
    assert.throws(() => reader.lengthAndBytes(), ProtocolError);
    for (const hex of ["", "40", "800000", "c0000000000000", "ffffffffffffffff00", "4001"]) {
      assert.throws(() => new MessageReader(decodeHex(hex)).lengthAndBytes(), ProtocolError, hex);
    }
  });
});
