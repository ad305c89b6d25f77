import assert from "node:assert/strict";
import { cdeEncodeOptions, encode } from "cbor2";
import { describe, test } from "#test";
import { toHex } from "../../../lib/core/bytes.ts";
import { readCbor } from "../../../lib/core/cbor.ts";
import { type CborValue, encodeCbor } from "../../../lib/core/encode_cbor.ts";

/** Numbers around each change in the length of a head. */
const EDGES = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 0xffffffff, 0x100000000, Number.MAX_SAFE_INTEGER];

const VALUES: Readonly<Record<string, CborValue>> = {
  "integers": [
    ...EDGES,
    ...EDGES.map((number) => -number - 1).filter(Number.isSafeInteger),
    Number.MIN_SAFE_INTEGER,
  ],
  "texts of every length": EDGES.slice(0, 8).map((length) => "x".repeat(length)),
  "text beyond ASCII": ["ü", "水", "😀", ""],
  "bytes of every length": EDGES.slice(0, 8).map((length) => new Uint8Array(length).fill(7)),
  "lists of every length": EDGES.slice(0, 8).map((length) => new Array<number>(length).fill(1)),
  "nothing": [null, new Map([["a", null]])],
  "an empty map": new Map(),
  "a map out of order": new Map<string | number, CborValue>([
    ["b", 1],
    ["aa", 2],
    ["a", 3],
    [10, 4],
    [-1, 5],
    [100, 6],
    ["z".repeat(24), 7],
    ["", new Map<string, CborValue>([["y", 1], ["x", [new Map([["b", 1], ["a", 2]])]]])],
    ["ü", 8],
  ]),
  "a map of many": new Map(Array.from({ length: 300 }, (_, i) => [`key ${299 - i}`, i])),
};

describe("encodeCbor()", () => {
  for (const [name, value] of Object.entries(VALUES)) {
    test(`writes ${name} as cbor2 does in its deterministic form`, () => {
      const bytes = encodeCbor(value);
      // cbor2 writes a Buffer otherwise, and negative zero is none of ours.
      assert.equal(toHex(bytes), toHex(encode(value, cdeEncodeOptions)));
      assert.equal(readCbor(bytes)?.isShortest, true);
    });
  }

  test("writes a Buffer as the bytes it is", () => {
    assert.equal(toHex(encodeCbor(new Uint8Array(Uint8Array.of(1, 2, 3).buffer, 1))), "420203");
  });

  test("writes maps in their own order when asked, and those inside", () => {
    const value = new Map<string, CborValue>([["b", 1], ["a", [new Map([["d", 1], ["c", 2]])]]]);
    assert.equal(toHex(encodeCbor(value, "given")), toHex(encode(value)));
    assert.notEqual(toHex(encodeCbor(value, "given")), toHex(encodeCbor(value)));
  });

  test("refuses numbers that are no safe integers", () => {
    for (const number of [0.5, NaN, Infinity, 2 ** 53, -(2 ** 53)]) {
      assert.throws(() => encodeCbor([number]), /^TypeError: Cannot encode: expected a safe integer$/);
    }
  });
});
