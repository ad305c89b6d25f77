import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, test } from "#test";
import { CedarInstance } from "../../../../lib/policy/cedar/cedar_module.ts";
import { CedarSpare } from "../../../../lib/policy/cedar/cedar_spare.ts";
import { DEFAULT_FUEL } from "../../../../lib/policy/mod.ts";
import { wasmEngine } from "../../../../lib/policy/wasm/wasm_engine.ts";
import { facts, manyPolicies, once } from "./requests.ts";
import { cedarPolicy, cedarSchema } from "../../../support/policies.ts";

/** Used up by Cedar while it reads the request. */
const BURNING = facts({
  encryptionContext: Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`k${index}`, "v"])),
});

const OUT_OF_FUEL = `Cedar could not decide: it used up its fuel of ${DEFAULT_FUEL} units`;

/** Counts the instances that are made, and those that parse, until the callback returns. */
async function counting(run: (count: () => { made: number; parsed: number }) => unknown): Promise<void> {
  const { Instance } = wasmEngine;
  const { call } = CedarInstance.prototype;
  let [made, parsed] = [0, 0];
  const engine = wasmEngine as { Instance: unknown };
  engine.Instance = class extends Instance {
    constructor(...args: ConstructorParameters<typeof Instance>) {
      super(...args);
      made++;
    }
  };
  CedarInstance.prototype.call = function (name, ...rest) {
    if (name.startsWith("preparse")) parsed++;
    return call.call(this, name, ...rest);
  };
  try {
    await run(() => ({ made, parsed }));
  } finally {
    engine.Instance = Instance;
    CedarInstance.prototype.call = call;
  }
}

const SCHEMA = { name: "s", json: JSON.stringify(cedarSchema()) };
const parsed = () => {
  const instance = new CedarInstance();
  instance.call("preparseSchema", SCHEMA, 10_000_000);
  return instance;
};

describe("a policy whose fuel is used up", () => {
  const policy = once(() => cedarPolicy(manyPolicies(20), { remembered: 0 }));

  test("decides the next request with the instance in reserve: none is made or parsed meanwhile", async () => {
    policy();
    await counting(async (count) => {
      assert.equal(policy().decide(BURNING).reason, OUT_OF_FUEL);
      assert.equal(policy().decide(facts()).allowed, true);
      assert.deepEqual(count(), { made: 0, parsed: 0 });
      await nextTurn();
      assert.deepEqual(count(), { made: 1, parsed: 0 });
      // And again: what was copied is as good as what was parsed.
      assert.equal(policy().decide(BURNING).reason, OUT_OF_FUEL);
      assert.equal(policy().decide(facts()).allowed, true);
      assert.deepEqual(count(), { made: 1, parsed: 0 });
      await nextTurn();
      assert.deepEqual(count(), { made: 2, parsed: 0 });
    });
  });

  test("makes one instance in a turn, however many are lost, and never parses", async () => {
    policy();
    await nextTurn();
    await counting(async (count) => {
      for (let round = 0; round < 5; round++) policy().decide(BURNING);
      // Two were there; each further request must have one.
      assert.deepEqual(count(), { made: 3, parsed: 0 });
      assert.equal(policy().decide(facts()).allowed, true);
      assert.deepEqual(count(), { made: 4, parsed: 0 });
      for (let turn = 0; turn < 3; turn++) await nextTurn();
      assert.deepEqual(count(), { made: 5, parsed: 0 });
    });
  });

  test("decides as before, for the same fuel", async () => {
    const fresh = cedarPolicy(manyPolicies(20), { remembered: 0 });
    const before = fresh.decide(facts());
    for (let round = 0; round < 3; round++) {
      assert.equal(fresh.decide(BURNING).allowed, false);
      assert.deepEqual(fresh.decide(facts()), before);
      await nextTurn();
    }
  });

  test("takes less when it may use less, and decides more when it may use more", () => {
    assert.equal(
      cedarPolicy(manyPolicies(1), { fuel: 10_000_000 }).decide(BURNING).reason,
      "No policy permits it",
    );
    const sparing = cedarPolicy(manyPolicies(1), { fuel: 100_000 });
    const context = Object.fromEntries(Array.from({ length: 120 }, (_, index) => [`k${index}`, "v"]));
    const { reason } = sparing.decide(facts({ encryptionContext: context }));
    assert.equal(reason, "Cedar could not decide: it used up its fuel of 100000 units");
  });

  test("has fuel enough by default for 1000 policies that apply and the largest encryption context", () => {
    const applying = manyPolicies(1000).replaceAll(/principal == Caller::"\d+"/g, "principal");
    const pairs = Array.from({ length: 127 }, (_, index) => [`k${index}`, "v".repeat(55)]);
    const { allowed, fuelUsed } = cedarPolicy(applying).decide(
      facts({ encryptionContext: { tenant: "red", ...Object.fromEntries(pairs) } }),
    );
    assert.equal(allowed, true);
    assert.ok(Number(fuelUsed) > DEFAULT_FUEL / 2 && Number(fuelUsed) < DEFAULT_FUEL, `${fuelUsed}`);
  });
});

describe("CedarSpare", () => {
  test("gives an instance back that may be used again, and another one otherwise", async () => {
    const instances = new CedarSpare(parsed());
    const first = instances.take();
    instances.give(first);
    assert.equal(instances.take(), first);
    instances.give(undefined);
    const second = instances.take();
    assert.notEqual(second, first);
    instances.give(second);
    await nextTurn();
    assert.equal(instances.take(), second);
  });

  test("makes copies that have parsed what the first one has", () => {
    const instances = new CedarSpare(parsed());
    const request = JSON.stringify({
      ...{ principal: uid("Caller"), action: { type: "Action", id: "Decrypt" }, resource: uid("Key") },
      ...{ context: {}, entities: [] },
      ...{ validateRequest: true, preparsedSchemaName: "s", preparsedPolicySetId: "p" },
    });
    const answers = [0, 1, 2].map(() => {
      const instance = instances.take();
      instances.give(undefined);
      instance.call("preparsePolicySet", { name: "p", json: '{"staticPolicies":""}' }, 10_000_000);
      return instance.call("statefulIsAuthorized", { json: request }, 10_000_000);
    });
    assert.deepEqual(answers[1], answers[0]);
    assert.deepEqual(answers[2], answers[0]);
    // Without the schema it would say that there is none.
    assert.doesNotMatch(answers[0]?.json ?? "", /schema.*not found/);
  });
});

function uid(type: string) {
  return { type, id: "1" };
}
