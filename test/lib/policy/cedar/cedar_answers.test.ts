import assert from "node:assert/strict";
import { describe, test } from "#test";
import { nameOf, readDecision, readProblems } from "../../../../lib/policy/cedar/cedar_answers.ts";

const NAMES = ["first", "second", "third", ...Array.from({ length: 9 }, (_, index) => `more-${index}`)];

/** Makes Cedar's answer, with some parts changed. */
function answer(parts: Record<string, unknown> = {}): string {
  const { decision = "allow", reason = ["policy1"], errors = [] } = parts;
  return JSON.stringify({ type: "success", response: { decision, diagnostics: { reason, errors } } });
}

const failure = (policyId: unknown, message: unknown) => ({ policyId, error: { message } });
const decide = (json: string) => readDecision(json, NAMES, 7);

describe("readDecision()", () => {
  test("a clean yes permits, and names the policies in the order of the text", () => {
    assert.deepEqual(decide(answer({ reason: ["policy10", "policy2", "policy0"] })), {
      allowed: true,
      reason: "Permitted by first, third, more-7",
      determining: ["first", "third", "more-7"],
      fuelUsed: 7,
    });
  });

  test("anything less refuses, and says why", () => {
    const refused: readonly (readonly [json: string, reason: string, determining: string[]])[] = [
      [answer({ decision: "deny" }), "Forbidden by second", ["second"]],
      [answer({ decision: "deny", reason: ["policy2", "policy1"] }), "Forbidden by second, third", [
        "second",
        "third",
      ]],
      [answer({ decision: "deny", reason: [] }), "No policy permits it", []],
      [answer({ reason: [] }), "No policy permits it", []], // nobody would be responsible
      [answer({ reason: "policy1" }), "No policy permits it", []],
      [answer({ decision: "Allow" }), "Forbidden by second", ["second"]],
      [answer({ decision: true }), "Forbidden by second", ["second"]],
    ];
    for (const [json, reason, determining] of refused) {
      assert.deepEqual(decide(json), { allowed: false, reason, determining, fuelUsed: 7 }, json);
    }
  });

  test("a policy that failed is an error, though Cedar allows", () => {
    for (const decision of ["allow", "deny"]) {
      const fails = (errors: unknown, message: string) =>
        assert.throws(() => decide(answer({ decision, errors })), { name: "Error", message });
      fails([failure("policy2", "integer overflow")], "third failed: integer overflow");
      fails([failure("policy2", "a"), failure("policy0", "b")], "third failed: a");
      fails([failure(7, "integer overflow")], "A policy failed: integer overflow");
      fails([null], "A policy failed: undefined");
      fails("none", "A policy failed: no reason was given");
      fails({}, "A policy failed: no reason was given");
    }
  });

  test("what is no decision is an error", () => {
    const refusal = JSON.stringify({ type: "failure", errors: [{ message: "no such schema" }] });
    assert.throws(() => decide(refusal), { message: "it refused the request: no such schema" });
    for (const json of ["{}", "[]", "null", "7", '"success"', '{"type":"failure","errors":[]}']) {
      assert.throws(() => decide(json), { message: "it refused the request: no reason was given" }, json);
    }
    for (const response of [undefined, null, 7, {}, { decision: "allow" }]) {
      const json = JSON.stringify({ type: "success", response });
      assert.throws(() => decide(json), { message: "A policy failed: no reason was given" }, json);
    }
    assert.throws(() => decide("allow"), SyntaxError);
  });
});

describe("nameOf()", () => {
  test("is the policy's own name by Cedar's number, and Cedar's id otherwise", () => {
    assert.equal(nameOf("policy0", NAMES), "first");
    assert.equal(nameOf("policy11", NAMES), "more-8");
    for (const id of ["policy12", "policy", "xpolicy1", "policy1x", "policy-1", "other"]) {
      assert.equal(nameOf(id, NAMES), id);
    }
    assert.equal(nameOf("", NAMES), "A policy");
    assert.equal(nameOf("x".repeat(200), NAMES), "x".repeat(100));
  });
});

describe("readProblems()", () => {
  const at = (start: unknown) => ({ message: "m", sourceLocations: [{ start, end: 9 }] });
  const problem = (message: string, offset?: number, policyId?: string) => ({ message, offset, policyId });

  test("finds errors and warnings wherever Cedar lists them", () => {
    assert.deepEqual(
      readProblems(JSON.stringify({
        type: "success",
        errors: [{ message: "a" }],
        validationErrors: [failure("policy3", "b")],
        warnings: [{ message: "c" }],
        validationWarnings: [failure("policy4", "d")],
        otherWarnings: [{ message: "e" }],
      })),
      {
        errors: [problem("a"), problem("b", undefined, "policy3")],
        warnings: [problem("c"), problem("d", undefined, "policy4"), problem("e")],
      },
    );
    assert.deepEqual(readProblems('{"type":"success"}'), { errors: [], warnings: [] });
  });

  test("takes an answer that is neither a success nor names an error for one", () => {
    const unknown = { errors: [problem("Cedar gave no reason")], warnings: [] };
    for (const json of ["{}", "null", "7", '{"type":"failure"}', '{"type":"failure","errors":[]}']) {
      assert.deepEqual(readProblems(json), unknown, json);
    }
    assert.deepEqual(readProblems('{"type":"failure","errors":[{"message":"a"}]}').errors, [problem("a")]);
  });

  test("reads the place, if there is one", () => {
    const read = (error: unknown) =>
      readProblems(JSON.stringify({ type: "success", errors: [error] })).errors[0];
    assert.deepEqual(read(at(0)), problem("m", 0));
    assert.deepEqual(read({ policyId: "policy1", error: at(5) }), problem("m", 5, "policy1"));
    for (const start of [undefined, null, "5"]) assert.deepEqual(read(at(start)), problem("m"));
    for (const sourceLocations of [[], null, {}, [null]]) {
      assert.deepEqual(read({ message: "m", sourceLocations }), problem("m"));
    }
  });

  test("keeps what Cedar quotes to one short line", () => {
    const [only] =
      readProblems(JSON.stringify({ errors: [{ message: `a\nb\u001b[0mé${"x".repeat(400)}` }] })).errors;
    assert.equal(only?.message, `a?b?[0m?${"x".repeat(292)}`);
  });
});
