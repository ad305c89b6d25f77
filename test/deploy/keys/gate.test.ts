import assert from "node:assert/strict";
import { describe, test } from "#test";
import { judgePolicy } from "../../../deploy/keys/gate.ts";
import type { GateOptions, GateRule } from "../../../deploy/keys/gate_finding.ts";
import { makeKeyPolicy, measureText } from "../../../deploy/keys/make_policy.ts";
import { KeyPolicyError } from "../../../lib/core/errors.ts";

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const ROOT = "arn:aws:iam::111122223333:root";
const PCR0 = "4e".repeat(48);
const OTHER = "5f".repeat(48);
const ZERO = "0".repeat(96);

const ADMINISTRATION = {
  Effect: "Allow",
  Principal: { AWS: ADMIN },
  Action: ["kms:PutKeyPolicy", "kms:GetKeyPolicy"],
  Resource: "*",
};

const pcr = (index: number | string, value: string | readonly string[] = PCR0) => ({
  [`kms:RecipientAttestation:PCR${index}`]: value,
});

/** A statement that lets the enclave decrypt, with changes. */
const use = (changes: object = {}) => ({
  Effect: "Allow",
  Principal: { AWS: ROLE },
  Action: "kms:Decrypt",
  Resource: "*",
  Condition: { StringEqualsIgnoreCase: pcr(0) },
  ...changes,
});

const policy = (...statements: readonly object[]) =>
  JSON.stringify({ Version: "2012-10-17", Statement: [ADMINISTRATION, ...statements] });

const without = ({ Condition: _, ...statement }: ReturnType<typeof use>) => statement;

const judge = (text: string, options: Partial<GateOptions> = {}) =>
  judgePolicy(text, { role: ROLE, ...options });
const rules = (text: string, options?: Partial<GateOptions>) => [
  ...new Set(judge(text, options).map(({ rule }) => rule)),
];

describe("the gate", () => {
  const good: Readonly<Record<string, string>> = {
    "one image": policy(use()),
    "an image by ImageSha384": policy(
      use({ Condition: { StringEquals: { "kms:RecipientAttestation:ImageSha384": PCR0 } } }),
    ),
    "two images in two statements": policy(
      use(),
      use({ Condition: { StringEqualsIgnoreCase: pcr(0, OTHER) } }),
    ),
    "two images in one condition": policy(
      use({ Condition: { StringEqualsIgnoreCase: pcr(0, [PCR0, OTHER]) } }),
    ),
    "an image and its role": policy(
      use({ Condition: { StringEqualsIgnoreCase: { ...pcr(0), ...pcr(3, OTHER), ...pcr(8, OTHER) } } }),
    ),
    "condition keys in another case": policy(
      use({ Condition: { StringEqualsIgnoreCase: { "KMS:recipientattestation:pcr0": PCR0.toUpperCase() } } }),
    ),
    "all attested actions": policy(
      use({ Action: ["kms:Decrypt", "kms:GenerateDataKey*", "kms:GenerateRandom"] }),
    ),
    "encrypting by an application that is none of the enclave's": policy(
      {
        ...without(use()),
        Action: "kms:Encrypt",
        Principal: { AWS: "arn:aws:iam::111122223333:role/writer" },
      },
    ),
    "a denial besides": policy(use(), {
      ...without(use()),
      Effect: "Deny",
      Principal: "*",
      Action: "kms:ReEncrypt*",
    }),
    "grants by who administers": policy(
      use(),
      { ...without(use()), Principal: { AWS: ADMIN }, Action: ["kms:CreateGrant", "kms:RevokeGrant"] },
    ),
    "another context besides": policy(
      use({
        Condition: { StringEquals: { "kms:EncryptionContext:tenant": "a" }, StringEqualsIgnoreCase: pcr(0) },
      }),
    ),
  };
  for (const [name, text] of Object.entries(good)) {
    test(`passes ${name}`, () => {
      assert.deepEqual(judge(text), []);
    });
  }

  const bad: readonly (readonly [GateRule, string, object | readonly object[], Partial<GateOptions>?])[] = [
    [
      "pcr-value",
      "PCR8 is zero",
      use({ Condition: { StringEqualsIgnoreCase: { ...pcr(0), ...pcr(8, ZERO) } } }),
    ],
    [
      "pcr-value",
      "PCR3 is too short",
      use({ Condition: { StringEqualsIgnoreCase: { ...pcr(0), ...pcr(3, "ab") } } }),
    ],
    [
      "pcr-value",
      "PCR4 is no hex",
      use({ Condition: { StringEquals: { ...pcr(0), ...pcr(4, "x".repeat(96)) } } }),
    ],
    ["pcr-value", "PCR32 does not exist", use({ Condition: { StringEquals: { ...pcr(0), ...pcr(32) } } })],
    ["pcr-value", "PCR0 with a zero", use({ Condition: { StringEquals: { ...pcr(0), ...pcr("00") } } })],
    ["unattested-access", "no condition", without(use())],
    ["unattested-access", "kms:*, of the administrators", {
      ...without(use()),
      Principal: { AWS: ADMIN },
      Action: "kms:*",
    }],
    ["unattested-access", "Generate*", { ...without(use()), Action: "kms:generate*pair" }],
    ["unattested-access", "a question mark", { ...without(use()), Action: "kms:Decryp?" }],
    ["unattested-access", "another principal", { ...without(use()), Principal: { AWS: ADMIN } }],
    [
      "unattested-access",
      "an encryption context only",
      use({ Condition: { StringEquals: { "kms:EncryptionContext:a": "b" } } }),
    ],
    ["unattested-access", "PCR8 only", use({ Condition: { StringEquals: pcr(8) } })],
    ["unattested-access", "a service", { ...without(use()), Principal: { Service: "s3.amazonaws.com" } }],
    ["unattested-access", "another account", { ...without(use()), Principal: { AWS: "444455556666" } }],
    ["loose-condition", "StringLike", use({ Condition: { StringEquals: pcr(0), StringLike: pcr(8) } })],
    [
      "loose-condition",
      "IfExists",
      use({ Condition: { StringEquals: pcr(0), StringEqualsIfExists: pcr(3) } }),
    ],
    ["loose-condition", "not equal", use({ Condition: { StringEquals: pcr(0), StringNotEquals: pcr(4) } })],
    [
      "loose-condition",
      "ForAnyValue",
      use({ Condition: { StringEquals: pcr(0), "ForAnyValue:StringEquals": pcr(3) } }),
    ],
    ["any-principal", "a star", use({ Principal: "*" })],
    ["any-principal", "a star of AWS", use({ Principal: { AWS: "*" } })],
    ["any-principal", "a star in a list", use({ Principal: { AWS: [ROLE, "*"] } })],
    ["bypass", "a grant by the role", { ...without(use()), Action: "kms:CreateGrant" }],
    ["bypass", "a grant by the account", {
      ...without(use()),
      Action: "kms:Create*",
      Principal: { AWS: ROOT },
    }],
    ["bypass", "a grant by the account's number", {
      ...without(use()),
      Action: "kms:CreateGrant",
      Principal: { AWS: "111122223333" },
    }],
    ["bypass", "a grant by a session", {
      ...without(use()),
      Action: "kms:CreateGrant",
      Principal: { AWS: "arn:aws:sts::111122223333:assumed-role/enclave/i-1" },
    }],
    ["bypass", "re-encrypting", { ...without(use()), Action: "kms:ReEncrypt*" }],
    ["bypass", "a grant, under conditions", use({ Action: "kms:CreateGrant" })],
    ["unattested-operation", "signing", { ...without(use()), Action: "kms:Sign" }],
    [
      "unattested-operation",
      "a MAC, under conditions that no request meets",
      use({ Action: "kms:GenerateMac" }),
    ],
    ["unattested-operation", "signing, where a MAC is listed", { ...without(use()), Action: "kms:Sign" }, {
      allowUnattested: ["kms:GenerateMac"],
    }],
    ["lockout", "a denial of PutKeyPolicy", [use(), {
      ...without(use()),
      Effect: "Deny",
      Principal: "*",
      Action: "kms:Put*",
    }]],
    ["size", "filling", use({ Sid: "x".repeat(32_768) })],
    ["running-image", "the image that runs", use(), { running: [{ pcr0: OTHER }] }],
    ["running-image", "the image that runs, named for another action", [
      use(),
      use({ Action: "kms:Encrypt", Condition: { StringEquals: pcr(0, OTHER) } }),
    ], { running: [{ pcr0: OTHER }] }],
  ];
  for (const [rule, name, statements, options] of bad) {
    test(`by its rule ${rule} alone, refuses ${name}`, () => {
      assert.deepEqual(rules(policy(...[statements].flat()), options), [rule]);
    });
  }

  const worse: readonly (readonly [string, readonly GateRule[], object])[] = [
    [
      "PCR0 that is zero",
      ["pcr-value", "unattested-access"],
      use({ Condition: { StringEquals: pcr(0, ZERO) } }),
    ],
    [
      "PCR0 that is zero beside another",
      ["pcr-value", "unattested-access"],
      use({
        Condition: { StringEquals: pcr(0, [PCR0, ZERO]) },
      }),
    ],
    [
      "PCR0 by StringLike",
      ["loose-condition", "unattested-access"],
      use({ Condition: { StringLike: pcr(0) } }),
    ],
    [
      "PCR0 if it is there",
      ["loose-condition", "unattested-access"],
      use({
        Condition: { StringEqualsIgnoreCaseIfExists: pcr(0) },
      }),
    ],
    [
      "that PCR0 is there",
      ["pcr-value", "loose-condition", "unattested-access"],
      use({
        Condition: { Null: pcr(0, "false") },
      }),
    ],
    ["NotAction", ["unattested-access", "bypass", "unattested-operation"], {
      ...without(use()),
      Action: undefined,
      NotAction: "kms:ScheduleKeyDeletion",
    }],
    ["NotPrincipal", ["any-principal", "unattested-access"], {
      ...without(use()),
      Principal: undefined,
      NotPrincipal: { AWS: ROLE },
    }],
    ["the account's default policy", ["unattested-access", "bypass", "unattested-operation"], {
      ...without(use()),
      Principal: { AWS: ROOT },
      Action: "kms:*",
    }],
  ];
  for (const [name, expected, statement] of worse) {
    test(`refuses ${name}`, () => {
      assert.deepEqual(rules(policy(statement)), expected);
    });
  }

  test("refuses a policy that nobody could change again", () => {
    const alone = (statement: object) =>
      JSON.stringify({ Version: "2012-10-17", Statement: [use(), statement] });
    assert.deepEqual(rules(JSON.stringify({ Statement: use() })), ["lockout"]);
    assert.deepEqual(rules(alone({ ...ADMINISTRATION, Principal: { AWS: ROLE } })), ["bypass", "lockout"]);
    assert.deepEqual(rules(alone({ ...ADMINISTRATION, Action: "kms:GetKeyPolicy" })), ["lockout"]);
    const mfa = { Bool: { "aws:MultiFactorAuthPresent": true } };
    assert.deepEqual(rules(alone({ ...ADMINISTRATION, Condition: mfa })), ["lockout"]);
    assert.deepEqual(rules(alone(ADMINISTRATION)), []);
  });

  test("takes what is listed, and the images that run", () => {
    const signing = policy(use(), { ...without(use()), Action: "kms:Sign" });
    assert.deepEqual(
      rules(signing, { allowUnattested: ["KMS:sign"], running: [{ pcr0: PCR0.toUpperCase() }] }),
      [],
    );
  });

  test("says one sentence for each fault, with the statement's name", () => {
    const text = policy(use({ Sid: "UseByEnclave", Condition: { StringLike: pcr(0) } }));
    const sentences = judge(text).map(({ sentence }) => sentence);
    assert.equal(sentences.length, 2);
    for (const sentence of sentences) assert.match(sentence, /^UseByEnclave [^.]+\.$/);
  });

  test("refuses to judge what is malformed", () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ["", /it is not JSON/],
      ["[]", /the policy is no object/],
      ["{}", /it has no Statement/],
      ['{"Statement":[]}', /it has no Statement/],
      ['{"Statement":{},"Statment":[]}', /has no field "Statment"/],
      [JSON.stringify({ Statement: use({ Efect: "Deny" }) }), /statement 0 has no field "Efect"/],
      [JSON.stringify({ Statement: use({ Effect: "allow" }) }), /neither Allow nor Deny/],
      [JSON.stringify({ Statement: use({ NotAction: "kms:Sign" }) }), /either Action or NotAction/],
      [JSON.stringify({ Statement: use({ Principal: {} }) }), /names nobody/],
      [JSON.stringify({ Statement: use({ Principal: { Aws: ROLE } }) }), /has no field "Aws"/],
      [JSON.stringify({ Statement: use({ Action: [] }) }), /Action of statement 0 is empty/],
      [JSON.stringify({ Statement: use({ Condition: { StringEquals: { a: [1, {}] } } }) }), /is no text/],
      ['{"Version":"2012-10-17","Statement":{"Effect":"Deny","Effect":"Allow"}}', /"Effect" is there twice/],
      ['{"Statement":{"Effect":"Allow","\\u0045ffect":"Deny"}}', /"Effect" is there twice/],
    ];
    for (const [text, message] of cases) {
      assert.throws(
        () => judge(text),
        (error) => error instanceof KeyPolicyError && message.test(error.message),
        text,
      );
    }
  });
});

describe("makeKeyPolicy()", () => {
  const OPTIONS = { images: [{ pcr0: PCR0 }], role: ROLE, administrators: [ADMIN] };

  test("makes what the gate passes, and the same text each time", async () => {
    const pcr3 = await measureText(ROLE);
    const cases = [
      OPTIONS,
      { ...OPTIONS, images: [{ pcr0: PCR0, pcr8: OTHER }, { pcr0: OTHER }], pcr3 },
      { ...OPTIONS, actions: ["kms:GenerateDataKey", "kms:Decrypt"] },
      { ...OPTIONS, encrypt: true },
    ];
    for (const options of cases) {
      const text = makeKeyPolicy(options);
      assert.deepEqual(judge(text, { running: options.images }), []);
      assert.equal(makeKeyPolicy({ ...options }), text);
    }
  });

  test("has one statement for each image, so that no PCR0 goes with another's PCR8", () => {
    const images = [{ pcr0: PCR0, pcr8: OTHER }, { pcr0: OTHER, pcr8: PCR0 }];
    const { Statement } = JSON.parse(makeKeyPolicy({ ...OPTIONS, images }));
    assert.deepEqual(Statement.map(({ Condition }: { Condition?: object }) => Condition), [
      undefined,
      { StringEqualsIgnoreCase: { ...pcr(0), ...pcr(8, OTHER) } },
      { StringEqualsIgnoreCase: { ...pcr(0, OTHER), ...pcr(8, PCR0) } },
    ]);
  });

  test("gives nobody kms:Encrypt, grants or ReEncrypt unless it is asked to", () => {
    const text = makeKeyPolicy(OPTIONS);
    assert.doesNotMatch(text, /Encrypt"|CreateGrant|ReEncrypt|kms:[^"]*\*/);
    assert.match(makeKeyPolicy({ ...OPTIONS, encrypt: true }), /"kms:Encrypt"/);
  });

  test("measures a role as the hypervisor does", async () => {
    // The example of AWS's user guide for PCR3.
    assert.equal(
      await measureText("arn:aws:iam::123456789012:role/Webserver"),
      "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6",
    );
  });

  test("refuses options that would not bite", () => {
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ images: [] }, /images must be a list of at least one/],
      [{ images: [{ pcr0: ZERO }] }, /images\[0\]\.pcr0 must not be zero/],
      [{ images: [{ pcr0: PCR0, pcr8: ZERO }] }, /pcr8 must not be zero/],
      [{ images: [{ pcr0: "ab".repeat(32) }] }, /must be 96 hex digits/],
      [{ images: [{ pcr0: PCR0, pcr3: PCR0 }] }, /no field `pcr3`/],
      [{ pcr3: ZERO }, /pcr3 must not be zero/],
      [{ role: "*" }, /role must be the ARN/],
      [{ administrators: [] }, /administrators must be a list of at least one/],
      [{ administrators: [ROLE] }, /administrators must not have the role/],
      [{ actions: ["kms:Sign"] }, /actions must be of kms:Decrypt/],
      [{ actions: ["kms:*"] }, /actions must be of/],
      [{ encript: true }, /no field `encript`/],
    ];
    for (const [change, message] of cases) {
      assert.throws(() => makeKeyPolicy({ ...OPTIONS, ...change }), { message });
    }
  });
});
