import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  cedarPolicy,
  cedarSchema,
  loadPolicyFile,
  type Policy,
  PolicyLoadError,
  wasmPolicy,
} from "../../../lib/policy/mod.ts";
import { canaryFacts } from "../../../lib/policy/facts.ts";
import { lookingFor, plugin } from "../../support/wasm_module.ts";

const ACTIONS = ["Decrypt", "Sign"];
const ANY = "permit(principal, action, resource);";

/** Each function that takes actions. */
const TAKERS: readonly (readonly [string, (actions: never) => unknown])[] = [
  ["cedarSchema()", (actions) => cedarSchema({ actions })],
  ["cedarPolicy()", (actions) => cedarPolicy(ANY, { actions })],
  ["wasmPolicy()", (actions) => wasmPolicy(plugin(lookingFor("Decr")), { actions })],
  ["loadPolicyFile()", (actions) => loadPolicyFile("examples/policies/tenants.cedar", { actions })],
];

describe("actions", () => {
  for (const [name, take] of TAKERS) {
    test(`${name} refuses what is no list of words`, () => {
      const word = /^actions\[1\] must be a word of at most 64 letters, digits and _/;
      const wrong: readonly (readonly [unknown, string, RegExp])[] = [
        [undefined, "TypeError", /^actions must be a list of names, such as \["Decrypt"\]/],
        ["Decrypt", "TypeError", /^actions must be a list of names/],
        [new Set(["Decrypt"]), "TypeError", /^actions must be a list of names/],
        [[], "RangeError", /^actions must have 1 to 128 names$/],
        [Array.from({ length: 129 }, (_, i) => `A${i}`), "RangeError", /^actions must have 1 to 128 names$/],
        [["Decrypt", "Decrypt"], "TypeError", /^actions must have no name twice: Decrypt$/],
        [["Decrypt", 'a"] appliesTo'], "TypeError", word],
        [["Decrypt", ""], "TypeError", word],
        // deno-lint-ignore no-sparse-arrays -- a hole is what is tried
        [["Decrypt", , "Sign"], "TypeError", word],
      ];
      for (const [actions, kind, message] of wrong) {
        assert.throws(() => take(actions as never), { name: kind, message });
      }
    });
  }

  test("may be as many as 128", () => {
    const actions = Array.from({ length: 128 }, (_, i) => `A${i}`);
    assert.equal(cedarPolicy(ANY, { actions }).decide(canaryFacts("A127")).allowed, true);
  });

  test("are taken as they were: a list that changes afterwards changes nothing", () => {
    const actions = [...ACTIONS];
    const policies = [cedarPolicy(ANY, { actions }), wasmPolicy(plugin([0x41, 1]), { actions })];
    actions.push("Burn");
    for (const policy of policies) assert.equal(policy.decide(canaryFacts("Burn")).allowed, false);
  });

  test("of an application are permitted where a policy names them", () => {
    const text = 'permit(principal, action == Action::"Sign", resource);';
    const policy = cedarPolicy(text, { actions: ACTIONS });
    assert.equal(policy.decide(canaryFacts("Sign")).allowed, true);
    assert.equal(policy.decide(canaryFacts("Decrypt")).allowed, false);
  });

  test("that a policy was not loaded for are denied, though it permits everything", () => {
    const policies: readonly Policy[] = [
      cedarPolicy(ANY, { actions: ACTIONS }),
      wasmPolicy(plugin([0x41, 1]), { actions: ACTIONS }),
    ];
    for (const policy of policies) {
      assert.equal(policy.decide(canaryFacts("Sign")).allowed, true);
      const { allowed, reason } = policy.decide(canaryFacts("Burn"));
      assert.equal(allowed, false);
      assert.match(
        reason,
        /could not decide: .* was loaded without the action Burn$|without the action Burn$/,
      );
    }
  });

  test("that a policy names and the host does not ask about keep it from loading, with what there is", () => {
    const hintOf = (name: string): string => {
      try {
        cedarPolicy(`permit(principal, action == Action::"${name}", resource);`, { actions: ACTIONS });
      } catch (error) {
        assert.ok(error instanceof PolicyLoadError, String(error));
        return error.hint;
      }
      return assert.fail("it loaded");
    };
    assert.equal(hintOf("sign"), 'Is Action::"Sign" meant?');
    assert.match(
      hintOf("GetAttestation"),
      /^The actions are Decrypt, Sign; others are declared by `actions`/,
    );
  });

  test("are each tried when a policy loads", () => {
    const overflow = `${ANY} forbid(principal, action == Action::"Sign", resource)
      when { context.time * 9000000000000000000 > 5 };`;
    assert.throws(() => cedarPolicy(overflow, { actions: ACTIONS }), /it cannot decide a plain Sign/);
    assert.throws(
      () => wasmPolicy(plugin([0x00]), { actions: ["Sign"] }),
      /it cannot decide a plain Sign: unreachable/,
    );
  });
});
