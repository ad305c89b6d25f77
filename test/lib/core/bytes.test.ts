import assert from "node:assert/strict";
import { describe, test } from "#test";
import { concatBytes, equalBytes, fromBase64, toHex } from "../../../lib/core/bytes.ts";

describe("concatBytes()", () => {
  test("joins parts of every kind in their order, in a buffer of their own", () => {
    const part = new Uint8Array([0, 1, 2, 3]).subarray(1, 3);
    const whole = concatBytes([part, [255], new Uint8Array(0), part]);
    assert.deepEqual([...whole], [1, 2, 255, 1, 2]);
    assert.equal(whole.buffer.byteLength, 5);
    part.fill(9);
    assert.deepEqual([...whole], [1, 2, 255, 1, 2]);
    assert.deepEqual(concatBytes([]), new Uint8Array(0));
  });
});

describe("equalBytes()", () => {
  test("compares length and every byte", () => {
    const of = (...bytes: readonly number[]) => Uint8Array.from(bytes);
    assert.equal(equalBytes(of(1, 2), of(1, 2)), true);
    for (const other of [of(1), of(1, 2, 3), of(0, 2), of(1, 0), of()]) {
      assert.equal(equalBytes(of(1, 2), other), false, String(other));
    }
  });
});

describe("toHex()", () => {
  test("writes two lowercase digits a byte", () => {
    assert.equal(toHex(Uint8Array.of(0, 10, 255)), "000aff");
    assert.equal(toHex(Uint8Array.of()), "");
  });
});

describe("fromBase64()", () => {
  test("reads canonical base64", () => {
    assert.deepEqual(fromBase64("AP8="), Uint8Array.of(0, 255));
    assert.deepEqual(fromBase64("+/+/"), Uint8Array.of(0xfb, 0xff, 0xbf));
    assert.deepEqual(fromBase64(""), new Uint8Array(0));
  });

  for (
    const text of [
      "AP8",
      "AP9=",
      "AP8= ",
      " AP8=",
      "AP\n8=",
      "-_-_",
      "AP8==",
      "A",
      "=",
      "AP8=AP8=",
      "ÄP8=",
      "\u{1f600}",
    ]
  ) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.equal(fromBase64(text), undefined));
  }
});
