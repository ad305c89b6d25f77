import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { describe, test } from "#test";
import { hkdf, hmac, type HmacHash, type HmacInto } from "../../../lib/core/hmac.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const utf8 = (text: string) => new TextEncoder().encode(text);
const anyHash = fc.constantFrom<HmacHash>("sha256", "sha512");
/** Over and under the block of each hash. */
const anyKey = fc.uint8Array({ maxLength: 300 });

describe("hmac", () => {
  /** RFC 4231, test cases 1, 2 and 6: a short key, text, a key longer than a block. */
  const vectors = [
    {
      key: "0b".repeat(20),
      data: "Hi There",
      sha256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    },
    {
      key: Buffer.from("Jefe").toString("hex"),
      data: "what do ya want for nothing?",
      sha256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    },
    {
      key: "aa".repeat(131),
      data: "Test Using Larger Than Block-Size Key - Hash Key First",
      sha256: "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    },
  ];

  for (const { key, data, sha256 } of vectors) {
    test(`gives what RFC 4231 says for a key of ${key.length / 2} bytes`, () => {
      assert.deepEqual(hmac("sha256", hex(key), utf8(data)), hex(sha256));
    });
  }

  test("gives what node:crypto's own gives", () => {
    fc.assert(
      fc.property(anyHash, anyKey, fc.uint8Array({ maxLength: 500 }), (hash, key, data) => {
        assert.deepEqual(Buffer.from(hmac(hash, key, data)), createHmac(hash, key).update(data).digest());
      }),
    );
  });

  for (const length of [40, 300]) {
    test(`wipes all it makes of a key of ${length} bytes, and leaves the key as it was`, () => {
      const key = new Uint8Array(length).fill(7);
      const data = utf8("data");
      const before = hmac("sha512", key, data);
      const wiped: Uint8Array[] = [];
      {
        using _spy = spyOnFill((bytes) => wiped.push(bytes));
        assert.deepEqual(hmac("sha512", key, data), before);
      }
      const hashed = length > 128 ? [64] : [];
      assert.deepEqual(wiped.map((bytes) => bytes.length), [128 + 4, 128 + 64, 64, ...hashed]);
      assert.ok(wiped.every((bytes) => bytes.every((byte) => byte === 0)));
      assert.deepEqual([key, data], [new Uint8Array(length).fill(7), utf8("data")]);
    });
  }
});

describe("hkdf", () => {
  test("gives what RFC 5869 says", () => {
    const [secret, salt] = [hex("0b".repeat(22)), hex("000102030405060708090a0b0c")];
    const keys = hkdf("sha256", secret, salt, [hex("f0f1f2f3f4f5f6f7f8f9")], 32);
    assert.deepEqual(keys.map(({ bytes }) => bytes), [
      hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"),
    ]);
  });

  test("gives what node:crypto's own gives", () => {
    const length = fc.integer({ min: 1, max: 32 });
    fc.assert(
      fc.property(
        anyHash,
        anyKey,
        anyKey,
        fc.array(anyKey, { maxLength: 3 }),
        length,
        (hash, secret, salt, infos, bytes) => {
          const keys = hkdf(hash, secret, salt, infos, bytes).map((key) => Buffer.from(key.bytes));
          const expected = infos.map((info) => Buffer.from(hkdfSync(hash, secret, salt, info, bytes)));
          assert.deepEqual(keys, expected);
        },
      ),
    );
  });

  test("wipes the keys that it has made when a later one cannot be", () => {
    const [secret, salt] = [hex("0b".repeat(22)), hex("00")];
    const [key] = hkdf("sha256", secret, salt, [utf8("a")], 32);
    let calls = 0;
    const compute: HmacInto = (hash, key, data, target) => {
      if (++calls === 3) throw new Error("no memory");
      target.set(hmac(hash, key, data));
    };
    const wiped: string[] = [];
    {
      using _spy = spyOnFill((bytes) => wiped.push(Buffer.from(bytes).toString("hex")));
      assert.throws(() => hkdf("sha256", secret, salt, [utf8("a"), utf8("b")], 32, compute), /no memory/);
    }
    const made = Buffer.from(key!.bytes).toString("hex");
    assert.equal(wiped.filter((bytes) => bytes === made).length, 2, "what HMAC gave, and the key");
  });
});
