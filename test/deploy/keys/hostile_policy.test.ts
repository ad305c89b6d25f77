import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readSummaryPcrs } from "../../../deploy/eif/build_summary.ts";
import { describeChange, diffPolicies } from "../../../deploy/keys/diff_policies.ts";
import { explainRefusal } from "../../../deploy/keys/explain_refusal.ts";
import { judgePolicy } from "../../../deploy/keys/gate.ts";
import type { GateOptions } from "../../../deploy/keys/gate_finding.ts";
import { makeKeyPolicy } from "../../../deploy/keys/make_policy.ts";
import { ImageError, KeyPolicyError } from "../../../lib/core/errors.ts";

const ROLE = "arn:aws:iam::111122223333:role/team/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const ROOT = "arn:aws:iam::111122223333:root";
const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const PCR0 = "4e".repeat(48);
const OTHER = "5f".repeat(48);

const allow = (
  action: string | readonly string[],
  principal: unknown = { AWS: ROLE },
  more: object = {},
) => ({
  Effect: "Allow",
  Principal: principal,
  Action: action,
  Resource: "*",
  ...more,
});
const image = (pcr0: string | readonly string[] = PCR0) => ({
  Condition: { StringEqualsIgnoreCase: { "kms:RecipientAttestation:PCR0": pcr0 } },
});
const administration = allow("kms:PutKeyPolicy", { AWS: ADMIN });
const decrypt = allow("kms:Decrypt", { AWS: ROLE }, image());
const deny = (action: string, principal: unknown, more: object = {}) => ({
  ...allow(action, principal, more),
  Effect: "Deny",
});
const text = (...statements: readonly object[]) => JSON.stringify({ Statement: statements });
const rules = (policy: string, options: Partial<GateOptions> = {}) => [
  ...new Set(judgePolicy(policy, { role: ROLE, ...options }).map(({ rule }) => rule)),
];

describe("the gate, of who gets past the conditions", () => {
  const bypassing: Readonly<Record<string, object>> = {
    "the role, which puts another policy": allow("kms:PutKeyPolicy"),
    "the role, in another case": allow("kms:PutKeyPolicy", { AWS: ROLE.replace("enclave", "Enclave") }),
    "the role by a session of it": allow("KMS:putkey*", {
      AWS: "arn:aws:sts::111122223333:assumed-role/enclave/i-0123456789abcdef0",
    }),
    "a unique id, which may be the role's": allow("kms:CreateGrant", { AWS: "AROAEXAMPLEEXAMPLEEXA" }),
    "the role, which replicates the key with a policy of its own": allow("kms:ReplicateKey"),
    "the role, which imports material that it keeps": allow("kms:ImportKeyMaterial"),
    "the account, which replicates": allow("kms:ReplicateKey", { AWS: ROOT }),
    "another role, which grants": allow("kms:CreateGrant", { AWS: "arn:aws:iam::111122223333:role/other" }),
    "another account, which re-encrypts for itself": allow("kms:ReEncrypt*", { AWS: "444455556666" }),
  };
  for (const [name, statement] of Object.entries(bypassing)) {
    test(`refuses ${name}`, () => {
      assert.deepEqual(rules(text(administration, decrypt, statement)), ["bypass"]);
    });
  }

  test("lets the account administer, and administrators do what a policy of theirs could allow", () => {
    const account = allow(["kms:PutKeyPolicy", "kms:DescribeKey"], { AWS: ROOT });
    assert.deepEqual(rules(text(account, decrypt)), []);
    const administrator = allow(["kms:Create*", "kms:Put*", "kms:ReplicateKey"], { AWS: ADMIN });
    assert.deepEqual(rules(text(administrator, decrypt)), []);
  });

  test("lets another role encrypt, and re-encrypt to the key, which is the same", () => {
    const writer = allow(["kms:Encrypt", "kms:ReEncryptTo"], {
      AWS: "arn:aws:iam::111122223333:role/writer",
    });
    assert.deepEqual(rules(text(administration, decrypt, writer)), []);
  });
});

describe("the gate, of who is locked out", () => {
  const lost: Readonly<Record<string, readonly object[]>> = {
    "an administrator of another key": [allow("kms:PutKeyPolicy", { AWS: ADMIN }, { Resource: KEY })],
    "an administrator of all but everything": [
      { ...allow("kms:PutKeyPolicy", { AWS: ADMIN }), Resource: undefined, NotResource: "*" },
    ],
    "a service": [allow("kms:PutKeyPolicy", { Service: "ec2.amazonaws.com" })],
    "an administrator who is denied it": [administration, deny("kms:*", { AWS: ADMIN })],
    "an administrator whose account is denied it": [administration, deny("kms:*", { AWS: ROOT })],
    "whoever has no attestation": [
      administration,
      deny("kms:*", "*", { Condition: { StringNotEquals: { "kms:RecipientAttestation:PCR0": PCR0 } } }),
    ],
    "all but a role, whose account is not left out": [
      administration,
      { ...deny("kms:Put*", "*"), Principal: undefined, NotPrincipal: { AWS: ADMIN } },
    ],
    "under a condition that is not known here": [
      administration,
      deny("kms:*", "*", { Condition: { Bool: { "aws:SecureTransport": "false" } } }),
    ],
  };
  for (const [name, statements] of Object.entries(lost)) {
    test(`refuses ${name}`, () => {
      assert.deepEqual(rules(text(decrypt, ...statements)), ["lockout"]);
    });
  }

  test("refuses an administrator who was deleted, whose id may be anybody's", () => {
    const unknown = allow("kms:PutKeyPolicy", { AWS: "AROAEXAMPLEEXAMPLEEXA" });
    assert.deepEqual(rules(text(decrypt, unknown)), ["bypass", "lockout"]);
  });

  const kept: Readonly<Record<string, object>> = {
    "a denial for the enclave's role": deny("kms:PutKeyPolicy", { AWS: ROLE }),
    "a denial for others, by the ARN of who asks": deny("kms:*", "*", {
      Condition: { ArnNotEquals: { "aws:PrincipalArn": [ADMIN, ROLE] } },
    }),
    "a denial for requests of an image, which none to put a policy is": deny("kms:*", "*", {
      Condition: { StringEquals: { "kms:RecipientAttestation:PCR0": OTHER } },
    }),
    "all but a role and its account": {
      ...deny("kms:Put*", "*"),
      Principal: undefined,
      NotPrincipal: { AWS: [ADMIN, ROOT] },
    },
  };
  for (const [name, statement] of Object.entries(kept)) {
    test(`passes ${name}`, () => {
      assert.deepEqual(rules(text(administration, decrypt, statement)), []);
    });
  }

  test("with the key, knows its ARN, and that nobody of another account can put a policy", () => {
    const named = allow("kms:PutKeyPolicy", { AWS: ADMIN }, { Resource: KEY });
    assert.deepEqual(rules(text(named, decrypt), { key: KEY }), []);
    const abroad = allow("kms:PutKeyPolicy", { AWS: "arn:aws:iam::444455556666:role/key-admin" });
    assert.deepEqual(rules(text(abroad, decrypt)), []);
    assert.deepEqual(rules(text(abroad, decrypt), { key: KEY }), ["lockout"]);
  });
});

describe("the gate, of an image that runs", () => {
  const running = [{ pcr0: PCR0, pcr8: OTHER }];
  const pcr8 = (value: string) => ({
    Condition: {
      StringEquals: { "kms:RecipientAttestation:PCR0": PCR0, "kms:RecipientAttestation:PCR8": value },
    },
  });
  const lost: Readonly<Record<string, readonly object[]>> = {
    "that another role may use": [allow("kms:Decrypt", { AWS: ADMIN }, image())],
    "of another key": [allow("kms:Decrypt", { AWS: ROLE }, { ...image(), Resource: KEY })],
    "with another signature": [allow("kms:Decrypt", { AWS: ROLE }, pcr8(PCR0))],
    "in the wrong case": [allow("kms:Decrypt", { AWS: ROLE }, {
      Condition: { StringEquals: { "kms:RecipientAttestation:PCR0": PCR0.toUpperCase() } },
    })],
    "that is denied": [decrypt, deny("kms:Decrypt", "*", image())],
    "that is denied by a list of others": [
      decrypt,
      deny("kms:Decrypt", { AWS: ROOT }, {
        Condition: { StringNotEquals: { "kms:RecipientAttestation:ImageSha384": OTHER } },
      }),
    ],
    "that is denied to who asks": [
      decrypt,
      deny("kms:Decrypt", "*", { Condition: { StringEquals: { "aws:PrincipalArn": ROLE } } }),
    ],
  };
  for (const [name, statements] of Object.entries(lost)) {
    test(`refuses to lose one ${name}`, () => {
      assert.deepEqual(rules(text(administration, ...statements), { running }), ["running-image"]);
    });
  }

  test("passes denials that do not meet it", () => {
    const denials = [
      deny("kms:Decrypt", "*", {
        Condition: { StringNotEqualsIgnoreCase: { "kms:RecipientAttestation:PCR0": [OTHER, PCR0] } },
      }),
      deny("kms:Decrypt", "*", { Condition: { Null: { "kms:RecipientAttestation:PCR0": "true" } } }),
      deny("kms:Decrypt", "*", { Condition: { StringNotLike: { "aws:PrincipalArn": [ROLE, ADMIN] } } }),
      deny("kms:Decrypt", { AWS: ADMIN }),
    ];
    assert.deepEqual(rules(text(administration, decrypt, ...denials), { running }), []);
    assert.deepEqual(
      rules(text(administration, allow("kms:Decrypt", { AWS: ROLE }, pcr8(OTHER))), { running }),
      [],
    );
  });
});

describe("a hostile policy", () => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    // U+212A folds to k, and AWS reads another action: the exception would be none.
    [
      "an action of look-alikes",
      text(administration, {
        ...allow("", ROOT),
        Action: undefined,
        Principal: { AWS: ROLE },
        NotAction: "\u212Ams:Decrypt",
      }),
      /which is no action/,
    ],
    ["an action with a space", text(allow("kms:Decrypt "), administration), /which is no action/],
    ["an action without a service", text(allow("Decrypt"), administration), /which is no action/],
    ["a policy variable", text(allow("kms:${aws:PrincipalTag/x}"), administration), /which is no action/],
    ["a prototype", `{"Statement":${JSON.stringify(decrypt)},"__proto__":{}}`, /has no field "__proto__"/],
    ["a list without an end", text(allow(Array<string>(1001).fill("kms:Sign"))), /has more than 1000 texts/],
    ["too many bytes", text(allow("kms:Sign", { AWS: "x".repeat(131_072) })), /it has \d+ bytes/],
    ["nesting", `{"Statement":${"[".repeat(60_000)}${"]".repeat(60_000)}}`, /nested deeper than 64/],
    ["a name in another case", text({ ...decrypt, effect: "Allow" }), /has no field "effect"/],
    ["a member twice, spelt in two ways", '{"Statement":[],"Stat\\u0065ment":[]}', /is there twice/],
  ];
  for (const [name, policy, message] of refused) {
    test(`with ${name} is refused, in few words`, () => {
      for (const read of [() => rules(policy), () => diffPolicies(policy, policy), () => explain(policy)]) {
        assert.throws(
          read,
          (error) =>
            error instanceof KeyPolicyError && message.test(error.message) && error.message.length < 400,
        );
      }
    });
  }
  const explain = (policy: string) => explainRefusal(policy, { role: ROLE, pcrs: { 0: PCR0 } });

  test("may use condition keys like those of any object, which mean nothing", () => {
    const odd = JSON.parse(
      '{"__proto__":{"kms:RecipientAttestation:PCR0":"x"},"constructor":{"toString":"y"}}',
    );
    assert.deepEqual(rules(text(administration, { ...decrypt, Condition: odd })), [
      ...["pcr-value", "loose-condition", "unattested-access"],
    ]);
  });

  test("gets no answer that is much longer than itself", () => {
    const long = "x".repeat(60_000);
    const values = Array.from({ length: 900 }, (_, index) => `${index}`);
    const key = `kms:RecipientAttestation:${long}`;
    const policy = text(administration, {
      ...allow("kms:Decrypt"),
      Sid: long.slice(0, 40_000),
      Condition: { StringLike: { [key]: values, "kms:RecipientAttestation:PCR3": values } },
    });
    const sentences = judgePolicy(policy, { role: ROLE }).map(({ sentence }) => sentence);
    assert.ok(sentences.length < 10 && sentences.every(({ length }) => length < 600), sentences.join("\n"));
    const names = (count: number) =>
      Array.from({ length: count }, (_, index) => `arn:aws:iam::1:role/${index}`);
    const wide = text(allow(Array<string>(1000).fill("kms:*"), { AWS: names(1000) }));
    assert.equal(diffPolicies(text(administration), wide).length, 1001);
    assert.ok(
      diffPolicies(text(administration), wide).map(describeChange).every(({ length }) => length < 1500),
    );
  });
});

describe("options of the gate that would let a rule not bite", () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ role: "enclave" }, /role must be the ARN of a role/],
    [{ role: ROOT }, /role must be the ARN of a role/],
    [{ role: "arn:aws:sts::111122223333:assumed-role/enclave/i-1" }, /role must be the ARN of a role/],
    [{ role: undefined }, /role must be the ARN of a role/],
    [{ running: [{ pcr0: "4e" }] }, /running\[0\]\.pcr0 must be/],
    [{ running: [{ pcr0: "0".repeat(96) }] }, /running\[0\]\.pcr0 must not be zero/],
    [{ running: [PCR0] }, /running\[0\] must be a plain object/],
    [{ allowUnattested: ["kms:Decrypt"] }, /allowUnattested must be a list of kms:Sign and kms:GenerateMac/],
    [{ allowUnattested: "kms:Sign" }, /allowUnattested must be a list/],
    [{ key: "alias/enclave" }, /key must be the ARN of a key/],
    [{ runing: [] }, /no field `runing`/],
  ];
  for (const [options, message] of cases) {
    test(`are refused: ${JSON.stringify(options).slice(0, 60)}`, () => {
      assert.throws(
        () => rules(text(administration, decrypt), options),
        (error) => (error instanceof TypeError || error instanceof RangeError) && message.test(error.message),
      );
    });
  }

  test("and so are those of a policy that is made", () => {
    const options = { images: [{ pcr0: PCR0 }], role: ROLE, administrators: [ADMIN] };
    assert.throws(() => makeKeyPolicy({ ...options, role: ROOT }), /role must be the ARN of a role/);
    const session = "arn:aws:sts::111122223333:assumed-role/enclave/admin";
    assert.throws(() => makeKeyPolicy({ ...options, administrators: [session] }), /must not have the role/);
    const twice = makeKeyPolicy({
      ...options,
      images: [{ pcr0: PCR0, pcr8: OTHER }, { pcr0: PCR0 }, { pcr0: PCR0.toUpperCase() }],
    });
    const { Statement } = JSON.parse(twice) as { Statement: { Sid: string }[] };
    assert.deepEqual(Statement.map(({ Sid }) => Sid), [
      ...["Administration", "Image4e4e4e4e4e4e4e4e", "Image4e4e4e4e4e4e4e4en2"],
    ]);
  });
});

describe("a forged summary", () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    [`{"pcrs":{"0":"${PCR0}","PCR0":"${OTHER}"}}`, /PCR0 is there twice/],
    [`{"pcrs":{"0":"${PCR0}"},"pcrs":{"0":"${OTHER}"}}`, /"pcrs" is there twice/],
    [`{"pcrs":{"0":"${PCR0}"},"Measurements":{"PCR0":"${OTHER}"}}`, /both pcrs and Measurements/],
    [`{"pcrs":{"0":"${PCR0}","__proto__":"${OTHER}"}}`, /names what is no PCR/],
    [`{"pcrs":{"0":["${PCR0}"]}}`, /PCR0 is not 96 hex digits/],
    [`{"pcrs":"${PCR0}"}`, /is not 96 hex digits/],
    ["null", /it has no PCR0/],
  ];
  for (const [summary, message] of refused) {
    test(`is refused: ${summary.replaceAll(/([45][ef]){48}/g, "…")}`, () => {
      assert.throws(
        () => readSummaryPcrs(summary),
        (error) => error instanceof ImageError && message.test(error.message),
      );
    });
  }
});
