import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  allOf,
  anyOf,
  decideSafely,
  denyAll,
  type Policy,
  type PolicyDecision,
} from "../../../lib/policy/mod.ts";
import { facts } from "./cedar/requests.ts";

function fixed(name: string, allowed: boolean): Policy {
  return {
    name,
    decide: () => ({ allowed, reason: `${name} says ${allowed}`, determining: [name], fuelUsed: 10 }),
  };
}

/** A policy that answers what the types do not allow. */
function odd(answer: unknown): Policy {
  return { name: "odd", decide: () => answer as PolicyDecision };
}

const yes = fixed("yes", true);
const no = fixed("no", false);
const broken: Policy = {
  name: "broken",
  decide() {
    throw new Error("broken");
  },
};

describe("allOf() and anyOf()", () => {
  test("decide as their names say", () => {
    for (
      const [policies, all, any] of [
        [[], false, false],
        [[yes], true, true],
        [[no], false, false],
        [[yes, yes], true, true],
        [[yes, no], false, true],
        [[no, yes], false, true],
        [[no, no], false, false],
        [[yes, broken], false, true],
        [[broken, yes], false, true],
        [[broken], false, false],
        [[yes, denyAll], false, true],
      ] as const
    ) {
      const names = policies.map(({ name }) => name).join();
      assert.equal(allOf(...policies).decide(facts()).allowed, all, `all of ${names}`);
      assert.equal(anyOf(...policies).decide(facts()).allowed, any, `any of ${names}`);
    }
  });

  test("say who decided, why, and what it took", () => {
    assert.deepEqual(allOf(yes, yes).decide(facts()), {
      allowed: true,
      reason: "yes says true; yes says true",
      determining: ["yes", "yes"],
      fuelUsed: 20,
    });
    assert.deepEqual(allOf(yes, no, yes).decide(facts()), {
      allowed: false,
      reason: "no says false",
      determining: ["no"],
      fuelUsed: 20,
    });
    assert.deepEqual(anyOf(no, yes, no).decide(facts()), {
      allowed: true,
      reason: "yes says true",
      determining: ["yes"],
      fuelUsed: 20,
    });
    assert.equal(anyOf(no, broken).decide(facts()).reason, "no says false; The policy threw: broken");
  });

  test("nest", () => {
    assert.equal(allOf(yes, anyOf(no, allOf(yes, yes))).decide(facts()).allowed, true);
    assert.equal(allOf(yes, anyOf(no, allOf(yes, no))).decide(facts()).allowed, false);
  });

  test("take no list that changes later, and no policy that is none", () => {
    const list = [yes];
    const policy = allOf(...list);
    list.push(no);
    assert.equal(policy.decide(facts()).allowed, true);
    assert.throws(() => allOf(undefined as unknown as Policy), TypeError);
    assert.throws(() => anyOf({ name: "x" } as unknown as Policy), TypeError);
  });
});

describe("decideSafely()", () => {
  test("takes anything but true for a no", () => {
    for (
      const answer of [
        undefined,
        null,
        true,
        1,
        "yes",
        {},
        { allowed: 1 },
        { allowed: "true" },
        { allowed: {} },
        Promise.resolve({ allowed: true }),
      ]
    ) assert.equal(decideSafely(odd(answer), facts()).allowed, false);
    assert.equal(decideSafely(odd({ allowed: true }), facts()).allowed, true);
  });

  test("reads each property once", () => {
    let reads = 0;
    const answer = {
      get allowed() {
        return ++reads > 1;
      },
    };
    assert.equal(decideSafely(odd(answer), facts()).allowed, false);
    assert.equal(reads, 1);
  });
});
