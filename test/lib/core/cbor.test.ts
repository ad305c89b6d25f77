import assert from "node:assert/strict";
import { decode, encode } from "cbor2";
import fc from "fast-check";
import { describe, test } from "#test";
import { type CborItem, MAX_CBOR_HEIGHT, readCbor } from "../../../lib/core/cbor.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";

/** RFC 8949, appendix F: what is not well-formed, and why. */
const NOT_WELL_FORMED: Readonly<Record<string, string>> = {
  "the end of input in a head":
    "18,19,1a,1b,1901,1a0102,1b01020304050607,38,58,78,98,9a01ff00,b8,d8,f8,f900," +
    "fa0000,fb000000",
  "strings that are too short":
    "41,61,5affffffff00,5bffffffffffffffff010203,7affffffff00,7b7fffffffffffffff010203",
  "maps and arrays that are not closed": "81,818181818181818181,8200,a1,a20102,a100,a2000000",
  "a tag without content": "c0",
  "strings of open length that are not closed": "5f4100,7f6100",
  "maps and arrays of open length that are not closed": "9f,9f0102,bf,bf01020102,819f,9f8000," +
    "9f9f9f9f9fffffffff,9f819f819f9fffffff",
  "reserved values": "1c,1d,1e,3c,3d,3e,5c,5d,5e,7c,7d,7e,9c,9d,9e,bc,bd,be,dc,dd,de,fc,fd,fe",
  "reserved simple values in two bytes": "f800,f801,f818,f81f",
  "chunks of another type": "5f00ff,5f21ff,5f6100ff,5f80ff,5fa0ff,5fc000ff,5fe0ff,7f4100ff",
  "chunks of open length": "5f5f4100ffff,7f7f6100ffff",
  "a break alone": "ff",
  "a break in what has a length": "81ff,8200ff,a1ff,a1ff00,a100ff,a20000ff,9f81ff,9f829f819f9fffffffff",
  "a break instead of a value": "bf00ff,bf000000ff",
  "an open length where none can be": "1f,3f,df",
};

/** RFC 8949, appendix A: examples of every kind. */
const WELL_FORMED =
  "00,17,1818,1903e8,1bffffffffffffffff,c249010000000000000000,20,3bffffffffffffffff,f90000,f97e00,fa47c35000," +
  "fb7e37e43c8800759c,fb7ff8000000000000,f4,f5,f6,f7,f0,f820,f8ff,c074323031332d30332d32315432303a30343a30305a," +
  "c1fb41d452d9e2000000,d818456449455446,40,4401020304,60,6161,62c3bc,80,83010203,8301820203820405,a0,a201020304," +
  "a26161016162820203,5f42010243030405ff,7f657374726561646d696e67ff,9fff,9f018202039f0405ffff,83018202039f0405ff," +
  "bf61610161629f0203ffff,826161bf61626163ff,bf6346756ef563416d7421ff";

describe("readCbor()", () => {
  for (const [what, list] of Object.entries(NOT_WELL_FORMED)) {
    test(`refuses ${what}`, () => {
      for (const hex of list.split(",")) assert.equal(readCbor(decodeHex(hex)), undefined, hex);
    });
  }

  test("reads the examples of RFC 8949, and refuses each cut short or with a byte behind it", () => {
    for (const hex of WELL_FORMED.split(",")) {
      const bytes = decodeHex(hex);
      assert.equal(readCbor(bytes)?.encoded.length, bytes.length, hex);
      assert.equal(readCbor(Uint8Array.of(...bytes, 0)), undefined, hex);
      for (let end = 0; end < bytes.length; end++) {
        assert.equal(readCbor(bytes.slice(0, end)), undefined, `${hex} up to ${end}`);
      }
    }
  });

  test("says what an item is, and how it was written", () => {
    const of = (hex: string) => {
      const { type, argument, isShortest, isIndefinite, height, items } = read(hex);
      return [type, argument, isShortest, isIndefinite, height, items.length];
    };
    assert.deepEqual(of("17"), ["unsigned", 23, true, false, 0, 0]);
    assert.deepEqual(of("1817"), ["unsigned", 23, false, false, 0, 0]);
    assert.deepEqual(of("1818"), ["unsigned", 24, true, false, 0, 0]);
    assert.deepEqual(of("1900ff"), ["unsigned", 255, false, false, 0, 0]);
    assert.deepEqual(of("190100"), ["unsigned", 256, true, false, 0, 0]);
    assert.deepEqual(of("1a0000ffff"), ["unsigned", 65_535, false, false, 0, 0]);
    assert.deepEqual(of("1a00010000"), ["unsigned", 65_536, true, false, 0, 0]);
    assert.deepEqual(of("1b00000000ffffffff"), ["unsigned", 4_294_967_295, false, false, 0, 0]);
    assert.deepEqual(of("1b0000000100000000"), ["unsigned", 4_294_967_296, true, false, 0, 0]);
    assert.deepEqual(of("38ff"), ["negative", 255, true, false, 0, 0]);
    assert.deepEqual(of("5801aa"), ["bytes", 1, false, false, 0, 0]);
    assert.deepEqual(of("5f41aa40ff"), ["bytes", 0, true, true, 0, 2]);
    assert.deepEqual(of("7fff"), ["text", 0, true, true, 0, 0]);
    assert.deepEqual(of("820102"), ["array", 2, true, false, 1, 2]);
    assert.deepEqual(of("9f8101ff"), ["array", 0, true, true, 2, 1]);
    assert.deepEqual(of("b80101a102f6"), ["map", 1, false, false, 2, 2]);
    assert.deepEqual(of("bf0102ff"), ["map", 0, true, true, 1, 2]);
    assert.deepEqual(of("d28100"), ["tag", 18, true, false, 2, 1]);
    assert.deepEqual(of("f6"), ["simple", 22, true, false, 0, 0]);
    assert.deepEqual(of("f97e00"), ["float", 0, true, false, 0, 0]);
  });

  test("gives the bytes of an item, and those behind its head", () => {
    const [, text] = read("8201626f6b").items;
    assert.equal(encodeHex(text?.encoded ?? new Uint8Array()), "626f6b");
    assert.equal(encodeHex(text?.content ?? new Uint8Array()), "6f6b");
  });

  test("reads to a depth of 64, and chunks without end", () => {
    assert.equal(MAX_CBOR_HEIGHT, 64);
    for (const [opening, ending] of [["81", ""], ["c1", ""], ["a100", ""], ["9f", "ff"], ["bf00", "ff"]]) {
      const nested = (depth: number) => `${opening!.repeat(depth)}00${ending!.repeat(depth)}`;
      assert.equal(read(nested(64)).height, 64);
      assert.equal(readCbor(decodeHex(nested(65))), undefined);
    }
    assert.equal(readCbor(decodeHex("5f".repeat(8000))), undefined);
    assert.equal(read(`5f${"40".repeat(8000)}ff`).items.length, 8000);
  });

  test("agrees with the RFC's own algorithm on anything, and reads what cbor2 reads", () => {
    const agree = (bytes: Uint8Array<ArrayBuffer>) => {
      const item = readCbor(bytes);
      assert.equal(item !== undefined, isWellFormed(bytes), encodeHex(bytes));
      if (isReadByCbor2(bytes)) assert.ok(item, `cbor2 reads ${encodeHex(bytes)}`);
    };
    const words = fc.constantFrom(...`${WELL_FORMED},5f,7f,9f,bf,ff,81,a1,c1,18,58`.split(","));
    const hex = fc.array(words, { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(hex, (text) => agree(decodeHex(text))),
      { numRuns: 3000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => agree(new Uint8Array(bytes))), {
      numRuns: 3000,
    });
    fc.assert(fc.property(fc.jsonValue(), (value) => agree(new Uint8Array(encode(value)))));
  });
});

function read(hex: string): CborItem {
  const item = readCbor(decodeHex(hex));
  assert.ok(item, hex);
  return item;
}

function isReadByCbor2(bytes: Uint8Array<ArrayBuffer>): boolean {
  try {
    decode(bytes, { preferMap: true, ignoreGlobalTags: true, maxDepth: MAX_CBOR_HEIGHT });
    return true;
  } catch {
    return false;
  }
}

/**
 * RFC 8949, appendix C, in TypeScript: pseudocode of another author, without our reader's notion of items.
 */
function isWellFormed(bytes: Uint8Array): boolean {
  let at = 0;
  const fail = (): never => {
    throw new RangeError("not well-formed");
  };
  const take = (count: number) => {
    if (count > bytes.length - at) fail();
    at += count;
    return bytes.subarray(at - count, at);
  };
  const wellFormed = (breakable: boolean): number => {
    const [head = 0] = take(1);
    const [major, info] = [head >> 5, head & 0x1f];
    let value = BigInt(info);
    if (info >= 24 && info <= 27) value = BigInt(`0x${encodeHex(take(1 << (info - 24)))}`);
    if (info >= 28 && info <= 30) fail();
    if (info === 31) return indefinite(major, breakable);
    if (major === 2 || major === 3) take(value > 0xffffffffn ? Infinity : Number(value));
    for (let i = 0n; major === 4 && i < value; i++) wellFormed(false);
    for (let i = 0n; major === 5 && i < value * 2n; i++) wellFormed(false);
    if (major === 6) wellFormed(false);
    if (major === 7 && info === 24 && value < 32n) fail();
    return major;
  };
  const indefinite = (major: number, breakable: boolean): number => {
    if (major === 2 || major === 3) {
      for (let chunk = wellFormed(true); chunk !== -1; chunk = wellFormed(true)) {
        if (chunk !== major) fail();
      }
    } else if (major === 4) {
      while (wellFormed(true) !== -1);
    } else if (major === 5) {
      while (wellFormed(true) !== -1) wellFormed(false);
    } else if (major === 7 && breakable) {
      return -1;
    } else {
      fail();
    }
    return 99;
  };
  try {
    wellFormed(false);
    return at === bytes.length;
  } catch {
    return false;
  }
}
