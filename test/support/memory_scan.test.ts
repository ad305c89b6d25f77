import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { describe, test } from "#test";
import { Search } from "./memory_scan.ts";

const NEEDLES = {
  long: new Uint8Array(randomBytes(40)),
  short: new Uint8Array(randomBytes(9)),
  same: new Uint8Array(12).fill(7),
};

/** Searches a piece at a time. */
function find(haystack: Uint8Array, piece: number): Record<keyof typeof NEEDLES, number> {
  const search = new Search(NEEDLES);
  for (let at = 0; at < haystack.length; at += piece) {
    search.take(haystack.subarray(at, at + piece + search.overlap), piece);
  }
  return search.counts;
}

describe("Search", () => {
  test("finds every needle at every place, to the first and the last byte", () => {
    for (const [name, needle] of Object.entries(NEEDLES)) {
      for (let at = 0; at <= 100 - needle.length; at++) {
        const haystack = new Uint8Array(100);
        haystack.set(needle, at);
        const expected = { long: 0, short: 0, same: 0, [name]: 1 };
        for (const piece of [1, 7, 8, 50, 100]) assert.deepEqual(find(haystack, piece), expected, `at ${at}`);
      }
    }
  });

  test("counts needles that overlap, once each", () => {
    assert.deepEqual(find(new Uint8Array(30).fill(7), 10), { long: 0, short: 0, same: 19 });
  });

  test("counts as Buffer.indexOf does", () => {
    const haystack = new Uint8Array(randomBytes(100_000));
    const needles = Object.values(NEEDLES);
    for (let index = 0; index < 1000; index++) haystack.set(needles[index % 3]!, 97 * index + index % 8);
    const buffer = Buffer.from(haystack);
    const expected = Object.entries(NEEDLES).map(([name, needle]) => {
      let count = 0;
      for (let at = buffer.indexOf(needle); at >= 0; at = buffer.indexOf(needle, at + 1)) count++;
      return [name, count] as const;
    });
    assert.ok(expected.every(([, count]) => count > 10), String(expected));
    for (const piece of [4096, 100_000]) {
      assert.deepEqual(find(haystack, piece), Object.fromEntries(expected));
    }
  });

  test("finds nothing where a byte differs", () => {
    for (let at = 0; at < NEEDLES.long.length; at++) {
      const haystack = new Uint8Array(100);
      haystack.set(NEEDLES.long, 20);
      haystack[20 + at]! ^= 1;
      assert.equal(find(haystack, 100).long, 0, `byte ${at}`);
    }
  });

  test("refuses needles too short for its steps", () => {
    assert.throws(() => new Search({ tiny: new Uint8Array(8) }), RangeError);
  });
});
