import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { FactParts, Principal, TokenPrincipal } from "../../../lib/policy/mod.ts";
import { serialisedFacts } from "../../../lib/policy/facts.ts";
import {
  checkPrincipal,
  principalFromText,
  principalId,
  principalOf,
  principalText,
} from "../../../lib/policy/principal.ts";
import { cedarPolicy, cedarSchema } from "../../support/policies.ts";
import { facts } from "./cedar/requests.ts";

const ISSUER = "https://id.example";
const SHA256 = "5a".repeat(32);

const token = (subject: string, issuer: string = ISSUER): TokenPrincipal => ({
  type: "Token",
  issuer,
  subject,
  claims: {},
});
const allowed = (text: string, caller: FactParts["caller"], options: object = {}) =>
  cedarPolicy(text, options).decide(facts({ caller })).allowed;

/** Subjects that look like another caller, or like Cedar. */
const HOSTILE = [
  "3",
  "parent",
  "Caller:3",
  'Caller::"3"',
  "a|b",
  '"',
  "\\",
  '" || true || "',
  "|",
  "\u{1f98a}",
];

describe("a principal", () => {
  test("has the id of no other of its type, and the text of no other at all", () => {
    const all: Principal[] = [
      { type: "Caller", cid: 3 },
      { type: "Parent" },
      { type: "Certificate", sha256: SHA256 },
      ...HOSTILE.map((subject) => token(subject)),
      ...HOSTILE.map((subject) => token(subject, "https://other.example")),
    ];
    assert.equal(new Set(all.map(principalText)).size, all.length);
    for (const principal of all) {
      assert.deepEqual(principalOf(principal.type, principalId(principal)), principal);
      assert.deepEqual(principalFromText(principalText(principal)), principal);
      assert.deepEqual(checkPrincipal(principal), principal);
    }
  });

  test("is refused when another could have its id", () => {
    assert.throws(() => checkPrincipal(token("b", "a|")), { name: "TypeError", message: /^issuer must not/ });
    assert.throws(() => checkPrincipal(token("")), {
      name: "RangeError",
      message: /^subject must have 1 to/,
    });
    assert.throws(() => checkPrincipal(token("a", "")), { name: "RangeError" });
    assert.throws(() => checkPrincipal(token("a".repeat(513))), { name: "RangeError" });
    for (const subject of ["\0", "\ud800"]) {
      assert.throws(() => checkPrincipal(token(subject)), { name: "TypeError" });
    }
    for (const cid of [-1, 2 ** 32, 0.5]) {
      assert.throws(() => checkPrincipal({ type: "Caller", cid }), { name: "RangeError" });
    }
    for (const sha256 of [SHA256.toUpperCase(), SHA256.slice(1), `${SHA256}\n`, 7]) {
      assert.throws(() => checkPrincipal({ type: "Certificate", sha256 }), { message: /^sha256 must be 64/ });
    }
    for (const type of ["caller", "Nobody", "", undefined]) {
      assert.throws(() => checkPrincipal({ type }), { name: "TypeError", message: /^caller.type must be/ });
    }
    assert.throws(() => checkPrincipal({ type: "Parent", cid: 3 }), { name: "TypeError", message: /`cid`/ });
    assert.throws(() => checkPrincipal({ ...token("a"), cid: 3 }), { name: "TypeError", message: /`cid`/ });
  });

  test("is not read from an id that none can have", () => {
    const impossible = [
      ["Caller", "03"],
      ["Caller", "4294967296"],
      ["Caller", ""],
      ["Token", "issuer"],
      ["Token", "|sub"],
      ["Token", "issuer|"],
      ["Certificate", SHA256.toUpperCase()],
      ["Parent", "3"],
      ["Key", "3"],
    ] as const;
    for (const [type, id] of impossible) assert.equal(principalOf(type, id), undefined, `${type} ${id}`);
  });
});

describe("facts of a principal", () => {
  test("have its type, and what was proved of it", () => {
    const { principal } = facts({ caller: { ...token("ann"), claims: { roles: ["dev"], level: 7 } } });
    assert.deepEqual(principal, { ...token("ann"), claims: { roles: ["dev"], level: 7 } });
    assert.ok(principal.type === "Token" && Object.isFrozen(principal.claims["roles"]));
    const certificate = { type: "Certificate", sha256: SHA256 } as const;
    assert.deepEqual(facts({ caller: certificate }).principal, { ...certificate, attributes: {} });
    assert.deepEqual(facts({ caller: { type: "Parent" } }).principal, { type: "Parent" });
    const text = new TextDecoder().decode(serialisedFacts(facts({ caller: { type: "Caller", cid: 9 } })));
    assert.match(text, /^\{"principal":\{"type":"Caller","cid":9,"attributes":\{\}\},/);
  });

  test("take the operator's attributes for a CID and a certificate only", () => {
    const attributes = { tenant: "red" };
    const certificate = { type: "Certificate", sha256: SHA256, attributes } as const;
    assert.deepEqual(facts({ caller: certificate }).principal, certificate);
    for (const caller of [{ ...token("ann"), attributes }, { type: "Parent", attributes } as const]) {
      assert.throws(() => facts({ caller }), { name: "TypeError", message: /^caller.attributes are for/ });
    }
    for (const more of [{ subject: "ann" }, { type: "Token" }, { type: undefined }]) {
      const caller = { cid: 3, attributes, ...more } as FactParts["caller"];
      assert.throws(() => facts({ caller }), { name: "TypeError" }, JSON.stringify(more));
    }
  });
});

describe("a Cedar policy", () => {
  const for_ = (entity: string) => `permit(principal == ${entity}, action, resource);`;

  test("tells principals apart by type and id", () => {
    const policy = cedarPolicy(for_(`Token::"${ISSUER}|3"`));
    const asks = (caller: FactParts["caller"]) => policy.decide(facts({ caller })).allowed;
    assert.equal(asks(token("3")), true);
    const others = [
      token("3", "https://other.example"),
      token("33"),
      token("|3"),
      { type: "Parent" } as const,
    ];
    for (const other of [...others, { cid: 3, attributes: {} }]) assert.equal(asks(other), false);
    for (const subject of HOSTILE) {
      assert.equal(allowed(for_('Caller::"3"'), token(subject)), false, subject);
      assert.equal(allowed(for_('Parent::"parent"'), token(subject)), false, subject);
    }
    assert.equal(allowed(for_('Parent::"parent"'), { cid: 3, attributes: {} }), false);
    assert.equal(allowed(for_('Parent::"parent"'), { type: "Parent" }), true);
    assert.equal(allowed(for_(`Certificate::"${SHA256}"`), { type: "Certificate", sha256: SHA256 }), true);
  });

  test("finds a subject with quotes and bars, as it is written in Cedar", () => {
    assert.equal(allowed(for_(`Token::"${ISSUER}|a|\\"b"`), token('a|"b')), true);
    assert.equal(allowed(for_(`Token::"${ISSUER}|a|\\"b"`), token("a|b")), false);
  });

  test("reads declared claims, and refuses a request with others", () => {
    const text =
      "permit(principal is Token, action, resource) when { principal has tier && principal.tier > 2 };";
    const options = { claims: { tier: "Long" } };
    const ofTier = (claims: TokenPrincipal["claims"]) => allowed(text, { ...token("ann"), claims }, options);
    assert.deepEqual([ofTier({ tier: 3 }), ofTier({ tier: 2 }), ofTier({})], [true, false, false]);
    assert.deepEqual([ofTier({ tier: "3" }), ofTier({ tier: 3, other: 1 })], [false, false]);
  });

  test("knows issuer and subject, which no claim can stand for", () => {
    const text = `permit(principal is Token, action, resource)
      when { principal.issuer == "${ISSUER}" && principal.subject like "team-*" };`;
    assert.deepEqual([allowed(text, token("team-a")), allowed(text, token("ann"))], [true, false]);
    const claims = { issuer: ISSUER, subject: "team-a" };
    assert.equal(allowed(text, { ...token("ann"), claims }), false);
    for (const name of ["issuer", "subject", "sha256", "cid", "in", "a-b", ""]) {
      assert.throws(() => cedarPolicy(text, { claims: { [name]: "String" } }), {
        name: "TypeError",
        message: /^A token's claim needs a name/,
      });
    }
  });

  test("does not load for somebody who cannot exist", () => {
    const wrong = [
      [for_('Token::"ann"'), /^Is it Token::"<issuer>\|<subject>"/],
      [`forbid(principal, action, resource) when { principal == Token::"ann" };`, /^Is it Token/],
      [for_(`Certificate::"${SHA256.toUpperCase()}"`), /^Is it Certificate/],
      [for_('Parent::"3"'), /^Is Parent::"parent" meant/],
      [for_('Caller::"007"'), /^Is it Caller::"<CID>"/],
      [`forbid(principal in Caller::"red", action, resource);`, /^Is it Caller::"<CID>"/],
    ] as const;
    for (const [text, hint] of wrong) {
      assert.throws(() => cedarPolicy(text), {
        code: "ERR_POLICY_LOAD",
        hint,
        message: /that policy0 names/,
      });
    }
  });

  test("is tried for each type of principal when it loads", () => {
    const overflow = (type: string) =>
      `forbid(principal is ${type}, action, resource) when { context.time * 9000000000000000000 > 5 };`;
    for (const type of ["Token", "Certificate", "Parent"]) {
      assert.throws(() => cedarPolicy(overflow(type)), {
        code: "ERR_POLICY_LOAD",
        message: new RegExp(`cannot decide a plain Decrypt of a ${type}: policy0 failed: integer overflow`),
      });
    }
  });

  test("has a schema with each type", () => {
    const schema = cedarSchema();
    assert.match(schema, /principal: \[Caller, Token, Certificate, Parent\],/);
    assert.match(schema, /entity Certificate = \{\n {2}"sha256": String,\n {2}"name"\?: String,/);
  });
});
