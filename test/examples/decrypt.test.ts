import assert from "node:assert/strict";
import { describe, test } from "#test";
import { runExample } from "./run_example.ts";

describe("examples/decrypt", () => {
  test("decrypts its settings, and notices those that were swapped", async () => {
    assert.deepEqual(await runExample("examples/decrypt/laptop.ts"), [
      "databasePassword: 9 bytes",
      "signingKey: 8 bytes",
      "swapped: InvalidCiphertextException",
    ]);
  });
});
