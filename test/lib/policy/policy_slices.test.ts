import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import { describe, test } from "#test";
import { readDecision } from "../../../lib/policy/cedar_answers.ts";
import { CedarInstance } from "../../../lib/policy/cedar_module.ts";
import { cedarPolicy, cedarSchema, POLICY_ACTIONS, type PolicyFacts } from "../../../lib/policy/mod.ts";
import { PolicySlices, readScope } from "../../../lib/policy/policy_slices.ts";
import { facts, manyPolicies } from "./requests.ts";

const FUEL = 500_000_000;

describe("readScope()", () => {
  const caller = { type: "Caller", id: "7" };
  const decrypt = { type: "Action", id: "Decrypt" };
  const all = { op: "All" };
  const cases = [
    ["a caller", { principal: { op: "==", entity: caller }, action: all }, { caller: "7" }],
    ["every caller", { principal: all, action: all }, {}],
    ["a caller's group", { principal: { op: "in", entity: caller }, action: all }, {}],
    ["a kind", { principal: { op: "is", entity_type: "Caller" }, action: all }, {}],
    ["no CID", { principal: { op: "==", entity: { type: "Caller", id: "07" } }, action: all }, {}],
    ["a key as caller", { principal: { op: "==", entity: { type: "Key", id: "7" } }, action: all }, {}],
    ["an action", { principal: all, action: { op: "==", entity: decrypt } }, { actions: ["Decrypt"] }],
    ["an action in itself", { principal: all, action: { op: "in", entity: decrypt } }, {
      actions: ["Decrypt"],
    }],
    ["a list of actions", { principal: all, action: { op: "in", entities: [decrypt] } }, {
      actions: ["Decrypt"],
    }],
    ["no action", { principal: all, action: { op: "in", entities: [] } }, { actions: [] }],
    ["a list with a caller", { principal: all, action: { op: "in", entities: [decrypt, caller] } }, {}],
    ["an unknown operator", {
      principal: { op: "!=", entity: caller },
      action: { op: "!=", entity: decrypt },
    }, {}],
    [
      "an entity of another shape",
      { principal: { op: "==", entity: { __entity: caller } }, action: all },
      {},
    ],
    ["nothing", undefined, {}],
  ] as const;

  for (const [name, policy, expected] of cases) {
    test(`reads ${name}`, () => {
      assert.deepEqual(readScope(policy), { caller: undefined, actions: undefined, ...expected });
    });
  }
});

describe("PolicySlices", () => {
  test("leaves out what names another caller or action, and keeps the order", () => {
    const slices = new PolicySlices([
      { caller: "7", actions: undefined },
      { caller: undefined, actions: ["Encrypt"] },
      { caller: "8", actions: ["Decrypt"] },
      { caller: undefined, actions: undefined },
      { caller: "7", actions: ["Decrypt", "Encrypt"] },
    ]);
    const places = (caller: string, action: (typeof POLICY_ACTIONS)[number]) =>
      slices.of(caller, action).policies;
    assert.deepEqual(places("7", "Decrypt"), [0, 3, 4]);
    assert.deepEqual(places("7", "Encrypt"), [0, 1, 3, 4]);
    assert.deepEqual(places("7", "GenerateRandom"), [0, 3]);
    assert.deepEqual(places("8", "Decrypt"), [2, 3]);
    assert.deepEqual(places("8", "Encrypt"), [1, 3]);
    assert.deepEqual(places("9", "Decrypt"), [3]);
    assert.throws(() => slices.of("7", "Sign" as never), TypeError);
  });

  test("are each there once, with every use", () => {
    const { all, uses } = new PolicySlices([{ caller: "7", actions: undefined }]);
    assert.deepEqual(all.map(({ policies }) => policies), [[], [0]].reverse());
    assert.equal(uses.length, 2 * POLICY_ACTIONS.length);
    assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  });

  test("do not multiply: many callers beside many policies for all are not told apart", () => {
    const scopes = Array.from({ length: 1000 }, (_, index) => ({
      caller: index % 2 === 0 ? String(index) : undefined,
      actions: undefined,
    }));
    const { all } = new PolicySlices(scopes);
    assert.deepEqual(all.map(({ policies }) => policies.length), [1000]);
  });
});

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
      fc.constantFrom(...POLICY_ACTIONS).map((name) => `action == Action::"${name}"`),
      fc.subarray([...POLICY_ACTIONS], { minLength: 1 }).map((names) =>
        `action in [${names.map((name) => `Action::"${name}"`).join(", ")}]`
      ),
    );
    const condition = fc.constantFrom(
      "",
      "when { context.recentCount > 5 }",
      'when { context.encryptionContext.hasTag("tenant") }',
      "unless { principal has tenant }",
      "when { context.recentCount * 9000000000000000000 > 0 }",
    );
    const policy = fc.record({ effect: fc.constantFrom("permit", "forbid"), head, action, condition });
    const request = fc.record({
      cid: fc.constantFrom(3, 7, 8, 9),
      action: fc.constantFrom(...POLICY_ACTIONS),
      recentCount: fc.constantFrom(1, 9),
    });
    const seen = { allowed: 0, refused: 0, failed: 0 };
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 12 }),
        fc.array(request, { minLength: 20, maxLength: 20 }),
        (policies, requests) => {
          const text = policies.map(({ effect, head, action, condition }) =>
            `// a policy; of many\n${effect}(${head}, ${action}, resource) ${condition};`
          ).join("\n");
          const names = policies.map((_, index) => `policy${index}`);
          const whole = new Whole(text, names);
          const sliced = cedarPolicy(text);
          for (const { cid, ...request } of requests) {
            const asked = facts({ ...request, caller: { cid, attributes: {} } });
            const expected = whole.decide(asked);
            const { fuelUsed: _, ...decision } = sliced.decide(asked);
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
    assert.ok(Object.values(seen).every((count) => count > 20), JSON.stringify(seen));
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
