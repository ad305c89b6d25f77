import assert from "node:assert/strict";
import { describe, test } from "#test";
import { decisionKey, DecisionMemory } from "../../../../lib/policy/cedar/decision_memory.ts";
import { facts } from "./requests.ts";

describe("DecisionMemory", () => {
  /** A decider that counts, and whose decisions differ. */
  function counting() {
    let made = 0;
    return () => ({ allowed: true, reason: String(++made), determining: ["a"], fuelUsed: 7 });
  }

  test("makes a decision once for each key, and says that it took no fuel again", () => {
    const memory = new DecisionMemory(10);
    const decide = counting();
    const first = { allowed: true, reason: "1", determining: ["a"] };
    assert.deepEqual(memory.recall("a", decide), { ...first, fuelUsed: 7 });
    assert.deepEqual(memory.recall("a", decide), { ...first, fuelUsed: 0 });
    assert.equal(memory.recall("b", decide).reason, "2");
    assert.equal(memory.recall("a", decide).reason, "1");
  });

  test("forgets what was asked for longest ago", () => {
    const memory = new DecisionMemory(2);
    const decide = counting();
    const reasons = ["a", "b", "a", "c", "a", "b", "c"].map((key) => memory.recall(key, decide).reason);
    assert.deepEqual(reasons, ["1", "2", "1", "3", "1", "4", "5"]);
  });

  test("makes it every time without a key, with a long one, and when it is to remember none", () => {
    const cases = [
      [new DecisionMemory(10), undefined],
      [new DecisionMemory(10), "x".repeat(2049)],
      [new DecisionMemory(0), "a"],
    ] as const;
    for (const [memory, key] of cases) {
      const decide = counting();
      assert.deepEqual([1, 2].map(() => memory.recall(key, decide).reason), ["1", "2"]);
    }
    const decide = counting();
    const memory = new DecisionMemory(10);
    assert.deepEqual([1, 2].map(() => memory.recall("x".repeat(2048), decide).reason), ["1", "1"]);
  });

  test("does not remember a throw", () => {
    const memory = new DecisionMemory(10);
    assert.throws(() =>
      memory.recall("a", () => {
        throw new Error("trap");
      }), /trap/);
    assert.equal(memory.recall("a", counting()).reason, "1");
  });

  test("what it gave out cannot change what it remembers", () => {
    const memory = new DecisionMemory(10);
    const decide = counting();
    const given = memory.recall("a", decide);
    Object.assign(given, { allowed: false });
    assert.equal(memory.recall("a", decide).allowed, true);
    assert.throws(() => Object.assign(memory.recall("a", decide), { allowed: false }), TypeError);
  });
});

describe("decisionKey()", () => {
  const key = decisionKey(facts(), ["time"]);

  test("is the same whatever no policy reads", () => {
    for (const parts of [{ recentCount: 9 }, { ciphertext: new Uint8Array(9) }, { pcrs: {} }]) {
      assert.equal(decisionKey(facts(parts), ["time"]), key);
    }
  });

  const differing = {
    "caller": { caller: { cid: 8, attributes: { tenant: "red" } } },
    "caller's attributes": { caller: { cid: 7, attributes: { tenant: "blue" } } },
    "action": { action: "Encrypt" },
    "key": { keyId: "alias/other" },
    "region": { region: "eu-west-1" },
    "encryption context": { encryptionContext: { tenant: "blue" } },
    "attribute that is read": { time: 1_800_000_001 },
  } as const;
  for (const [what, parts] of Object.entries(differing)) {
    test(`differs for another ${what}`, () => assert.notEqual(decisionKey(facts(parts), ["time"]), key));
  }

  test("there is none when policies may read anything", () => {
    assert.equal(decisionKey(facts(), undefined), undefined);
  });
});
