import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { GrowingBytes } from "../../../lib/core/growing_bytes.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";

describe("GrowingBytes", () => {
  test("holds what was put in, in any pieces, up to its limit", () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 20 });
    fc.assert(fc.property(pieces, fc.integer({ min: 0, max: 30_000 }), (chunks, max) => {
      using bytes = new GrowingBytes(max);
      const taken: number[] = [];
      for (const chunk of chunks) {
        const fits = taken.length + chunk.length <= max;
        assert.equal(bytes.push(chunk), fits);
        if (fits) taken.push(...chunk);
      }
      assert.deepEqual([...bytes.copy()], taken);
    }));
  });

  test("wipes what it outgrew, and all of it in the end", () => {
    const wiped: string[] = [];
    {
      using _spy = spyOnFill((memory) => wiped.push(new TextDecoder().decode(memory.subarray(0, 6))));
      using bytes = new GrowingBytes(1 << 20);
      bytes.push(new TextEncoder().encode("secret"));
      bytes.push(new Uint8Array(5000));
    }
    assert.deepEqual(wiped, ["secret", "secret"]);
  });
});
