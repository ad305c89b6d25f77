import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { judgePolicy } from "../../../deploy/keys/gate.ts";
import type { GateRule } from "../../../deploy/keys/gate_finding.ts";
import { makeKeyPolicy } from "../../../deploy/keys/make_policy.ts";
import type { AttestationDocument } from "../../../lib/attestation/document.ts";
import { decodeHex } from "../../../lib/core/encoding.ts";
import { KmsRefusal } from "../../../sim/kms/kms_errors.ts";
import { checkPolicy } from "../../../sim/kms/policy/check_policy.ts";
import { authorize, type KeyPolicy, requestAttributes } from "../../../sim/kms/policy/key_policy.ts";

/** Policies that are judged: by both, independently. */
const POLICIES = 10_000;

/** Policies of them that the gate must pass, and refuse by each rule, so that both say something. */
const LEAST_PASSED = 2000;
const LEAST_REFUSED = 100;

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const ROOT = "arn:aws:iam::111122223333:root";
const IMAGES = ["4e", "5f", "6a"].map((byte) => byte.repeat(48));
const STRANGER = "77".repeat(48);
const ZERO = "0".repeat(96);
const KEY = "arn:aws:kms:eu-central-1:111122223333:key/0";

const ATTESTED = [
  "kms:Decrypt",
  "kms:GenerateDataKey",
  "kms:GenerateDataKeyPair",
  "kms:GenerateRandom",
  "kms:DeriveSharedSecret",
];

/** Policy of the account's own for its role, which allows everything. */
const IDENTITY: KeyPolicy = { Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };

/** Policy of the account's that allows its role nothing. */
const NOTHING: KeyPolicy = { Statement: [] };

/** Actions by which the role would get past the conditions. */
const BYPASSING = [
  "kms:CreateGrant",
  "kms:ReEncryptFrom",
  "kms:ReEncryptTo",
  "kms:ReplicateKey",
  "kms:ImportKeyMaterial",
];

const RULES: readonly GateRule[] = [
  ...(["pcr-value", "unattested-access", "loose-condition", "any-principal", "bypass"] as const),
  ...(["unattested-operation", "lockout", "size", "running-image"] as const),
];

/** Chooses among values, each so many times. */
const pick = <T>(...weighted: readonly (readonly [number, T])[]) =>
  fc.oneof(...weighted.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })));

const pcrKey = (index: number | string) => `kms:RecipientAttestation:PCR${index}`;

const images = pick<string | string[]>(
  [16, IMAGES[0]!],
  [6, IMAGES.slice(0, 2)],
  [3, IMAGES[1]!.toUpperCase()],
  [1, ZERO],
  [1, [IMAGES[0]!, ZERO]],
  [1, "4e"],
);

const condition = fc.oneof(
  { weight: 14, arbitrary: images.map((value) => ({ StringEqualsIgnoreCase: { [pcrKey(0)]: value } })) },
  {
    weight: 3,
    arbitrary: images.map((value) => ({ StringEquals: { "kms:RecipientAttestation:ImageSha384": value } })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(images, images).map(([first, second]) => ({
      StringEqualsIgnoreCase: { [pcrKey(0)]: first, [pcrKey(8)]: second },
    })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(pick([1, "StringLike"], [1, "StringEqualsIfExists"], [1, "StringNotEquals"]), images)
      .map(
        ([operator, value]) => ({
          StringEquals: { [pcrKey(0)]: IMAGES[0]! },
          [operator]: { [pcrKey(3)]: value },
        }),
      ),
  },
  { weight: 1, arbitrary: images.map((value) => ({ StringNotEqualsIgnoreCase: { [pcrKey(0)]: value } })) },
  { weight: 1, arbitrary: fc.constant({ Null: { [pcrKey(0)]: "false" } }) },
  { weight: 1, arbitrary: images.map((value) => ({ StringEquals: { [pcrKey(4)]: value } })) },
  { weight: 1, arbitrary: fc.constant({ StringEquals: { "kms:EncryptionContext:tenant": "a" } }) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

const action = pick<string | string[]>(
  [20, "kms:Decrypt"],
  [6, ["kms:Decrypt", "kms:GenerateDataKey"]],
  [3, "kms:generate*pair"],
  [2, "kms:Encrypt"],
  [2, "kms:DescribeKey"],
  [1, "kms:*"],
  [1, "*"],
  [1, "kms:D*"],
  [1, "kms:Sign"],
  [1, "kms:CreateGrant"],
  [1, "kms:PutKeyPolicy"],
  [1, "kms:ReEncrypt*"],
);

const principal = pick<object | string>(
  [20, { AWS: ROLE }],
  [2, { AWS: [ADMIN, ROLE] }],
  [2, { AWS: ADMIN }],
  [1, { AWS: ROOT }],
  [1, { AWS: "111122223333" }],
  [1, { AWS: "*" }],
  [1, "*"],
);

const statement = fc.record({
  Effect: pick([12, "Allow"], [1, "Deny"]),
  Principal: principal,
  actions: action,
  isNotAction: pick([30, false], [1, true]),
  Condition: condition,
}).map(({ actions, isNotAction, Condition, ...rest }) => ({
  ...rest,
  [isNotAction ? "NotAction" : "Action"]: actions,
  Resource: "*",
  ...(Condition === undefined ? {} : { Condition }),
}));

const administration = pick<object | undefined>(
  [20, { Effect: "Allow", Principal: { AWS: ADMIN }, Action: "kms:PutKeyPolicy", Resource: "*" }],
  [1, { Effect: "Allow", Principal: { AWS: ROLE }, Action: "kms:PutKeyPolicy", Resource: "*" }],
  [1, undefined],
);

const text = fc.record({
  administration,
  statements: fc.array(statement, { minLength: 1, maxLength: 2 }),
  filling: pick([40, ""], [1, "x".repeat(32_768)]),
}).map(({ administration, statements, filling }) =>
  JSON.stringify({
    ...(filling === "" ? {} : { Id: filling }),
    Statement: [...(administration === undefined ? [] : [administration]), ...statements],
  })
);

/** Attributes of a request with a document of these PCRs, or of one without. */
function attributesOf(pcrs?: Readonly<Record<number, string>>) {
  const values = Object.entries(pcrs ?? {}).map(([index, hex]) => [Number(index), decodeHex(hex)] as const);
  const document = pcrs && { pcrs: new Map(values) } as unknown as AttestationDocument;
  return requestAttributes(document, { tenant: "a" }, {});
}

function isAllowed(
  policy: KeyPolicy,
  action: string,
  attributes: ReturnType<typeof attributesOf>,
  identityPolicy: KeyPolicy | undefined = IDENTITY,
): boolean {
  try {
    authorize({
      policy,
      kind: "resource-based",
      action,
      resource: KEY,
      attributes,
      ...(identityPolicy === undefined ? {} : { identityPolicy }),
    });
    return true;
  } catch (error) {
    if (error instanceof KmsRefusal) return false;
    throw error;
  }
}

/** Requests that no policy may allow which the gate passes: none of an image that it names. */
const STRANGERS = [
  attributesOf(),
  attributesOf({ 0: STRANGER, 3: STRANGER, 4: STRANGER, 8: STRANGER }),
  attributesOf({ 0: ZERO, 3: ZERO, 4: ZERO, 8: ZERO }),
  attributesOf({ 0: STRANGER, 3: IMAGES[0]!, 4: IMAGES[0]!, 8: IMAGES[0]! }),
];

describe("the gate and the simulator's evaluator, which share no code", () => {
  test("agree: what the gate passes allows no attested action without the images that it names", () => {
    const counts = new Map<GateRule | "passed" | "useful", number>();
    const count = (what: GateRule | "passed" | "useful") => counts.set(what, (counts.get(what) ?? 0) + 1);
    fc.assert(
      fc.property(text, (policyText) => {
        const found = judgePolicy(policyText, { role: ROLE, running: [{ pcr0: IMAGES[0]! }] });
        for (const rule of new Set(found.map(({ rule }) => rule))) count(rule);
        if (found.length > 0) return;
        count("passed");
        const policy = checkPolicy(JSON.parse(policyText));
        for (const action of ATTESTED) {
          for (const attributes of STRANGERS) {
            assert.equal(isAllowed(policy, action, attributes), false, policyText);
          }
        }
        for (const action of BYPASSING) {
          assert.equal(isAllowed(policy, action, attributesOf()), false, policyText);
        }
        assert.equal(isAllowed(policy, "kms:PutKeyPolicy", attributesOf(), NOTHING), false, policyText);
        if (isAllowed(policy, "kms:Decrypt", attributesOf({ 0: IMAGES[0]!, 8: IMAGES[0]! }))) count("useful");
      }),
      { numRuns: POLICIES },
    );
    const of = (what: GateRule | "passed" | "useful") => counts.get(what) ?? 0;
    assert.ok(of("passed") >= LEAST_PASSED, `only ${of("passed")} passed`);
    assert.ok(of("useful") >= LEAST_PASSED / 2, `only ${of("useful")} let the image decrypt`);
    for (const rule of RULES) {
      assert.ok(of(rule) >= LEAST_REFUSED, `only ${of(rule)} were refused by ${rule}`);
    }
  });

  test("agree on every policy that is made", () => {
    const image = fc.record({
      pcr0: pick([1, IMAGES[0]!], [1, IMAGES[1]!]),
      pcr8: pick([1, undefined], [1, IMAGES[2]!]),
    });
    const options = fc.record({
      images: fc.array(image, { minLength: 1, maxLength: 2 }),
      role: fc.constant(ROLE),
      administrators: fc.constant([ADMIN]),
      pcr3: pick([1, undefined], [1, IMAGES[2]!]),
      actions: fc.uniqueArray(pick(...ATTESTED.map((name) => [1, name] as const)), { minLength: 1 }),
      encrypt: fc.boolean(),
    });
    fc.assert(
      fc.property(options, (given) => {
        const policyText = makeKeyPolicy(given);
        assert.deepEqual(
          judgePolicy(policyText, { role: ROLE, running: given.images }),
          [],
        );
        const policy = checkPolicy(JSON.parse(policyText));
        for (const { pcr0, pcr8 } of given.images) {
          const measured = { 0: pcr0, 3: IMAGES[2]!, 8: pcr8 ?? STRANGER };
          for (const action of ATTESTED) {
            const isAsked = given.actions.includes(action);
            assert.equal(isAllowed(policy, action, attributesOf(measured)), isAsked, policyText);
            for (const attributes of STRANGERS) {
              assert.equal(isAllowed(policy, action, attributes), false, policyText);
            }
          }
        }
        assert.equal(isAllowed(policy, "kms:Encrypt", attributesOf()), given.encrypt);
        assert.equal(isAllowed(policy, "kms:CreateGrant", attributesOf()), false);
      }),
      { numRuns: 300 },
    );
  });
});
