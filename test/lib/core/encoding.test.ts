import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, test } from "#test";
import { decodeBase64, decodeHex, encodeBase64, encodeHex } from "../../../lib/core/encoding.ts";

const bytes = fc.uint8Array({ maxLength: 300 });

describe("encodeBase64() and decodeBase64()", () => {
  test("agree with Buffer, and with each other", () => {
    fc.assert(fc.property(bytes, (data) => {
      const text = encodeBase64(data);
      assert.equal(text, Buffer.from(data).toString("base64"));
      assert.deepEqual(decodeBase64(text), new Uint8Array(data));
    }));
  });

  test("encode only the part a view shows", () => {
    assert.equal(encodeBase64(new Uint8Array([9, 1, 2, 9]).subarray(1, 3)), "AQI=");
  });

  test("accept a text only if it is the one encodeBase64() writes", () => {
    const near = fc.string({ unit: fc.constantFrom(..."AQgwEZz09+/-_= \n\0é"), maxLength: 12 });
    fc.assert(
      fc.property(near, (text) => {
        const canonical = Buffer.from(text, "base64").toString("base64") === text;
        if (canonical) assert.equal(encodeBase64(decodeBase64(text)), text);
        else assert.throws(() => decodeBase64(text), TypeError);
      }),
      { numRuns: 2000 },
    );
  });

  for (
    const text of ["A", "AA", "AAA", "A===", "====", "=AAA", "AB==", "AAB=", "AA=A", " AAA", "AAA\n", "-_AA"]
  ) {
    test(`refuse ${JSON.stringify(text)}`, () => {
      assert.throws(() => decodeBase64(text, { field: "ciphertext" }), {
        name: "TypeError",
        message: "Cannot decode ciphertext: not canonical base64",
      });
    });
  }

  test("refuse what is no string, and name what it is not", () => {
    for (const text of [undefined, null, 7, ["AAAA"], { length: 4 }]) {
      assert.throws(() => decodeBase64(text as unknown as string), {
        name: "TypeError",
        message: "Cannot decode text: not canonical base64",
      });
    }
  });

  test("decode into the caller's buffer and return the filled part", () => {
    const into = new Uint8Array(5);
    const part = decodeBase64("AQID", { into });
    assert.deepEqual(part, new Uint8Array([1, 2, 3]));
    assert.equal(part.buffer, into.buffer);
    assert.deepEqual(into, new Uint8Array([1, 2, 3, 0, 0]));
    assert.throws(() => decodeBase64("AQID", { field: "key", into: new Uint8Array(2) }), {
      name: "RangeError",
      message: "Cannot decode key: 3 bytes do not fit into 2",
    });
  });

  test("give memory of its own, not a part of the Buffer pool", () => {
    assert.equal(decodeBase64("AQID").buffer.byteLength, 3);
    assert.equal(decodeHex("0102").buffer.byteLength, 2);
  });
});

describe("encodeHex() and decodeHex()", () => {
  test("agree with Buffer, and with each other in both cases", () => {
    fc.assert(fc.property(bytes, (data) => {
      const text = encodeHex(data);
      assert.equal(text, Buffer.from(data).toString("hex"));
      assert.deepEqual(decodeHex(text), new Uint8Array(data));
      assert.deepEqual(decodeHex(text.toUpperCase()), new Uint8Array(data));
    }));
  });

  for (const text of ["0", "0g", "0x00", " 00", "00\n", "é0"]) {
    test(`refuse ${JSON.stringify(text)}`, () => {
      assert.throws(() => decodeHex(text), { name: "TypeError", message: "Cannot decode text: not hex" });
    });
  }

  test("refuse what is no string", () => {
    for (const text of [undefined, null, 7, ["00"], { length: 2 }]) {
      assert.throws(() => decodeHex(text as unknown as string), {
        name: "TypeError",
        message: "Cannot decode text: not hex",
      });
    }
  });

  test("decode into the caller's buffer", () => {
    const into = new Uint8Array(2);
    decodeHex("ff01", { into });
    assert.deepEqual(into, new Uint8Array([255, 1]));
    assert.throws(() => decodeHex("ff01", { into: new Uint8Array(1) }), {
      name: "RangeError",
      message: "Cannot decode text: 2 bytes do not fit into 1",
    });
  });
});
