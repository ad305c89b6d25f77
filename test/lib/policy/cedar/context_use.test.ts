import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readPolicy } from "../../../../lib/policy/cedar/cedar_answers.ts";
import { CedarInstance } from "../../../../lib/policy/cedar/cedar_module.ts";
import { readContextUse } from "../../../../lib/policy/cedar/context_use.ts";
import { once } from "./requests.ts";

const FUEL = 500_000_000;

describe("readContextUse()", () => {
  const cedar = once(() => new CedarInstance());
  const useOf = (condition: string) => {
    const json = JSON.stringify(`permit(principal, action, resource) ${condition};`);
    const policy = readPolicy(cedar().call("policyToJson", { json }, FUEL).json);
    assert.notEqual(policy, undefined, condition);
    const use = readContextUse(policy);
    return use === undefined ? "any" : [...use].sort();
  };

  const named: readonly (readonly [condition: string, names: readonly string[]])[] = [
    ["", []],
    ["when { principal has tenant && resource.id == principal.tenant }", []],
    ["when { context.time > 3 }", ["time"]],
    ['when { context["time"] > 3 } unless { context.recentCount > 3 }', ["recentCount", "time"]],
    ["when { context has pcrs }", ["pcrs"]],
    ["when { context has pcrs.pcr0 }", ["pcrs"]],
    ['when { context.pcrs has pcr0 && context.pcrs.pcr0 like "ab*" }', ["pcrs"]],
    ['when { context.encryptionContext.hasTag("a") }', ["encryptionContext"]],
    ["when { if context.time > 3 then [context.recentCount].contains(7) else false }", [
      "recentCount",
      "time",
    ]],
    ["when { {Var: context.time, left: 3, attr: 3}.Var > 3 }", ["time"]],
    ['when { principal has name && principal.name == "context" }', []],
  ];
  for (const [condition, names] of named) {
    test(`names what is read by name: ${condition}`, () => assert.deepEqual(useOf(condition), names));
  }

  const whole = [
    "when { context == context }",
    "when { {whole: context}.whole.time > 3 }",
    "when { {Var: context}.Var.time > 3 }",
    'when { {".": context}["."].time > 3 }',
    'when { {"has": {left: context, attr: 3}}["has"].left.time > 3 }',
    "when { (if principal has tenant then context else context).time > 3 }",
    "when { [context].contains({time: 3}) }",
    "when { principal == context }",
    "when { context.time > 3 && context != {} }",
  ];
  for (const condition of whole) {
    test(`takes the whole context for any of it: ${condition}`, () => assert.equal(useOf(condition), "any"));
  }

  test("what is of an unknown shape is read with all that is in it", () => {
    assert.equal(readContextUse({ "??": [{ left: { Var: "context" } }] }), undefined);
    assert.equal(readContextUse({ ".": { left: { Var: "context" } } }), undefined);
    assert.equal(readContextUse({ ".": { left: { Var: "context" }, attr: 7 } }), undefined);
    assert.equal(readContextUse({ has: { left: { Var: "context" }, attr: [] } }), undefined);
    assert.equal(readContextUse({ "==": { left: { Var: "context" }, attr: "time" } }), undefined);
    for (const left of [undefined, null, "context", { Var: "principal" }]) {
      assert.deepEqual(readContextUse({ ".": { left, attr: "time" } }), new Set());
    }
    for (const operand of [undefined, null, "context", 7]) {
      assert.deepEqual(readContextUse({ has: operand }), new Set());
    }
    assert.deepEqual(readContextUse(undefined), new Set());
    assert.deepEqual(readContextUse(null), new Set());
  });
});
