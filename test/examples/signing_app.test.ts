import assert from "node:assert/strict";
import { describe, test } from "#test";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { cedarPolicy } from "../../lib/policy/mod.ts";
import { ACTIONS, createApp } from "../../examples/signing-app/app.ts";
import { readPage } from "../support/documents.ts";
import { runExample } from "./run_example.ts";

const message = "cGF5IDEgdG8gQWxpY2U=";

describe("examples/signing-app", () => {
  test("signs what its policy permits, as often as it permits", async () => {
    assert.deepEqual(await runExample("examples/signing-app/laptop.ts"), [
      "treasury: 200 44 characters",
      "payroll: 403 ERR_POLICY_DENIED",
      "treasury: 200 44 characters",
      "treasury: 200 44 characters",
      "treasury: 403 ERR_POLICY_DENIED",
    ]);
  });

  test("refuses what is malformed, and a caller without a CID", async () => {
    using key = SecretBytes.copyOf(new Uint8Array(32).fill(1));
    const policy = cedarPolicy(readPage("examples/signing-app/policy.cedar"), { actions: ACTIONS });
    const app = createApp({ key, policy, region: "eu-central-1" });
    const ask = async (body: unknown, remoteCid?: number) => {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return (await app.request("/sign", { method: "POST", body: text }, { remoteCid })).status;
    };
    assert.equal(await ask({ account: "treasury", message }, 3), 200);
    assert.equal(await ask({ account: "treasury", message }), 403);
    const wrong = [
      ...["", "null", "[]", "{}", { account: "treasury" }, { message }],
      ...[{ account: "a b", message }, { account: ["treasury"], message }, {
        account: "treasury",
        message: 1,
      }],
      ...[{ account: "treasury", message: "no base64" }, { account: "treasury", message: "A".repeat(1372) }],
    ];
    for (const body of wrong) assert.equal(await ask(body, 3), 400, JSON.stringify(body));
  });
});
