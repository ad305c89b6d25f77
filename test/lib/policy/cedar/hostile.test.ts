import assert from "node:assert/strict";
import { describe } from "#test";
import { EnclaveKmsError, PolicyLoadError } from "../../../../lib/core/errors.ts";
import {
  decideSafely,
  type FactParts,
  type Policy,
  type PolicyDecision,
  type PolicyFacts,
} from "../../../../lib/policy/mod.ts";
import { lookingFor, plugin } from "../../../support/wasm_module.ts";
import { BAD_AT_LOAD, BAD_AT_RUN_TIME } from "../wasm/hostile_modules.ts";
import { facts, manyPolicies, once, TENANT_POLICY } from "./requests.ts";
import { cedarPolicy, wasmPolicy } from "../../../support/policies.ts";
import { divideTests } from "../../../support/share.ts";

const test = divideTests("Deno");

/** Longer than a canary, with nothing hostile in it. */
const LONG = facts({
  encryptionContext: { tenant: "red", x: "a".repeat(20_000), y: `${"a".repeat(19_999)}b` },
});

function refuses(policy: Policy, request: PolicyFacts): PolicyDecision {
  const decision = decideSafely(policy, request);
  assert.equal(decision.allowed, false, decision.reason);
  assert.ok((decision.fuelUsed ?? 0) <= 2_000_000);
  return decision;
}

function when(condition: string, effect = "permit"): string {
  return `${effect}(principal, action, resource) when { ${condition} };`;
}

const tag = (name: string) => `context.encryptionContext.getTag("${name}")`;
const hasTags = `context.encryptionContext.hasTag("x") && context.encryptionContext.hasTag("y")`;
const times = (count: number, part: string, between: string) => Array(count).fill(part).join(between);

/** Policies that do not load: TypeError aside, each is a PolicyLoadError. */
const BAD_POLICIES: Readonly<Record<string, string>> = {
  "nothing": "",
  "only a comment": "// permit(principal, action, resource);",
  "no end": "permit(principal, action, resource)",
  "no policy": "allow everything;",
  "150 parentheses": when("(".repeat(150) + "true" + ")".repeat(150)),
  "100000 parentheses": when("(".repeat(100_000)),
  "100000 sets": when("[".repeat(100_000)),
  "100000 records": when('{"a":'.repeat(100_000)),
  "100000 negations": when("!".repeat(100_000) + "true"),
  "400 sums": when(times(400, "1", " + ") + " > 0"),
  "400 products": when(times(400, "1", " * ") + " > 0"),
  "400 conditions": when("if true then false else ".repeat(400) + "true"),
  "10000 attributes deep": when(`context${".a".repeat(10_000)} == 1`),
  "a megabyte": `${TENANT_POLICY}// ${"x".repeat(1 << 20)}`,
  "an unknown attribute": when("context.secret == 1"),
  "an unknown principal": 'permit(principal == User::"x", action, resource);',
  "an unknown action": 'permit(principal, action == Action::"Delete", resource);',
  "an unknown function": when('exec("id")'),
  "a tag that may be missing": when(`${tag("tenant")} == "red"`),
  "an attribute that may be missing": when('principal.tenant == "red"'),
  "a wrong type": when('context.time == "now"'),
  "a template": "permit(principal == ?principal, action, resource);",
  "an address from the request": when(`${hasTags} && ip(${tag("x")}).isLoopback()`),
  "an entity that is not in the request": when('Key::"x".region == "eu"', "forbid"),
  "an overflow": when("context.time * 9000000000000000000 > 0", "forbid"),
  "a literal that is too large": when("context.time == 99999999999999999999"),
  "a string without an end": when('"'),
  "a lone surrogate": `@id("\ud800") ${when("true && )")}`,
  "a NUL": "permit(principal, action, resource)\0",
};

/** Policies that load, and must refuse {@link LONG} and stay usable. */
const HEAVY_POLICIES: Readonly<Record<string, string>> = {
  "a pattern that tries everything": when(`${hasTags} && ${tag("x")} like "*${"a".repeat(500)}b"`),
  "many patterns": times(50, when(`${hasTags} && ${tag("x")} like "${"*a".repeat(400)}c"`), "\n"),
  "long comparisons": times(200, when(`${hasTags} && ${tag("x")} == ${tag("y")}`), "\n"),
  "large sets": times(
    20,
    when(`${hasTags} && [${times(100, tag("x"), ",")}].containsAll([${tag("y")}])`),
    "\n",
  ),
  "a forbid that overflows": `${when("true")} ${when("context.time + 9223372036854775000 < 0", "forbid")}`
    .replace("context.time", "context.ciphertextLength"),
};

const HOSTILE_NAMES = [
  "__proto__",
  "__entity",
  "__extn",
  "__expr",
  "constructor",
  "toJSON",
  "tenant\n",
  "ténant",
];

/** Requests that come near the good one. */
const BAD_REQUESTS: Readonly<Record<string, Partial<FactParts>>> = {
  "another caller": { caller: { cid: 8, attributes: { tenant: "red" } } },
  "the parent": { caller: { cid: 3, attributes: { tenant: "red" } } },
  "another tenant": { encryptionContext: { tenant: "blue" } },
  "a tenant in other case": { encryptionContext: { tenant: "RED" } },
  "a tenant with a space": { encryptionContext: { tenant: "red " } },
  "a tenant in look-alike letters": { encryptionContext: { tenant: "r\u0435d" } },
  "a tag in other case": { encryptionContext: { Tenant: "red" } },
  "no encryption context": { encryptionContext: undefined },
  "no key": { keyId: undefined },
  "a key that quotes": { keyId: 'alias/tenants" || true || "' },
  "a key with a NUL's text": { keyId: "alias/tenants\\0" },
  "another action": { action: "GenerateDataKey" },
  "an attribute nobody declared": { caller: { cid: 7, attributes: { tenant: "red", admin: true } } },
  "an attribute of another type": { caller: { cid: 7, attributes: { tenant: ["red"] } } },
  "an attribute that is a number": { caller: { cid: 7, attributes: { tenant: 7 } } },
  "a CID among the attributes": { caller: { cid: 8, attributes: { cid: 7, tenant: "red" } } },
  "ten thousand pairs": {
    encryptionContext: Object.fromEntries(Array.from({ length: 4000 }, (_, index) => [`k${index}`, "v"])),
  },
  "a key of 60000 characters": { keyId: "k".repeat(60_000) },
  "a context of escapes": { encryptionContext: { tenant: "\u0001".repeat(10_000) } },
  ...Object.fromEntries(HOSTILE_NAMES.map((name) => [
    `a tag named ${JSON.stringify(name)}`,
    { encryptionContext: Object.fromEntries([[name, "red"]]) },
  ])),
};

/** Objects that are not facts, whatever they look like. */
const FALSE_FACTS: Readonly<Record<string, unknown>> = {
  "a copy": { ...facts() },
  "a proxy": new Proxy(facts(), {}),
  "an heir": Object.create(facts()),
  "parsed JSON": JSON.parse(JSON.stringify(facts())),
  "nothing": undefined,
  "null": null,
  "a string": JSON.stringify(facts()),
};

describe("hostile policies", () => {
  const good = once(() => cedarPolicy(TENANT_POLICY));

  for (const [name, text] of Object.entries(BAD_POLICIES)) {
    test(`${name} does not load`, () => {
      assert.throws(() => cedarPolicy(text), (error: unknown) => {
        assert.ok(error instanceof PolicyLoadError, String(error));
        assert.ok(error.message.length < 600 && /^[\x20-\x7e]+$/.test(error.message), error.message);
        return true;
      });
      assert.equal(good().decide(facts()).allowed, true);
    });
  }

  for (const [name, text] of Object.entries(HEAVY_POLICIES)) {
    test(`${name}: a long request is refused, the next good one permitted`, () => {
      const policy = cedarPolicy(`${TENANT_POLICY}\n${text}`, { onWarning: () => {} });
      const hostile = name.includes("overflows") ? facts({ ciphertext: new Uint8Array(6144) }) : LONG;
      for (let round = 0; round < 2; round++) {
        assert.match(refuses(policy, hostile).reason, /^Cedar could not decide: /);
        assert.equal(policy.decide(facts()).allowed, true);
      }
    });
  }
});

describe("hostile modules", () => {
  const good = once(() => wasmPolicy(plugin(lookingFor("Decr"))));

  for (const [name, [module, message]] of Object.entries(BAD_AT_LOAD)) {
    test(`one that ${name} does not load`, () => {
      assert.throws(() => wasmPolicy(module), (error: unknown) => {
        assert.ok(error instanceof EnclaveKmsError && error instanceof PolicyLoadError, String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.equal(good().decide(facts()).allowed, true);
    });
  }

  for (const [name, [module, reason]] of Object.entries(BAD_AT_RUN_TIME)) {
    test(`one that ${name} refuses`, () => {
      const policy = wasmPolicy(module);
      for (let round = 0; round < 2; round++) assert.match(refuses(policy, LONG).reason, reason);
      assert.equal(good().decide(facts()).allowed, true);
    });
  }
});

describe("hostile requests", () => {
  const policy = once(() =>
    cedarPolicy(`${manyPolicies(20).replaceAll('"alias/tenants"', '"alias/others"')}${TENANT_POLICY}`)
  );

  for (const [name, parts] of Object.entries(BAD_REQUESTS)) {
    test(`${name} is refused, the next good one permitted`, () => {
      refuses(policy(), facts(parts));
      assert.equal(policy().decide(facts()).allowed, true);
    });
  }

  for (const [name, object] of Object.entries(FALSE_FACTS)) {
    test(`${name} is not taken for facts`, () => {
      refuses(policy(), object as PolicyFacts);
      refuses(wasmPolicy(plugin(lookingFor("Decr"))), object as PolicyFacts);
      assert.equal(policy().decide(facts()).allowed, true);
    });
  }
});
