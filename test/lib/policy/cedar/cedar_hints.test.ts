import assert from "node:assert/strict";
import { describe, test } from "#test";
import { PolicyLoadError } from "../../../../lib/core/errors.ts";
import { cedarPolicy } from "../../../support/policies.ts";

const when = (condition: string) => `permit(principal, action, resource) when { ${condition} };`;
const useTag = (tag: string) =>
  `The encryption context has tags, not attributes: context.encryptionContext.hasTag("${tag}") && ` +
  `context.encryptionContext.getTag("${tag}") == …`;

const HINTS: readonly (readonly [string, string | RegExp])[] = [
  [when('context.encryptionContext.tenant == "a"'), useTag("tenant")],
  [when('context.encryptionContext["aws:x"] == "a"'), useTag("…")],
  [when("context.encryptionContext has tenant"), useTag("tenant")],
  [when('context.encryptionContext.getTag("x") == "a"'), useTag("x")],
  [when("false"), /^No request can fulfil it/],
  [when('principal.tenant == "a"'), "Not every caller has it: ask `principal has tenant && …` first"],
  [when("principal.cid == 3"), "Not every caller has it: ask `principal has cid && …` first"],
  [
    when('principal.tennant == "a"'),
    "Is tenant meant? Callers can have cid, name, tenant, roles, issuer, subject, sha256",
  ],
  [
    when("principal.shoeSize == 7"),
    /^Callers can have cid, name, tenant, roles, issuer, subject, sha256; others are declared by/,
  ],
  ['permit(principal, action == Action::"decrypt", resource);', 'Is Action::"Decrypt" meant?'],
  [
    'permit(principal, action == Action::"Burn", resource);',
    /^The actions are Decrypt, Encrypt, GenerateDataKey, /,
  ],
  [
    'permit(principal == User::"7", action, resource);',
    /^There are Caller::"<CID>", Token::"<issuer>\|<subject>", Certificate::"<SHA-256>", Parent::"parent" and Key/,
  ],
  ["permit(principal, action, resource)", /^Is the syntax right there\?/],
  [when("context.encryptionContext == {}"), /^Does it fit the schema, which `enclave-kms policy schema`/],
];

describe("a policy that does not load says what to write instead:", () => {
  for (const [text, hint] of HINTS) {
    test(text, () => {
      assert.throws(() => cedarPolicy(text), (error) => {
        assert.ok(error instanceof PolicyLoadError, String(error));
        if (typeof hint === "string") assert.equal(error.hint, hint);
        else assert.match(error.hint, hint);
        return true;
      });
    });
  }

  test("of several policies it looks at the one that is wrong", () => {
    const tags = when('context.encryptionContext.hasTag("a")');
    assert.throws(() => cedarPolicy(`${when("context.encryptionContext has a")}${tags}`), {
      hint: useTag("tenant"),
    });
    assert.throws(() => cedarPolicy(`${tags} ${when("false")} // encryptionContext has a\n`), {
      hint: /^No request can fulfil it/,
    });
  });
});
