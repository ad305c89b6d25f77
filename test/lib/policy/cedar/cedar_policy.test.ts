import assert from "node:assert/strict";
import { describe } from "#test";
import { PolicyLoadError } from "../../../../lib/core/errors.ts";
import { makeFacts } from "../../../../lib/policy/mod.ts";
import { facts, factsOf, manyPolicies, TENANT_POLICY } from "./requests.ts";
import { ACTIONS, cedarPolicy } from "../../../support/policies.ts";
import { divideTests } from "../../../support/share.ts";

const test = divideTests();

function permit(condition: string): string {
  return `permit(principal, action, resource) when { ${condition} };`;
}

function loadFails(text: string, expected: { message: RegExp; place?: [number, number]; policyId?: string }) {
  assert.throws(() => cedarPolicy(text), (error: unknown) => {
    assert.ok(error instanceof PolicyLoadError, String(error));
    assert.equal(error.code, "ERR_POLICY_LOAD");
    assert.match(error.message, expected.message);
    if (expected.place !== undefined) assert.deepEqual([error.line, error.column], expected.place);
    if (expected.policyId !== undefined) assert.equal(error.policyId, expected.policyId);
    assert.ok(error.hint.length > 0);
    return true;
  });
}

describe("cedarPolicy()", () => {
  test("permits what a policy permits, and names it", () => {
    const { allowed, reason, determining } = cedarPolicy(TENANT_POLICY).decide(facts());
    assert.deepEqual({ allowed, reason, determining }, {
      allowed: true,
      reason: "Permitted by tenant",
      determining: ["tenant"],
    });
  });

  test("refuses another caller, key, action, tenant, and a missing tag", () => {
    const policy = cedarPolicy(TENANT_POLICY);
    for (
      const other of [
        factsOf(8, "red"),
        factsOf(7, "blue"),
        facts({ caller: { cid: 7, attributes: {} } }),
        facts({ keyId: "alias/other" }),
        facts({ keyId: undefined }),
        facts({ action: "Encrypt" }),
        facts({ encryptionContext: { tenant: "blue" } }),
        facts({ encryptionContext: { Tenant: "red" } }),
        facts({ encryptionContext: undefined }),
      ]
    ) {
      const { allowed, reason } = policy.decide(other);
      assert.deepEqual({ allowed, reason }, { allowed: false, reason: "No policy permits it" });
    }
    assert.equal(policy.decide(facts()).allowed, true);
  });

  test("sees every fact", () => {
    for (
      const condition of [
        "principal is Caller && principal.cid == 7",
        'principal has tenant && principal.tenant == "red"',
        'principal has roles && principal.roles.contains("ops")',
        'resource.id == "alias/tenants" && resource.region == "eu-central-1"',
        "context.ciphertextLength == 3",
        'context.ciphertextSha256 == "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81"',
        `context.pcrs has pcr0 && context.pcrs.pcr0 == "${"ab".repeat(48)}"`,
        "context.time == 1800000000",
        "context.recentCount == 1",
      ]
    ) {
      const request = facts({
        caller: { cid: 7, attributes: { tenant: "red", roles: ["dev", "ops"] } },
        ciphertext: new Uint8Array([1, 2, 3]),
      });
      assert.equal(cedarPolicy(permit(condition)).decide(request).allowed, true, condition);
      assert.equal(cedarPolicy(permit(`!(${condition})`)).decide(request).allowed, false, condition);
    }
  });

  test("knows every action", () => {
    for (const action of ACTIONS) {
      const policy = cedarPolicy(`permit(principal, action == Action::"${action}", resource);`);
      for (const asked of ACTIONS) {
        assert.equal(policy.decide(facts({ action: asked })).allowed, asked === action);
      }
    }
  });

  test("a forbid beats a permit, and is named", () => {
    const policy = cedarPolicy(`${TENANT_POLICY} @id("too many") forbid(principal, action, resource)
      when { context.recentCount > 10 };`);
    assert.equal(policy.decide(facts({ recentCount: 10 })).allowed, true);
    const { allowed, reason } = policy.decide(facts({ recentCount: 11 }));
    assert.deepEqual({ allowed, reason }, { allowed: false, reason: "Forbidden by too many" });
  });

  test("a forbid that fails refuses, where Cedar would allow", () => {
    const policy = cedarPolicy(`${TENANT_POLICY} @id("sum") forbid(principal, action, resource)
      when { context.recentCount + 9223372036854775000 < 0 };`);
    assert.equal(policy.decide(facts()).allowed, true);
    const { allowed, reason, determining } = policy.decide(facts({ recentCount: 10_000 }));
    assert.deepEqual({ allowed, determining }, { allowed: false, determining: [] });
    assert.match(reason, /^Cedar could not decide: sum failed: integer overflow/);
  });

  test("attributes are the operator's to declare, and others refuse", () => {
    const policy = cedarPolicy(permit("principal has tier && principal.tier > 2"), {
      attributes: { tier: "Long" },
    });
    assert.equal(policy.decide(facts({ caller: { cid: 7, attributes: { tier: 3 } } })).allowed, true);
    assert.equal(policy.decide(facts({ caller: { cid: 7, attributes: { tier: 2 } } })).allowed, false);
    for (const attributes of [{ tier: "3" }, { tier: 3, tenant: "red" }]) {
      const { allowed, reason } = policy.decide(facts({ caller: { cid: 7, attributes } }));
      assert.equal(allowed, false);
      assert.match(reason, /^Cedar could not decide: it refused the request: /);
    }
  });

  test("has the name that it is given, and one without", () => {
    assert.equal(cedarPolicy(TENANT_POLICY).name, "cedar");
    assert.equal(cedarPolicy(TENANT_POLICY, { name: "tenants" }).name, "tenants");
  });

  test("refuses what is too long for Cedar, though not for a policy", () => {
    const [policy, longest] = [cedarPolicy(permit("true")), 65_536 - 700];
    const { allowed, reason } = policy.decide(facts({ encryptionContext: { x: "a".repeat(longest) } }));
    assert.equal(allowed, false);
    assert.equal(reason, "Cedar could not decide: The request comes to more than 65536 bytes");
    const shorter = policy.decide(facts({ encryptionContext: { x: "a".repeat(longest - 500) } }));
    assert.equal(shorter.allowed, true, shorter.reason);
  });

  test("takes no facts but the host's own", () => {
    const { allowed, reason } = cedarPolicy(permit("true")).decide({ ...facts() });
    assert.equal(allowed, false);
    assert.match(reason, /not made by makeFacts/);
  });

  test("takes the same fuel on every runtime", () => {
    const policy = cedarPolicy(manyPolicies(100), { actions: ["Decrypt", "GetAttestation"] });
    const used = [
      facts(),
      factsOf(7, "blue"),
      makeFacts({
        action: "GetAttestation",
        caller: { cid: 3, attributes: {} },
        region: "eu-central-1",
        time: 0,
        recentCount: 0,
      }),
    ].map((request) => policy.decide(request).fuelUsed);
    assert.deepEqual(used, [31950, 31791, 23224]);
  });

  test("refuses when the fuel is not enough, and decides the next request", () => {
    const slow = permit(`context.encryptionContext.hasTag("x") &&
      context.encryptionContext.getTag("x") like "*${"a".repeat(400)}b"`);
    const policy = cedarPolicy(`${TENANT_POLICY} ${slow}`);
    for (let round = 0; round < 3; round++) {
      const { allowed, reason } = policy.decide(facts({ encryptionContext: { x: "a".repeat(40_000) } }));
      assert.equal(allowed, false);
      assert.equal(reason, "Cedar could not decide: it used up its fuel of 2000000 units");
      assert.equal(policy.decide(facts()).allowed, true);
    }
  });
});

describe("loading a Cedar policy", () => {
  test("says where it is malformed", () => {
    loadFails("permit(principal, action, resource)\n  wen { true };", {
      message: /invalid policy cond/,
      place: [2, 3],
    });
    loadFails("permit(principal, action, resource)", { message: /Cannot load the policy: /, place: [1, 36] });
    loadFails('// "ä"\npermit(principal, action, resource) when { "ä" == \' };', {
      message: /Cannot load the policy: /,
      place: [2, 51],
    });
  });

  test("says where it does not fit the schema, and which policy it is", () => {
    loadFails(`${TENANT_POLICY}\n@id("mine") ${permit("context.tme > 5")}`, {
      message: /attribute `tme` in context .* \(line 9, column 56\)$/,
      place: [9, 56],
      policyId: "mine",
    });
    loadFails(permit('principal.tenant == "red"'), {
      // The first of the four types that Cedar comes to: some have no such attribute, others may lack it.
      message: /optional attribute `tenant`|attribute `tenant` on entity type `(?:Token|Parent)` not found/,
      policyId: "policy0",
    });
    loadFails(permit('context.encryptionContext.getTag("a") == "b"'), { message: /safety of access to tag/ });
    loadFails(permit('context.time == "now"'), { message: /types .* not compatible/ });
    loadFails('permit(principal == Calle::"7", action, resource);', { message: /entity type `Calle`/ });
    loadFails('permit(principal, action == Action::"Decypt", resource);', { message: /Action::"Decypt"/ });
  });

  test("says how many problems there are besides the first", () => {
    const wrong = permit('principal.tenant == "red"');
    const hintOf = (text: string) => {
      try {
        cedarPolicy(text);
      } catch (error) {
        return (error as PolicyLoadError).hint;
      }
    };
    const hint = "Not every caller has it: ask `principal has tenant && …` first";
    assert.equal(hintOf(wrong), hint);
    assert.equal(hintOf(wrong.repeat(3)), `${hint} (one of 3 problems)`);
  });

  test("refuses what can never apply, unless warnings are asked for", () => {
    const never = `${TENANT_POLICY} @id("never") ${permit("false")}`;
    loadFails(never, { message: /policy is impossible/, policyId: "never" });
    const warnings: string[] = [];
    const policy = cedarPolicy(never, { onWarning: (warning) => void warnings.push(warning) });
    assert.equal(policy.decide(facts()).allowed, true);
    assert.match(warnings.join(), /^never: .*policy is impossible[^,]*$/);
  });

  test("refuses what fails on a plain request", () => {
    loadFails('forbid(principal, action, resource) when { Key::"other".region == "x" };', {
      message: /it cannot decide a plain Decrypt: policy0 failed: entity .* does not exist/,
    });
    loadFails(permit("context.time * 9000000000000000000 > 5"), { message: /integer overflow/ });
    // Eight times this number is too much, three times is not.
    const ofCid = "when { principal.cid * 2305843009213693951 > 0 };";
    loadFails(`permit(principal == Caller::"8", action, resource) ${ofCid}`, { message: /integer overflow/ });
    const three = `permit(principal == Caller::"3", action, resource) ${ofCid}`;
    assert.equal(cedarPolicy(three).decide(factsOf(3, "red")).allowed, true);
  });

  test("refuses no policy, templates, and what would trap Cedar", () => {
    for (const nothing of ["", "  \n", "// permit(principal, action, resource);"]) {
      loadFails(nothing, { message: /it has no policies/ });
    }
    loadFails("permit(principal == ?principal, action, resource);", { message: /template/, place: [1, 21] });
    loadFails(permit("(".repeat(64) + "true" + ")".repeat(64)), {
      message: /nest more than 64/,
      place: [1, 107],
    });
    loadFails(permit(Array(202).fill("1").join(" + ") + " > 0"), { message: /more than 200 operators/ });
    loadFails(`${TENANT_POLICY}// ${"x".repeat(524_288)}`, {
      message: /it has 524\d{3} bytes, and may have 524288/,
    });
  });

  test("a comment ends where Cedar ends it, at a carriage return too", () => {
    const text = "// no policy;\rpermit(principal, action, resource); // nor this;";
    assert.equal(cedarPolicy(text).decide(facts()).allowed, true);
    const hidden = `// a comment\r${permit("true && ".repeat(300) + "true")}`;
    assert.throws(() => cedarPolicy(hidden), /more than 200 operators/);
  });

  test("brackets and templates in strings and comments do not count", () => {
    const text = `// ${"(".repeat(100)} ?principal\n${
      permit(`context.ciphertextSha256 != "${"(".repeat(100)}\\" ?x"`)
    }`;
    assert.equal(cedarPolicy(text).decide(facts()).allowed, true);
  });

  test("refuses wrong options", () => {
    assert.throws(() => cedarPolicy(TENANT_POLICY, { fuel: 20_000_001 }), RangeError);
    assert.throws(() => cedarPolicy(TENANT_POLICY, { fuel: 0 }), {
      name: "RangeError",
      message: /^fuel must /,
    });
    for (const remembered of [-1, 100_001, 0.5]) {
      assert.throws(() => cedarPolicy(TENANT_POLICY, { remembered }), { message: /^remembered must / });
    }
    assert.throws(() => cedarPolicy(TENANT_POLICY, { feul: 1 } as object), {
      name: "TypeError",
      message:
        /^The Cedar options have no field `feul`: expected name, actions, fuel, remembered, attributes, claims, onWarning$/,
    });
    assert.throws(() => cedarPolicy(TENANT_POLICY, { attributes: { cid: "Long" } }), TypeError);
    assert.throws(() => cedarPolicy(TENANT_POLICY, { attributes: { "a;b": "Long" } }), TypeError);
    assert.throws(() => cedarPolicy(7 as unknown as string), TypeError);
  });

  test("without enough fuel to decide anything does not load", () => {
    assert.throws(() => cedarPolicy(TENANT_POLICY, { fuel: 1000 }), /it used up its fuel of 1000 units/);
  });
});
