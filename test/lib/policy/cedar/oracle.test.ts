import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "#test";
import { makeFacts } from "../../../../lib/policy/mod.ts";
import { judge, randomRequest, randomRules, seeded, writeRules } from "./oracle.ts";
import { cedarPolicy } from "../../../support/policies.ts";
import { halfOf, isDivided } from "../../../support/share.ts";

const [SETS, REQUESTS] = process.env["SLOW"] === "1" ? [400, 250] : [halfOf(50), 100];
/** Seed of the requests: another one on Deno where the runtimes share. */
const SEED = 20_261_121 + (isDivided && "Deno" in globalThis ? 1 : 0);

describe("cedarPolicy() against an independent evaluator", () => {
  test(`decides ${SETS * REQUESTS} random requests alike`, () => {
    const random = seeded(SEED);
    const seen = { allowed: 0, refused: 0, failed: 0 };
    for (let set = 0; set < SETS; set++) {
      const rules = randomRules(random);
      const text = writeRules(rules);
      const policy = cedarPolicy(text, { onWarning: () => {} });
      for (let index = 0; index < REQUESTS; index++) {
        const request = randomRequest(random);
        const { allowed, reason } = policy.decide(makeFacts(request));
        assert.equal(allowed, judge(rules, request), `${text}\n${JSON.stringify(request)}\n${reason}`);
        seen[allowed ? "allowed" : reason.includes("failed: integer overflow") ? "failed" : "refused"]++;
      }
    }
    // Each outcome is common enough to mean something.
    for (const [outcome, count] of Object.entries(seen)) assert.ok(count > SETS * REQUESTS / 500, outcome);
  }, 120_000);
});
