import assert from "node:assert/strict";
import { describe, test } from "#test";
import { runExample } from "./run_example.ts";

describe("examples/boot-secrets", () => {
  test("takes what its operator made, and not what the parent made", async () => {
    assert.deepEqual(await runExample("examples/boot-secrets/laptop.ts"), [
      "the parent's own: ERR_SECRET_SIGNATURE",
      "age-key: true",
      "key-shares: true",
      "the code: 200 true",
      "PCR16 as computed: true",
    ]);
  });
});
