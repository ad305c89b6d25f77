import assert from "node:assert/strict";
import { describe, test } from "#test";
import { didYouMean } from "../../../lib/core/did_you_mean.ts";

const COMMANDS = ["decrypt", "genkey", "genrandom", "attest", "verify", "policy"];

describe("didYouMean()", () => {
  test("finds what a slip of the keyboard was meant to be", () => {
    for (
      const [word, meant] of [
        ["decrypt", "decrypt"],
        ["decyrpt", "decrypt"],
        ["decrpt", "decrypt"],
        ["decryptt", "decrypt"],
        ["DECRYPT", "decrypt"],
        ["gen-key", "genkey"],
        ["gen_random", "genrandom"],
        ["atest", "attest"],
        ["polcy", "policy"],
      ] as const
    ) assert.equal(didYouMean(word, COMMANDS), meant, word);
  });

  test("is silent on another word, a short one, and one of any length", () => {
    for (const word of ["", "x", "ab", "encode", "list", "d".repeat(101), "decrypt".repeat(10_000)]) {
      assert.equal(didYouMean(word, COMMANDS), undefined, word.slice(0, 20));
    }
    assert.equal(didYouMean("decrypt", []), undefined);
  });

  test("takes the nearest, and of two the first", () => {
    assert.equal(didYouMean("region", ["regions", "region"]), "region");
    assert.equal(didYouMean("abcdef", ["abcdex", "abcdey"]), "abcdex");
  });
});
