import assert from "node:assert/strict";
import { describe, test } from "#test";
import { canaryFacts, type FactParts, serialisedFacts } from "../../../lib/policy/facts.ts";
import {
  allOf,
  anyOf,
  decideSafely,
  denied,
  denyAll,
  messageOf,
  type Policy,
  type PolicyDecision,
} from "../../../lib/policy/policy.ts";
import { RateCounter } from "../../../lib/policy/rate.ts";
import { facts } from "./cedar/requests.ts";
import { ACTIONS } from "../../support/policies.ts";

const answering = (answer: unknown): Policy => ({ name: "odd", decide: () => answer as PolicyDecision });

describe("facts", () => {
  const hex = (length: number) => "0f".repeat(length);

  /** Wrong parts, and the library's message for each. */
  const WRONG: readonly (readonly [parts: object, name: string, message: RegExp])[] = [
    [{ action: "De crypt" }, "TypeError", /^action must be a word of at most 64 letters, digits and _/],
    [{ action: undefined }, "TypeError", /^action must be a word of at most 64 letters, digits and _/],
    [{ keyId: 7 }, "TypeError", /^keyId must be a string$/],
    [{ region: undefined }, "TypeError", /^region must be a string$/],
    [{ encryptionContext: { a: 1 } }, "TypeError", /^encryptionContext must be a string$/],
    [{ encryptionContext: { "a\0": "b" } }, "TypeError", /^names must not contain a NUL$/],
    [{ time: 1.5 }, "RangeError", /^time must be an integer/],
    [{ recentCount: -1 }, "RangeError", /^recentCount must be an integer/],
    [{ ciphertext: "AQID" }, "TypeError", /^ciphertext must be a Uint8Array, or its digest$/],
    [{ ciphertext: { sha256: hex(32) } }, "TypeError", /^ciphertext.length must be a number$/],
    [{ ciphertext: { sha256: hex(32), length: -1 } }, "RangeError", /^ciphertext.length must be an integer/],
    [
      { ciphertext: { sha256: hex(31), length: 1 } },
      "TypeError",
      /^ciphertext.sha256 must be 64 lowercase hex/,
    ],
    [{ ciphertext: { sha256: `${hex(31)}AB`, length: 1 } }, "TypeError", /^ciphertext.sha256 must be 64 low/],
    [{ ciphertext: { sha: hex(32), length: 1 } }, "TypeError", /^The ciphertext digest has no field `sha`/],
    [{ caller: { cid: -1, attributes: {} } }, "RangeError", /^cid must be an integer/],
    [{ caller: { cid: 3, attributes: { a: null } } }, "TypeError", /^attributes must be a number$/],
    [{ caller: { cid: 3, attributes: { a: [1] } } }, "TypeError", /^attributes must be a string$/],
    [{ caller: { cid: 3, attributes: { a: "\0" } } }, "TypeError", /^attributes must not contain a NUL$/],
    [
      { caller: { cid: 3, attributes: { a: 2 ** 53 } } },
      "RangeError",
      /^attributes must be an integer from -90/,
    ],
    [{ pcrs: { x: hex(48) } }, "TypeError", /^pcrs must have no index that is not 0 to 31$/],
    [{ pcrs: { 17: hex(48) } }, "RangeError", /^pcrs must be an integer from 0 to 16$/],
  ];
  for (const [parts, name, message] of WRONG) {
    test(`refuse ${JSON.stringify(parts)}`, () => {
      assert.throws(() => facts(parts as Partial<FactParts>), { name, message });
    });
  }

  test("take PCRs of 32, 48 and 64 bytes, and nothing else", () => {
    for (const length of [32, 48, 64]) {
      const pcrs = { 0: hex(length), 15: hex(length) };
      assert.deepEqual(facts({ pcrs }).context.pcrs, { pcr0: pcrs[0], pcr15: pcrs[15] });
    }
    const wrong = [
      "",
      "0",
      hex(31),
      hex(33),
      hex(47),
      hex(49),
      hex(63),
      hex(65),
      `x${hex(48)}`,
      `${hex(48)}x`,
    ];
    for (const value of [...wrong, "z".repeat(64), "z".repeat(96), "z".repeat(128), [hex(48)]]) {
      assert.throws(() => facts({ pcrs: { 0: value as string } }), {
        name: "TypeError",
        message: "pcrs[0] must be 32, 48 or 64 bytes, or their hex",
      });
    }
  });

  test("take attributes of every kind, to both ends", () => {
    const { MAX_SAFE_INTEGER: max, MIN_SAFE_INTEGER: min } = Number;
    const attributes = { a: true, b: false, c: "", d: ["x", "y"], e: max, f: min, g: [] };
    assert.deepEqual(facts({ caller: { cid: 0xffff_ffff, attributes } }).principal, {
      type: "Caller",
      cid: 0xffff_ffff,
      attributes,
    });
  });

  test("are serialised only where they were made", () => {
    assert.throws(() => serialisedFacts({ ...facts() }), {
      name: "TypeError",
      message: "These facts were not made by makeFacts()",
    });
  });

  test("for a trial are of every action, and the same each time", () => {
    for (const action of ACTIONS) {
      const { principal, resource, context, ...rest } = canaryFacts(action);
      assert.deepEqual(rest, { action });
      assert.deepEqual(principal, { type: "Caller", cid: 3, attributes: {} });
      assert.deepEqual(resource, { key: "", region: "us-east-1" });
      assert.deepEqual([context.encryptionContext, context.ciphertextLength], [{ canary: "canary" }, 1]);
      assert.deepEqual([context.time, context.recentCount, context.pcrs], [1_800_000_000, 1, {}]);
    }
  });
});

describe("policies' words", () => {
  const yes: Policy = answering({ allowed: true, reason: "yes", determining: ["a"], fuelUsed: 3 });

  test("name what a policy is made of", () => {
    const other = { ...yes, name: "other" };
    assert.equal(allOf(yes, other).name, "all of odd, other");
    assert.equal(anyOf(yes, other).name, "any of odd, other");
    assert.equal(denyAll.name, "deny-all");
  });

  test("say why there is no yes", () => {
    const nobody = { allowed: false, reason: "There is no policy to permit it", determining: [] };
    assert.deepEqual(allOf().decide(facts()), nobody);
    assert.deepEqual(anyOf().decide(facts()), nobody);
    assert.deepEqual(denyAll.decide(facts()), { ...nobody, reason: "No policy is loaded" });
    assert.deepEqual(denied("r"), { allowed: false, reason: "r", determining: [] });
    assert.deepEqual(denied("r", 0), { allowed: false, reason: "r", determining: [], fuelUsed: 0 });
  });

  test("are made up where a policy gives none of the right kind", () => {
    const none = { allowed: false, reason: "The policy gave no reason", determining: [] };
    for (const answer of [{}, { reason: 7, determining: "a", fuelUsed: "3" }]) {
      assert.deepEqual(decideSafely(answering(answer), facts()), none);
    }
    const given = { allowed: true, reason: "r", determining: [1, "b"], fuelUsed: 3 };
    assert.deepEqual(decideSafely(answering(given), facts()), { ...given, determining: ["1", "b"] });
  });

  test("hold at most 200 printable characters of what was thrown", () => {
    assert.equal(messageOf(new Error("x".repeat(201))), "x".repeat(200));
    assert.equal(messageOf(new Error("a\u001b\nb~ é\u007f")), "a??b~ ??");
    assert.equal(messageOf("thrown"), "something that is no Error");
  });

  test("refuse what is no policy", () => {
    const wrong = [undefined, null, {}, { name: "x" }, { decide: () => {} }, { name: 7, decide: () => {} }];
    for (const policy of wrong) {
      for (const combine of [allOf, anyOf]) {
        assert.throws(() => combine(policy as unknown as Policy), {
          name: "TypeError",
          message: "A policy must have a name and decide()",
        });
      }
    }
  });
});

describe("RateCounter", () => {
  test("keeps the counts of those who asked lately when it forgets the others", () => {
    let now = 0;
    const rate = new RateCounter({ now: () => now });
    for (let cid = 0; cid < 1023; cid++) rate.reserve(String(cid));
    now += 59_000;
    rate.reserve("5000");
    now += 30_000;
    // The 1025th caller has the first thousand forgotten, and not the last.
    assert.equal(rate.reserve("6000").count, 1);
    assert.deepEqual([rate.reserve("5000").count, rate.reserve("7").count], [2, 1]);
  });

  test("counts a request for sixty steps, the first included", () => {
    let now = 0;
    const rate = new RateCounter({ windowSeconds: 60, now: () => now });
    rate.reserve("7");
    now = 60_999;
    assert.equal(rate.reserve("7").count, 2);
    now = 61_000;
    assert.equal(rate.reserve("7").count, 2);
  });

  test("goes by the runtime's clock, and names its window", () => {
    const rate = new RateCounter();
    assert.deepEqual([rate.reserve("7").count, rate.reserve("7").count], [1, 2]);
    assert.throws(() => new RateCounter({ windowSeconds: 0 }), {
      name: "RangeError",
      message: "windowSeconds must be an integer from 1 to 86400",
    });
  });
});
