import assert from "node:assert/strict";
import { describe, test } from "#test";
import { runExample } from "./run_example.ts";

describe("examples/typed-client", () => {
  test("has the server decrypt what the policy permits", async () => {
    assert.deepEqual(await runExample("examples/typed-client/laptop.ts"), [
      "tenant a: hello",
      "tenant b: ERR_POLICY_DENIED",
    ]);
  });
});
