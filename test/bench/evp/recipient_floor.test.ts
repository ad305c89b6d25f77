import assert from "node:assert/strict";
import { findSystemLibcrypto } from "../../../bench/evp/evp.ts";
import { evpPrimitives } from "../../../bench/evp/recipient_floor.ts";
import { nodePrimitives } from "../../../bench/paths/primitives.ts";
import { describe, test } from "#test";

const LENGTHS = [1, 15, 16, 32, 4096];
/** Deno takes the system's OpenSSL, and has no other. */
const isMissing = "Deno" in globalThis && findSystemLibcrypto() === undefined;

describe("the primitives of a floor", () => {
  for (const [name, make] of Object.entries({ "node:crypto": nodePrimitives, "EVP": evpPrimitives })) {
    const testIt = test.skipIf(name === "EVP" && isMissing);
    testIt(`open what they sealed, one by one and many at once, over ${name}`, async () => {
      const primitives = make();
      const plaintexts = LENGTHS.map((length) => crypto.getRandomValues(new Uint8Array(length)));
      const sealed = plaintexts.map((plaintext) => primitives.seal(plaintext));
      assert.deepEqual(sealed.map(({ content }) => content.length), [16, 16, 32, 48, 4112]);
      for (const [index, plaintext] of plaintexts.entries()) {
        assert.deepEqual(Uint8Array.from(await primitives.open(sealed[index]!)), plaintext);
      }
      const opened = await Promise.all(sealed.map((one) => primitives.open(one)));
      assert.deepEqual(opened.map((bytes) => Uint8Array.from(bytes)), plaintexts);
    });

    testIt(`refuse another key pair's, over ${name}`, async () => {
      const sealed = make().seal(new Uint8Array(32).fill(1));
      const other = make();
      await assert.rejects(async () => await other.open(sealed));
    });
  }
});
