import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "#test";
import { type FactParts, makeFacts, serialisedFacts } from "../../../lib/policy/mod.ts";
import { digestCiphertext } from "../../../lib/core/request_facts.ts";
import { facts } from "./cedar/requests.ts";

describe("makeFacts()", () => {
  test("describes the ciphertext, and serialises once", () => {
    const ciphertext = new Uint8Array([1, 2, 3]);
    const made = facts({ ciphertext });
    assert.equal(made.context.ciphertextLength, 3);
    assert.equal(made.context.ciphertextSha256, createHash("sha256").update(ciphertext).digest("hex"));
    const bytes = serialisedFacts(made);
    assert.equal(serialisedFacts(made), bytes);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes)), JSON.parse(JSON.stringify(made)));
  });

  test("takes a digest in the place of the ciphertext, and makes the same facts", () => {
    const ciphertext = new Uint8Array([1, 2, 3]);
    const digest = digestCiphertext(ciphertext);
    assert.equal(digest.sha256, createHash("sha256").update(ciphertext).digest("hex"));
    assert.deepEqual(facts({ ciphertext: digest }), facts({ ciphertext }));
  });

  test("takes the action of any application", () => {
    for (const action of ["Sign", "x", "Sign_2", "A".repeat(64)]) {
      assert.equal(facts({ action }).action, action);
    }
    for (
      const action of ["", "_Sign", "2Sign", "Si gn", 'Sign"', "Sig\n", "Ségn", "A".repeat(65), 7, ["Sign"]]
    ) {
      assert.throws(() => facts({ action: action as string }), {
        name: "TypeError",
        message: "action must be a word of at most 64 letters, digits and _, such as Decrypt",
      });
    }
  });

  test("keeps nothing of what it was given", () => {
    const roles = ["dev"];
    const attributes = { roles };
    const encryptionContext: Record<string, string> = { tenant: "red" };
    const made = facts({ caller: { cid: 7, attributes }, encryptionContext });
    roles.push("ops");
    encryptionContext["tenant"] = "blue";
    assert.ok(made.principal.type === "Caller");
    assert.deepEqual(made.principal.attributes, { roles: ["dev"] });
    assert.deepEqual(made.context.encryptionContext, { tenant: "red" });
    for (
      const part of [made, made.principal, made.principal.attributes["roles"], made.context.encryptionContext]
    ) {
      assert.ok(Object.isFrozen(part));
    }
  });

  test("looks at frozen PCRs once, and at others each time", () => {
    const pcrs = (hex: string) => ({ 0: hex.repeat(48) });
    const frozen = Object.freeze(pcrs("ab"));
    assert.equal(facts({ pcrs: frozen }).context.pcrs, facts({ pcrs: frozen }).context.pcrs);
    const open = pcrs("ab");
    facts({ pcrs: open });
    open[0] = "cd".repeat(48);
    assert.deepEqual(facts({ pcrs: open }).context.pcrs, { pcr0: "cd".repeat(48) });
    assert.deepEqual(facts({ pcrs: Object.freeze(pcrs("AB")) }).context.pcrs, { pcr0: "ab".repeat(48) });
  });

  test("reads each part once", () => {
    let reads = 0;
    const made = facts({
      encryptionContext: {
        get tenant() {
          return ++reads === 1 ? "red" : "blue";
        },
      },
    });
    assert.equal(made.context.encryptionContext["tenant"], "red");
    assert.match(new TextDecoder().decode(serialisedFacts(made)), /"tenant":"red"/);
    assert.equal(reads, 1);
  });

  test("names that objects have of themselves are names like others", () => {
    const encryptionContext = JSON.parse('{"__proto__":"a","constructor":"b","toJSON":"c"}') as Record<
      string,
      string
    >;
    const made = facts({ encryptionContext });
    assert.deepEqual(Object.entries(made.context.encryptionContext), [
      ["__proto__", "a"],
      ["constructor", "b"],
      ["toJSON", "c"],
    ]);
    assert.match(
      new TextDecoder().decode(serialisedFacts(made)),
      /\{"__proto__":"a","constructor":"b","toJSON":"c"\}/,
    );
  });

  test("is empty where the operation has nothing", () => {
    const made = makeFacts({
      action: "GenerateRandom",
      caller: { cid: 3, attributes: {} },
      region: "eu-west-1",
      time: 0,
      recentCount: 0,
    });
    assert.deepEqual(made.resource, { key: "", region: "eu-west-1" });
    assert.deepEqual(made.context, {
      encryptionContext: {},
      ciphertextLength: 0,
      ciphertextSha256: "",
      pcrs: {},
      time: 0,
      recentCount: 0,
    });
  });

  test("refuses parts of wrong types and ranges", () => {
    const wrong = (parts: Record<string, unknown>, error: typeof TypeError | typeof RangeError) => {
      assert.throws(() => facts(parts as Partial<FactParts>), error, JSON.stringify(parts));
    };
    for (const action of ["de crypt", "", undefined, 7]) wrong({ action }, TypeError);
    for (const cid of [-1, 2 ** 32, 1.5, NaN]) wrong({ caller: { cid, attributes: {} } }, RangeError);
    wrong({ caller: { cid: "7", attributes: {} } }, TypeError);
    wrong({ caller: { cid: 7, attributes: { level: 1.5 } } }, RangeError);
    wrong({ caller: { cid: 7, attributes: { deep: { a: 1 } } } }, TypeError);
    wrong({ caller: { cid: 7, attributes: { roles: ["a", 1] } } }, TypeError);
    wrong({ caller: { cid: 7, attributes: { gone: null } } }, TypeError);
    for (const keyId of [7, "a\0b", "\ud800"]) wrong({ keyId }, TypeError);
    wrong({ encryptionContext: { tenant: { __entity: { type: "Caller", id: "7" } } } }, TypeError);
    wrong({ encryptionContext: { "a\0b": "c" } }, TypeError);
    wrong({ ciphertext: "AQID" }, TypeError);
    for (const pcrs of [{ 0: "ab" }, { 0: 7 }]) wrong({ pcrs }, TypeError);
    wrong({ pcrs: { 17: "ab".repeat(48) } }, RangeError);
    wrong({ time: -1 }, RangeError);
    wrong({ recentCount: 2 ** 53 }, RangeError);
  });

  test("refuses more than 64 KiB", () => {
    const small = serialisedFacts(facts({ keyId: "" })).length;
    assert.equal(serialisedFacts(facts({ keyId: "k".repeat(65_536 - small) })).length, 65_536);
    assert.throws(() => facts({ keyId: "k".repeat(65_537 - small) }), /65537 bytes, and may have 65536/);
  });
});
