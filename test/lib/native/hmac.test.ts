import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, test } from "#test";
import type { HmacHash } from "../../../lib/core/hmac.ts";
import { hmac } from "../../../lib/native/hmac.ts";

const anyHash = fc.constantFrom<HmacHash>("sha256", "sha512");
const anyBytes = fc.uint8Array({ maxLength: 300 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>;

describe("hmac()", () => {
  test("gives what node:crypto's own gives, for no key and no data too", () => {
    const examples: [HmacHash, Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>][] = [
      // The second could see the key of the first.
      ["sha256", new Uint8Array(32).fill(7), new Uint8Array(3)],
      ["sha256", new Uint8Array(0), new Uint8Array(3)],
      ["sha512", new Uint8Array(0), new Uint8Array(0)],
    ];
    fc.assert(
      fc.property(anyHash, anyBytes, anyBytes, (hash, key, data) => {
        assert.deepEqual(Buffer.from(hmac(hash, key, data)), createHmac(hash, key).update(data).digest());
      }),
      { examples },
    );
  });

  test("leaves key and data as they were", () => {
    const [key, data] = [new Uint8Array(300).fill(7), new Uint8Array(20).fill(8)];
    hmac("sha512", key, data);
    assert.deepEqual([key, data], [new Uint8Array(300).fill(7), new Uint8Array(20).fill(8)]);
  });
});
