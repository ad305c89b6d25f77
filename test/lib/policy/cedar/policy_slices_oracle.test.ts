import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import { describe, test } from "#test";
import { readDecision } from "../../../../lib/policy/cedar/cedar_answers.ts";
import { CedarInstance } from "../../../../lib/policy/cedar/cedar_module.ts";
import type { PolicyFacts } from "../../../../lib/policy/mod.ts";
import { facts, manyPolicies } from "./requests.ts";
import { ACTIONS, cedarPolicy, cedarSchema } from "../../../support/policies.ts";

const FUEL = 500_000_000;

describe("a policy in slices", () => {
  test("takes no more fuel for 300 policies that apply to others", () => {
    const fuelOf = (count: number) => cedarPolicy(manyPolicies(count)).decide(facts()).fuelUsed ?? NaN;
    assert.ok(fuelOf(300) < 1.1 * fuelOf(10), `${fuelOf(300)} and ${fuelOf(10)} units`);
  });

  test("decides as Cedar does with all policies at once", () => {
    const cid = fc.constantFrom(3, 7, 8);
    const head = fc.constantFrom("==", "is", "").chain((operator) =>
      cid.map((id) =>
        ({ "==": `principal == Caller::"${id}"`, "is": "principal is Caller", "": "principal" })[operator]
      )
    );
    const action = fc.oneof(
      fc.constant("action"),
      fc.constantFrom(...ACTIONS).map((name) => `action == Action::"${name}"`),
      fc.subarray([...ACTIONS], { minLength: 1 }).map((names) =>
        `action in [${names.map((name) => `Action::"${name}"`).join(", ")}]`
      ),
    );
    const condition = fc.constantFrom(
      "",
      "when { context.recentCount > 5 }",
      'when { context.encryptionContext.hasTag("tenant") }',
      "unless { principal has tenant }",
      "when { context.recentCount * 9000000000000000000 > 0 }",
      "when { context.time > 1800000000 }",
      "unless { context has pcrs && [context.ciphertextLength, 7].contains(184) }",
      "when { {Var: context.time, left: context.recentCount}.Var == 1800000000 }",
      "when { {whole: context}.whole.time > 1800000000 }",
      'when { principal has tenant && principal.tenant like "*d" }',
      'unless { resource.id == "alias/tenants" }',
    );
    const policy = fc.record({ effect: fc.constantFrom("permit", "forbid"), head, action, condition });
    const request = fc.record({
      cid: fc.constantFrom(3, 7, 8, 9),
      action: fc.constantFrom(...ACTIONS),
      attributes: fc.constantFrom({}, { tenant: "red" }, { tenant: "blue" }),
      encryptionContext: fc.constantFrom({}, { tenant: "red" }),
      keyId: fc.constantFrom("alias/tenants", "alias/other"),
      ciphertext: fc.constantFrom(new Uint8Array(184), new Uint8Array(9)),
      time: fc.constantFrom(1_800_000_000, 1_800_000_001),
      recentCount: fc.constantFrom(1, 9),
    });
    const seen = { allowed: 0, refused: 0, failed: 0, remembered: 0 };
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 12 }),
        fc.array(request, { minLength: 20, maxLength: 20 }),
        (policies, distinct) => {
          const text = policies.map(({ effect, head, action, condition }) =>
            `// a policy; of many\n${effect}(${head}, ${action}, resource) ${condition};`
          ).join("\n");
          const names = policies.map((_, index) => `policy${index}`);
          const whole = new Whole(text, names);
          const sliced = cedarPolicy(text);
          // Each of those that follow one differs from it in what a policy may read, or may not.
          const requests = distinct.flatMap((one) => [
            one,
            { ...one, recentCount: one.recentCount + 5 },
            { ...one, time: one.time + 1 },
            { ...one, ciphertext: new Uint8Array(184) },
            one,
          ]);
          for (const { cid, attributes, ...request } of requests) {
            const asked = facts({ ...request, caller: { cid, attributes } });
            const expected = whole.decide(asked);
            const { fuelUsed, ...decision } = sliced.decide(asked);
            if (fuelUsed === 0) seen.remembered++;
            if (expected === "failed") {
              seen.failed++;
              assert.equal(decision.allowed, false);
              assert.match(decision.reason, /^Cedar could not decide: policy\d+ failed/);
            } else {
              seen[decision.allowed ? "allowed" : "refused"]++;
              assert.deepEqual(decision, expected);
            }
          }
        },
      ),
      { numRuns: process.env["SLOW"] === undefined ? 15 : 300 },
    );
    assert.ok(Object.values(seen).every((count) => count > 0), JSON.stringify(seen));
  });
});

/** All policies in one set, as Cedar's own documentation has it. */
class Whole {
  readonly #cedar = new CedarInstance();
  readonly #names: readonly string[];

  constructor(text: string, names: readonly string[]) {
    this.#names = names;
    const keep = (name: "preparseSchema" | "preparsePolicySet", value: unknown) => {
      const { json } = this.#cedar.call(name, { name: "whole", json: JSON.stringify(value) }, FUEL);
      assert.equal(JSON.parse(json).type, "success", json);
    };
    keep("preparseSchema", cedarSchema());
    keep("preparsePolicySet", { staticPolicies: text });
  }

  decide({ principal, action, resource, context }: PolicyFacts) {
    const entity = (type: string, id: string) => ({ type, id });
    assert.ok(principal.type === "Caller");
    const caller = entity("Caller", String(principal.cid));
    const key = entity("Key", resource.key);
    const pairs = entity("EncryptionContext", "request");
    const json = JSON.stringify({
      principal: caller,
      action: entity("Action", action),
      resource: key,
      context: { ...context, encryptionContext: { __entity: pairs } },
      entities: [
        { uid: caller, attrs: { ...principal.attributes, cid: principal.cid }, parents: [] },
        { uid: key, attrs: { id: resource.key, region: resource.region }, parents: [] },
        { uid: pairs, attrs: {}, parents: [], tags: context.encryptionContext },
      ],
      validateRequest: true,
      preparsedSchemaName: "whole",
      preparsedPolicySetId: "whole",
    });
    const answer = this.#cedar.call("statefulIsAuthorized", { json }, FUEL).json;
    try {
      const { fuelUsed: _, ...decision } = readDecision(answer, this.#names, 0);
      return decision;
    } catch {
      return "failed" as const;
    }
  }
}
