import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, test } from "#test";
import { DisposedError } from "../../../lib/core/errors.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";

const CANARY = "canary-4711";

describe("SecretBytes", () => {
  test("dispose overwrites the bytes it owns", () => {
    const bytes = new TextEncoder().encode(CANARY);
    const secret = new SecretBytes(bytes);
    secret[Symbol.dispose]();
    assert.deepEqual(bytes, new Uint8Array(CANARY.length));
    assert.equal(secret.length, 0);
  });

  test("dispose twice is harmless, use after dispose throws", () => {
    const secret = SecretBytes.copyOf(new Uint8Array([1]));
    secret[Symbol.dispose]();
    secret[Symbol.dispose]();
    assert.throws(
      () => secret.bytes,
      (error) => error instanceof DisposedError && /SecretBytes/.test(error.message),
    );
  });

  test("copyOf() leaves the original alone", () => {
    const original = new Uint8Array([1, 2, 3]);
    SecretBytes.copyOf(original)[Symbol.dispose]();
    assert.deepEqual(original, new Uint8Array([1, 2, 3]));
  });

  test("copyOf() has the same bytes, in memory of their own", () => {
    const all = new Uint8Array([9, 1, 2, 3]);
    using secret = SecretBytes.copyOf(all.subarray(1));
    assert.deepEqual(secret.bytes, new Uint8Array([1, 2, 3]));
    assert.equal(secret.bytes.buffer.byteLength, 3);
    assert.equal(secret.length, 3);
  });

  test("prints as [redacted] wherever it is printed", () => {
    using secret = new SecretBytes(new TextEncoder().encode(CANARY));
    const holder = { deep: [secret] };
    const prints = [
      `${secret}`,
      String(secret),
      secret + "",
      JSON.stringify(holder),
      inspect(holder, { showHidden: true, depth: 9 }),
      inspect(secret),
      secret.toString(),
      // What each runtime's console.log shows, on either.
      shownBy(secret, "nodejs.util.inspect.custom"),
      shownBy(secret, "Deno.customInspect"),
    ];
    for (const print of prints) {
      assert.match(print, /\[redacted\]/);
      assert.doesNotMatch(print, /canary|99, 97, 110/);
    }
  });

  test("structuredClone carries nothing of it", () => {
    using secret = new SecretBytes(new TextEncoder().encode(CANARY));
    assert.deepEqual(Object.keys(structuredClone({ secret }).secret), []);
  });
});

function shownBy(secret: SecretBytes, hook: string): string {
  return (secret as unknown as Record<symbol, () => string>)[Symbol.for(hook)]!();
}
