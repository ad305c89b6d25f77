import assert from "node:assert/strict";
import { describe, test } from "#test";
import { LaunchError } from "../../../lib/core/errors.ts";
import { chooseMemoryMib, neededMemoryMib } from "../../../parent/nitro/enclave_memory.ts";

const MIB = 1 << 20;

describe("chooseMemoryMib()", () => {
  test("needs four times the image in whole MiB, as nitro-cli counts", () => {
    for (const [bytes, needed] of [[1, 4], [MIB, 4], [MIB + 1, 8], [300 * MIB, 1200]] as const) {
      assert.equal(neededMemoryMib(bytes), needed);
    }
  });

  test("takes by default what is needed, rounded up to 64, and at least 512", () => {
    for (
      const [bytes, chosen] of [[1, 512], [128 * MIB, 512], [128 * MIB + 1, 576], [160 * MIB, 640]] as const
    ) {
      assert.equal(chooseMemoryMib(bytes, undefined), chosen);
    }
  });

  test("takes what is wanted when it is enough, even below the default", () => {
    assert.equal(chooseMemoryMib(10 * MIB, 40), 40);
    assert.throws(
      () => chooseMemoryMib(10 * MIB, 39),
      (error) => error instanceof LaunchError && error.nitroCode === "E26" && /needs 40$/.test(error.message),
    );
  });
});
