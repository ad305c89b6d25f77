import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { checkoutWorks } from "../../../bench/envelope/checkout_works.ts";
import { ENVELOPE_WORKS, unitsOf } from "../../../bench/envelope/order.ts";
import { findSystemLibcrypto } from "../../../bench/evp/evp.ts";
import { envelopeFloor } from "../../../bench/evp/envelope_floor.ts";
import { describe, test } from "#test";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Deno takes the system's OpenSSL, and has no other. */
const isMissing = "Deno" in globalThis && findSystemLibcrypto() === undefined;

describe("works of streams and messages", () => {
  test("decrypt what they encrypted, of this checkout", async () => {
    const works = await checkoutWorks(ROOT);
    for (const work of ENVELOPE_WORKS) await works[work]();
  });

  test.skipIf(isMissing)("pass every check of OpenSSL, again and again, over bare EVP", () => {
    const works = envelopeFloor();
    for (const work of ENVELOPE_WORKS) {
      works[work]();
      works[work]();
    }
  });

  test("are counted in MB and in messages", () => {
    assert.deepEqual(ENVELOPE_WORKS.map(unitsOf), [...Array.from({ length: 4 }, () => 4.194304), 1, 1]);
  });
});
