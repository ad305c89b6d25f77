import { describeChange, diffPolicies } from "../../../deploy/keys/diff_policies.ts";
import { explainRefusal } from "../../../deploy/keys/explain_refusal.ts";
import { judgePolicy } from "../../../deploy/keys/gate.ts";
import { makeKeyPolicy } from "../../../deploy/keys/make_policy.ts";
import type { AttestationDocument } from "../../../lib/attestation/document.ts";
import { decodeHex } from "../../../lib/core/encoding.ts";
import { KeyPolicyError } from "../../../lib/core/errors.ts";
import { KmsRefusal } from "../../../sim/kms/kms_errors.ts";
import { checkPolicy } from "../../../sim/kms/policy/check_policy.ts";
import { authorize, type KeyPolicy, requestAttributes } from "../../../sim/kms/policy/key_policy.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
const IMAGES = ["4e", "5f"].map((byte) => ({ pcr0: byte.repeat(48) }));

/**
 * Key policy. It is the same as itself, every answer is short, and the simulator's evaluator, which shares no code with the
 * gate, gives nothing without attestation under a policy that the gate passes.
 */
export const policy: FuzzTarget = {
  name: "policy",
  maxLength: 4096,
  covers: [
    ...["gate", "denials", "lockout", "running_images", "pcr_conditions", "principals", "policy_document"],
    ...["actions", "diff_policies", "explain_refusal"],
  ].map((name) => `deploy/keys/${name}.ts`),
  dictionary: dictionary(
    ...[
      '"Statement"',
      '"Effect"',
      '"Allow"',
      '"Deny"',
      '"Principal"',
      '"NotPrincipal"',
      '"AWS"',
      '"Service"',
    ],
    ...['"Action"', '"NotAction"', '"Resource"', '"NotResource"', '"Condition"', '"Sid"', '"*"', "kms:*"],
    ...["kms:Decrypt", "kms:CreateGrant", "kms:PutKeyPolicy", "kms:Sign", "kms:ReEncrypt*", "StringEquals"],
    ...[
      "StringNotEquals",
      "StringLike",
      "IfExists",
      "IgnoreCase",
      "Null",
      "ForAllValues:",
      "ArnLike",
      "Bool",
    ],
    ...[
      "kms:RecipientAttestation:PCR0",
      "kms:RecipientAttestation:ImageSha384",
      "aws:PrincipalArn",
      ROLE,
      ADMIN,
    ],
    ...["arn:aws:iam::111122223333:root", "111122223333", IMAGES[0]!.pcr0, "0".repeat(96), "true", "false"],
    ...["__proto__", "\\u0041", "\u212a", "${aws:userid}", ",", "[", "]", "{", "}"],
  ),
  seeds: () => Promise.resolve(SEEDS.map(utf8)),
  run(input) {
    const text = new TextDecoder().decode(input);
    let rules: readonly string[];
    try {
      rules = judge(text);
    } catch (error) {
      if (!(error instanceof KeyPolicyError)) throw error;
      expect(error.message.length < 1000, "the error says too much");
      return error.message.replace(/^[^:]*: /, "").replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
        .replaceAll(/\b(?:statement )?\d+/g, "0").replace(/^.*(is no text|is empty|is no object)/s, "$1")
        .slice(0, 50);
    }
    expectSame(diffPolicies(text, text), [], "the policy itself");
    for (const change of diffPolicies(SEEDS[0]!, text)) {
      expect(describeChange(change).endsWith("."), "no sentence");
    }
    explainRefusal(text, { role: ROLE, pcrs: { 0: IMAGES[0]!.pcr0 } });
    return rules.length > 0 ? rules.join(" ") : `passes ${evaluate(text)}`;
  },
};

function judge(text: string): string[] {
  const findings = judgePolicy(text, { role: ROLE, running: IMAGES.slice(0, 1) });
  for (const { sentence } of findings) expect(sentence.length < 1000, "a sentence says too much");
  return [...new Set(findings.map(({ rule }) => rule))].sort();
}

const EVERYTHING: KeyPolicy = { Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };
const ATTESTED = ["Decrypt", "DeriveSharedSecret", "GenerateDataKey", "GenerateDataKeyPair"];
const BYPASSING = ["CreateGrant", "ReEncryptFrom", "ReplicateKey", "ImportKeyMaterial"];

/** Asks the evaluator for what nobody may have: without a document, and with one of debug mode. */
function evaluate(text: string): string {
  let parsed: KeyPolicy;
  try {
    const given = JSON.parse(text);
    parsed = checkPolicy({ ...given, Statement: [given.Statement].flat() });
  } catch (error) {
    if (error instanceof TypeError) return "what the evaluator does not know";
    throw error;
  }
  for (const pcr0 of [undefined, "0".repeat(96)]) {
    for (const action of [...ATTESTED, ...BYPASSING]) {
      expect(!isAllowed(parsed, `kms:${action}`, pcr0), `the evaluator allows ${action}`);
    }
  }
  return String(isAllowed(parsed, "kms:Decrypt", IMAGES[0]!.pcr0));
}

function isAllowed(policy: KeyPolicy, action: string, pcr0: string | undefined): boolean {
  const pcrs = pcr0 === undefined ? undefined : new Map([[0, decodeHex(pcr0)]]);
  const document = pcrs && { pcrs } as unknown as AttestationDocument;
  const resource = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  const attributes = requestAttributes(document, {}, {});
  try {
    authorize({ policy, kind: "resource-based", action, resource, attributes, identityPolicy: EVERYTHING });
    return true;
  } catch (error) {
    if (error instanceof KmsRefusal) return false;
    throw error;
  }
}

const statement = (changes: object) => ({
  Effect: "Allow",
  Principal: { AWS: ROLE },
  Action: "kms:Decrypt",
  Resource: "*",
  ...changes,
});
const PCR0 = { "kms:RecipientAttestation:PCR0": IMAGES[0]!.pcr0 };

const SEEDS: readonly string[] = [
  makeKeyPolicy({ images: IMAGES, role: ROLE, administrators: [ADMIN] }),
  JSON.stringify({
    Version: "2008-10-17",
    Id: "x",
    Statement: [
      statement({ Sid: "Put", Principal: { AWS: ADMIN }, Action: "kms:PutKeyPolicy" }),
      statement({ Condition: { StringEquals: PCR0 } }),
      statement({
        Effect: "Deny",
        Principal: "*",
        Condition: { Null: { ...PCR0, "aws:PrincipalArn": true } },
      }),
    ],
  }),
  JSON.stringify({
    Statement: statement({
      Action: undefined,
      NotAction: ["kms:D*crypt"],
      Principal: undefined,
      NotPrincipal: { AWS: [ADMIN], Service: "ec2.amazonaws.com" },
      Resource: undefined,
      NotResource: "*",
      Condition: {
        StringNotEqualsIgnoreCase: PCR0,
        StringLike: PCR0,
        ArnNotEquals: { "aws:PrincipalArn": ADMIN },
      },
    }),
  }),
];
