import assert from "node:assert/strict";
import { describe, test } from "#test";
import { describeChange, diffPolicies } from "../../../deploy/keys/diff_policies.ts";
import { explainRefusal } from "../../../deploy/keys/explain_refusal.ts";
import { makeKeyPolicy } from "../../../deploy/keys/make_policy.ts";

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const OLD = "4e".repeat(48);
const NEW = "5f".repeat(48);

const made = (...images: readonly string[]) =>
  makeKeyPolicy({ images: images.map((pcr0) => ({ pcr0 })), role: ROLE, administrators: [ADMIN] });
const sentences = (before: string, after: string) => diffPolicies(before, after).map(describeChange);
const statement = (changes: object) =>
  JSON.stringify({ Statement: { Effect: "Allow", Principal: { AWS: ROLE }, Resource: "*", ...changes } });

describe("diffPolicies()", () => {
  test("says which image gains and loses in a rollout", () => {
    assert.deepEqual(sentences(made(OLD), made(OLD, NEW)), [
      `role/enclave of 111122223333 gains kms:Decrypt where PCR0 is ${NEW}.`,
    ]);
    assert.deepEqual(sentences(made(OLD, NEW), made(NEW)), [
      `role/enclave of 111122223333 loses kms:Decrypt where PCR0 is ${OLD}.`,
    ]);
  });

  test("finds nothing in another order, name, case, or with wildcards that mean the same", () => {
    const policy = JSON.parse(made(OLD, NEW));
    policy.Statement.reverse();
    for (const one of policy.Statement) one.Sid = "Renamed";
    assert.deepEqual(sentences(made(OLD, NEW), JSON.stringify(policy).replaceAll("4e", "4E")), []);
    assert.deepEqual(
      sentences(
        statement({ Action: "kms:ReEncrypt*" }),
        statement({ Action: ["kms:ReEncryptTo", "kms:reencryptfrom"] }),
      ),
      [],
    );
  });

  test("puts wildcards, NotAction, NotPrincipal, services, conditions and denials in words", () => {
    const nothing = statement({ Action: "kms:NoSuchAction" });
    assert.deepEqual(sentences(nothing, statement({ Action: "kms:Generate*Mac", Principal: "*" })), [
      "everybody gains kms:GenerateMac.",
    ]);
    assert.deepEqual(
      sentences(
        nothing,
        statement({ Action: "kms:Sign", Principal: undefined, NotPrincipal: { AWS: ROLE } }),
      ),
      [`everybody but ${ROLE} gains kms:Sign.`],
    );
    assert.deepEqual(
      sentences(nothing, statement({ Action: "kms:Sign", Principal: { Service: "s3.amazonaws.com" } })),
      [
        "Service s3.amazonaws.com gains kms:Sign.",
      ],
    );
    assert.deepEqual(sentences(statement({ Action: "kms:Sign", Effect: "Deny" }), nothing), [
      "role/enclave of 111122223333 loses the denial of kms:Sign.",
    ]);
    const [gained] = diffPolicies(nothing, statement({ Action: undefined, NotAction: "kms:Sign" }));
    assert.equal(gained?.actions.includes("kms:Sign"), false);
    assert.equal(gained?.actions.includes("kms:CreateGrant"), true);
    const condition = { StringLike: { "kms:EncryptionContext:tenant": ["b", "a"] } };
    assert.deepEqual(
      sentences(nothing, statement({ Action: "kms:Sign", Condition: condition, Resource: "arn:x" })),
      [
        "role/enclave of 111122223333 gains kms:Sign where StringLike of kms:EncryptionContext:tenant is a or b " +
        "and the key is arn:x.",
      ],
    );
  });
});

describe("explainRefusal()", () => {
  const request = { role: ROLE, pcrs: { 0: NEW } };
  const reasons = (policy: string, changes: object = {}) =>
    explainRefusal(policy, { ...request, ...changes }).map((verdict) => verdict.reasons);

  test("names the condition that failed, with both values", () => {
    assert.deepEqual(reasons(made(OLD)), [[
      `kms:RecipientAttestation:PCR0 by StringEqualsIgnoreCase must be ${OLD}, and the request has ${NEW}`,
    ]]);
    assert.deepEqual(reasons(made(NEW)), [[]]);
  });

  test("knows debug mode, a missing document, and a case", () => {
    const [[debug]] = reasons(made(OLD), { pcrs: { 0: "0".repeat(96) } }) as [[string]];
    assert.match(debug, /as every enclave in debug mode has it$/);
    assert.deepEqual(reasons(made(OLD), { pcrs: undefined }), [[
      "it wants kms:RecipientAttestation:PCR0, and the request had no attestation document",
    ]]);
    const strict = statement({
      Action: "kms:Decrypt",
      Condition: { StringEquals: { "kms:RecipientAttestation:PCR0": NEW.toUpperCase() } },
    });
    assert.match(String(reasons(strict)), /they differ only in case: use StringEqualsIgnoreCase$/);
  });

  test("compares principals and the encryption context, and says what it does not know", () => {
    assert.deepEqual(reasons(made(NEW), { role: ADMIN }), [[
      `its principal is ${ROLE}, and the request is of ${ADMIN}`,
    ]]);
    const context = statement({
      Action: "kms:*",
      Condition: {
        StringEquals: { "kms:EncryptionContext:tenant": "a" },
        Bool: { "aws:SecureTransport": true },
      },
    });
    assert.deepEqual(reasons(context, { encryptionContext: { Tenant: "b" } }), [[
      "kms:EncryptionContext:tenant by StringEquals must be a, and the request has b",
      "aws:SecureTransport is not known here: compare it yourself",
    ]]);
  });

  test("says which operator it does not know", () => {
    const like = { StringLike: { "kms:RecipientAttestation:PCR0": "5f*" } };
    assert.deepEqual(reasons(statement({ Action: "kms:Decrypt", Condition: like })), [[
      "StringLike is not known here: compare it yourself",
    ]]);
  });

  test("tells a denial that applies", () => {
    const [verdict] = explainRefusal(statement({ Action: "kms:D*", Effect: "Deny" }), request);
    assert.deepEqual(verdict, { statement: "statement 0", effect: "Deny", applies: true, reasons: [] });
  });
});
