import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ACTIONS, policySlices } from "../../../support/policies.ts";
import { readScope } from "../../../../lib/policy/cedar/policy_slices.ts";

describe("readScope()", () => {
  const caller = { type: "Caller", id: "7" };
  const decrypt = { type: "Action", id: "Decrypt" };
  const all = { op: "All" };
  const cases = [
    ["a caller", { principal: { op: "==", entity: caller }, action: all }, { caller: "Caller:7" }],
    ["a caller of ten digits", {
      principal: { op: "==", entity: { type: "Caller", id: "4294967295" } },
      action: all,
    }, { caller: "Caller:4294967295" }],
    ["a token's subject", {
      principal: { op: "==", entity: { type: "Token", id: "https://id.example|a|b" } },
      action: all,
    }, { caller: "Token:https://id.example|a|b" }],
    ["a certificate", {
      principal: { op: "==", entity: { type: "Certificate", id: "ab".repeat(32) } },
      action: all,
    }, { caller: `Certificate:${"ab".repeat(32)}` }],
    ["the parent", {
      principal: { op: "==", entity: { type: "Parent", id: "parent" } },
      action: all,
    }, { caller: "Parent:parent" }],
    ["no subject", { principal: { op: "==", entity: { type: "Token", id: "issuer" } }, action: all }, {}],
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
      const nothing = { caller: undefined, actions: undefined, reads: new Set() };
      assert.deepEqual(readScope(policy), { ...nothing, ...expected });
    });
  }
});

const ANY = { caller: undefined, actions: undefined, reads: new Set<string>() };

describe("PolicySlices", () => {
  test("leaves out what names another caller or action, and keeps the order", () => {
    const slices = policySlices([
      { ...ANY, caller: "7" },
      { ...ANY, actions: ["Encrypt"] },
      { ...ANY, caller: "8", actions: ["Decrypt"] },
      ANY,
      { ...ANY, caller: "7", actions: ["Decrypt", "Encrypt"] },
    ]);
    const places = (caller: string, action: string) => slices.of(caller, action).policies;
    assert.deepEqual(places("7", "Decrypt"), [0, 3, 4]);
    assert.deepEqual(places("7", "Encrypt"), [0, 1, 3, 4]);
    assert.deepEqual(places("7", "GenerateRandom"), [0, 3]);
    assert.deepEqual(places("8", "Decrypt"), [2, 3]);
    assert.deepEqual(places("8", "Encrypt"), [1, 3]);
    assert.deepEqual(places("9", "Decrypt"), [3]);
    assert.throws(() => slices.of("7", "SignOrder"), {
      name: "TypeError",
      message: "the policy was loaded without the action SignOrder",
    });
  });

  test("are each there once, with every use", () => {
    const { all, uses } = policySlices([{ ...ANY, caller: "7" }]);
    assert.deepEqual(all.map(({ policies }) => policies), [[], [0]].reverse());
    assert.equal(uses.length, 2 * ACTIONS.length);
    assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  });

  test("do not multiply: many callers beside many policies for all are not told apart", () => {
    const scopes = Array.from({ length: 1000 }, (_, index) => ({
      ...ANY,
      caller: index % 2 === 0 ? String(index) : undefined,
    }));
    const { all } = policySlices(scopes);
    assert.deepEqual(all.map(({ policies }) => policies.length), [1000]);
  });

  test("read what one of their policies reads, and no more", () => {
    const slices = policySlices([
      { ...ANY, caller: "7", reads: new Set(["time", "pcrs"]) },
      { ...ANY, caller: "8", reads: undefined },
      { ...ANY, reads: new Set(["recentCount", "time"]) },
    ]);
    const reads = (caller: string) => slices.of(caller, "Decrypt").reads;
    assert.deepEqual(reads("7"), ["pcrs", "recentCount", "time"]);
    assert.deepEqual(reads("8"), undefined);
    assert.deepEqual(reads("9"), ["recentCount", "time"]);
  });
});
