import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "#test";
import { decodeBase64 } from "../../../mod.ts";
import { DEFAULT_ATTRIBUTES } from "../../../lib/policy/mod.ts";
import { runChild } from "../child.ts";
import { runHere } from "../terminal_double.ts";
import { cedarSchema } from "../../support/policies.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

const POLICY = `@id("tenants")
permit(principal, action == Action::"Decrypt", resource)
when {
  principal has tenant && context.encryptionContext.hasTag("tenant") &&
  context.encryptionContext.getTag("tenant") == principal.tenant
};
@id("small")
forbid(principal, action, resource) when { context.ciphertextLength > 3 };
`;

/** Permits everything: the example of wasmPolicy(). */
const YES_MODULE = "AGFzbQEAAAABEANgAAF/YAF/AX9gAn9/AX8DBAMAAQIFAwEAAgc2BApwb2xpY3lfYWJpAAAMcG9s" +
  "aWN5X2FsbG9jAAENcG9saWN5X2RlY2lkZQACBm1lbW9yeQIAChEDBABBAQsFAEGACAsEAEEBCw==";

describe("policy", () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-policy-"));
    const files: Readonly<Record<string, string | Uint8Array>> = {
      "good.cedar": POLICY,
      "bad.cedar": "permit(principal, action, resource);\n\n  forbid(principal action, resource);\n",
      "odd.cedar": "permit(principal, action, resource) when { context.tenant };\n",
      "tier.cedar":
        "permit(principal, action, resource) when { principal has tier && principal.tier > 2 };\n",
      "never.cedar":
        `permit(principal, action, resource);\npermit(principal, action, resource) when { false };\n`,
      "sign.cedar": 'permit(principal, action == Action::"SignOrder", resource);\n',
      "token.cedar":
        'permit(principal == Token::"https://id.example|ann", action, resource) when { principal has tier };\n',
      "yes.wasm": decodeBase64(YES_MODULE),
      "not.wasm": "no module",
      "request.json": JSON.stringify({ action: "Decrypt" }),
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const check = (name: string, ...more: readonly string[]) =>
    runHere(["policy", "check", join(folder, name), ...more]);
  const tryOut = (name: string, request: unknown, ...more: readonly string[]) =>
    runHere(["policy", "try", join(folder, name), "--request", JSON.stringify(request), ...more]);

  test("schema prints what policies are checked against, with the attributes that are declared", async () => {
    const { code, stdout } = await runHere(["policy", "schema"]);
    assert.deepEqual([code, stdout], [0, cedarSchema()]);
    const { stdout: declared } = await runHere(["policy", "schema", "--attribute", "tier=Long"]);
    assert.equal(declared, cedarSchema({ ...DEFAULT_ATTRIBUTES, tier: "Long" }));
    const { stdout: more } = await runHere(["policy", "schema", "--action", "SignOrder"]);
    assert.ok(more.includes('"SetOwnCredentials", "SignOrder" appliesTo'), more);
  });

  describe("check", () => {
    test("says ok of Cedar's policies and of plug-ins", async () => {
      assert.deepEqual(await check("good.cedar"), { code: 0, stdout: "ok good.cedar\n", stderr: "" });
      assert.deepEqual(await check("yes.wasm"), { code: 0, stdout: "ok yes.wasm\n", stderr: "" });
      assert.equal((await runHere(["policy", "check", "examples/policies/tenants.cedar"])).code, 0);
    });

    test("says where a policy is wrong, as compilers do", async () => {
      const { code, stdout, stderr } = await check("bad.cedar");
      assert.equal(code, 2);
      assert.ok(stdout.startsWith(`${join(folder, "bad.cedar")}:3:20: `), stdout);
      assert.match(stderr, /^hint: .+\ncode: ERR_POLICY_LOAD \(line 3, column 20/m);
    });

    test("--json has line and column", async () => {
      const { code, stdout } = await check("bad.cedar", "--json");
      const { valid, line, column } = JSON.parse(stdout);
      assert.deepEqual([code, valid, line, column], [2, false, 3, 20]);
      assert.equal(JSON.parse((await check("good.cedar", "--json")).stdout).valid, true);
    });

    test("refuses what does not fit the schema, is no module, or is not there", async () => {
      for (const name of ["odd.cedar", "not.wasm", "none.cedar", "request.json"]) {
        assert.equal((await check(name)).code, 2, name);
      }
    });

    test("knows the attributes that it is told of", async () => {
      assert.equal((await check("tier.cedar")).code, 2);
      assert.equal((await check("tier.cedar", "--attribute", "tier=Long")).code, 0);
      const { code, stderr } = await check("tier.cedar", "--attribute", "tier=Number");
      assert.equal(code, 1);
      assert.match(stderr, /--attribute must be NAME=TYPE, of type String, Long, Boolean or Set<String>/);
    });

    test("knows the actions of the server, and those of an application that it is told of", async () => {
      const unknown = await check("sign.cedar");
      assert.equal(unknown.code, 2);
      assert.match(
        unknown.stderr,
        /^hint: The actions are Decrypt, .*SetOwnCredentials; others are declared by/,
      );
      assert.equal((await check("sign.cedar", "--action", "SignOrder")).code, 0);
      for (
        const [action, problem] of [["Si gn", "must be a word"], [
          "Decrypt",
          "must have no name twice",
        ]] as const
      ) {
        const { code, stderr } = await check("sign.cedar", "--action", action);
        assert.equal(code, 1, stderr);
        assert.ok(stderr.includes(`--action ${problem}`), stderr);
      }
    });

    test("a file's name cannot write lines of its own, nor to the terminal", async () => {
      const name = "bad.cedar\nok \x1b[31m\u009b2J\u202e.cedar";
      writeFileSync(join(folder, name), POLICY);
      const shown = "bad.cedar\\u{a}ok \\u{1b}[31m\\u{9b}2J\\u{202e}.cedar";
      assert.equal((await check(name)).stdout, `ok ${shown}\n`);
      writeFileSync(join(folder, name), "permit");
      const bad = await check(name);
      assert.ok(bad.stdout.startsWith(`${join(folder, shown)}:1:`), bad.stdout);
      assert.equal(bad.stdout.trimEnd().split("\n").length, 1);
      const tried = await runChild(["policy", "try", join(folder, name), "--request", "{}"]);
      assert.equal(tried.code, 2);
      assert.match(tried.stderr, /^enclave-kms policy try: Cannot load the policy bad\.cedar\\u\{a\}ok/);
      assert.equal(tried.stderr.trimEnd().split("\n").length, 3, tried.stderr);
    });

    test("refuses what Cedar warns of, as the server does, unless told otherwise", async () => {
      assert.equal((await check("never.cedar")).code, 2);
      const { code, stderr } = await check("never.cedar", "--allow-warnings");
      assert.equal(code, 0);
      assert.match(stderr, /^warning: .+/);
    });
  });

  describe("try", () => {
    const caller = { cid: 7, attributes: { tenant: "red" } };
    const request = { action: "Decrypt", caller, encryptionContext: { tenant: "red" }, ciphertext: "AQID" };

    test("says which policies determined the decision", async () => {
      const allowed = await tryOut("good.cedar", request);
      assert.equal(allowed.code, 0);
      assert.match(allowed.stdout, /^allowed: Permitted by tenants\ndetermining: tenants\nfuel: \d+\n$/);
      const forbidden = await tryOut("good.cedar", { ...request, ciphertext: "AQIDBA==" });
      assert.equal(forbidden.code, 3);
      assert.match(forbidden.stdout, /^denied: Forbidden by small\ndetermining: small\n/);
      const unmatched = await tryOut("good.cedar", { ...request, encryptionContext: { tenant: "blue" } });
      assert.equal(unmatched.code, 3);
      assert.match(unmatched.stdout, /^denied: No policy permits it\ndetermining: none\n/);
    });

    test("tries a token, a certificate and the parent", async () => {
      const ann = { type: "Token", issuer: "https://id.example", subject: "ann", claims: { tier: 1 } };
      const answer = async (caller: unknown, ...more: readonly string[]) =>
        (await tryOut("token.cedar", { ...request, caller }, "--claim", "tier=Long", ...more)).code;
      assert.equal(await answer(ann), 0);
      assert.equal(await answer({ ...ann, subject: "bob" }), 3);
      assert.equal(await answer({ ...ann, claims: { tier: "1" } }), 3);
      assert.equal(await answer({ type: "Certificate", sha256: "ab".repeat(32) }), 3);
      assert.equal(await answer({ type: "Parent" }), 3);
      assert.equal(await answer({ type: "Caller", cid: 3 }), 3);
      const { code, stderr } = await tryOut("token.cedar", request, "--claim", "tier=Number");
      assert.equal(code, 1);
      assert.match(stderr, /--claim must be NAME=TYPE/);
      assert.equal((await tryOut("token.cedar", request)).code, 2, "claims must be declared");
    });

    test("--json has the decision", async () => {
      const { stdout } = await tryOut("good.cedar", request, "--json");
      const { allowed, determining } = JSON.parse(stdout);
      assert.deepEqual([allowed, determining], [true, ["tenants"]]);
    });

    test("tries a plug-in", async () => {
      assert.match((await tryOut("yes.wasm", {})).stdout, /^allowed: Permitted by yes.wasm\n/);
    });

    test("reads the request from a file and from standard input, in a process of its own", async () => {
      const file = ["policy", "try", join(folder, "yes.wasm"), "--request"];
      assert.equal((await runHere([...file, `@${join(folder, "request.json")}`])).code, 0);
      const outcome = await runChild([...file, "-"], { input: JSON.stringify(request) });
      assert.equal(outcome.code, 0, outcome.stderr);
    });

    test("names what is wrong with a request, or with the policy", async () => {
      for (
        const [wrong, message] of [
          [[], /--request must be a JSON object/],
          [{ acton: "Decrypt" }, /--request may have the fields action, caller/],
          [{ action: "Burn" }, /action must be one of/],
          [{ action: "decrypt" }, /action must be one of .*: is Decrypt meant\?/],
          [{ caller: { cid: -1 } }, /cid must be an integer/],
          [{ caller: { type: "Token", issuer: "a|b", subject: "c" } }, /issuer must not contain \|/],
          [{ caller: { type: "Nobody" } }, /caller.type must be one of Caller, Token, Certificate, Parent/],
          [{ caller: null }, /--request: caller must be an object/],
          [{ caller: ["tenant"] }, /--request: caller must be an object/],
          [{ caller: { atributes: { tenant: "red" } } }, /The caller has no field `atributes`/],
          [{ caller: { attributes: ["red"] } }, /attributes must be a plain object/],
          [{ encryptionContext: [["tenant", "red"]] }, /encryptionContext must be a plain object/],
          [{ encryptionContext: null }, /encryptionContext must be a plain object/],
          [{ pcrs: ["ab"] }, /pcrs must be a plain object or a Map/],
          [{ ciphertext: "?" }, /ciphertext must be base64/],
        ] as const
      ) {
        const { code, stderr } = await tryOut("good.cedar", wrong);
        assert.equal(code, 1, stderr);
        assert.match(stderr, message);
      }
      assert.equal((await tryOut("bad.cedar", request)).code, 2);
      const none = await runHere(["policy", "try", join(folder, "good.cedar")]);
      assert.match(none.stderr, /--request must be set/);
    });
  });
});
