import assert from "node:assert/strict";
import { describe, test } from "#test";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { encodeSecretShare, parseSecretShares, SECRET_SHARE_MAGIC } from "../../../lib/wire/secret_shares.ts";

const SPLIT = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const FIRST = { splitId: SPLIT, threshold: 2, share: Uint8Array.of(10, 11, 1) };
const SECOND = { splitId: SPLIT, threshold: 2, share: Uint8Array.of(20, 21, 2) };

describe("a file of shares", () => {
  test("is magic, id, threshold, length and share", () => {
    const expected = [0x89, 0x45, 0x4b, 0x50, ...SPLIT, 2, 0, 3, 10, 11, 1];
    assert.deepEqual([...encodeSecretShare(FIRST)], expected);
  });

  test("is read as it was written, one share or several that were joined", () => {
    const one = parseSecretShares(encodeSecretShare(FIRST));
    assert.deepEqual(one.map(({ share }) => [...share]), [[10, 11, 1]]);
    const two = parseSecretShares(concatBytes([encodeSecretShare(FIRST), encodeSecretShare(SECOND)]));
    assert.deepEqual(two.map(({ share, threshold }) => [threshold, ...share]), [[2, 10, 11, 1], [
      2,
      20,
      21,
      2,
    ]]);
    assert.deepEqual([...two[1]!.splitId], [...SPLIT]);
  });

  test("has one form: every other is refused", () => {
    const whole = concatBytes([encodeSecretShare(FIRST), encodeSecretShare(SECOND)]);
    const oneLength = whole.length / 2;
    for (let length = 0; length < whole.length; length++) {
      if (length === oneLength) continue;
      assert.throws(
        () => parseSecretShares(whole.subarray(0, length)),
        { code: "ERR_SECRET_FRAME" },
        String(length),
      );
    }
    const change = (at: number, byte: number) => whole.map((old, i) => i === at ? byte : old);
    for (
      const bytes of [
        concatBytes([whole, [0]]),
        concatBytes([whole, [0x0a]]),
        ...[0, 1, 2, 3].map((at) => change(at, 0)),
        ...[change(12, 0), change(12, 1), change(13, 0xff), change(14, 1), change(14, 4)],
        concatBytes(Array.from({ length: 256 }, () => encodeSecretShare(FIRST))),
        SECRET_SHARE_MAGIC,
      ]
    ) assert.throws(() => parseSecretShares(bytes), { code: "ERR_SECRET_FRAME" });
  });

  test("cannot be written of what is no share", () => {
    assert.throws(() => encodeSecretShare({ ...FIRST, splitId: new Uint8Array(7) }), TypeError);
    for (const threshold of [0, 1, 256]) {
      assert.throws(() => encodeSecretShare({ ...FIRST, threshold }), RangeError);
    }
    for (const length of [0, 1, 0x10000]) {
      assert.throws(() => encodeSecretShare({ ...FIRST, share: new Uint8Array(length) }), RangeError);
    }
  });
});
