import assert from "node:assert/strict";
import { describe, test } from "#test";
import { judgePolicy } from "../../../deploy/keys/gate.ts";
import type { GateRule } from "../../../deploy/keys/gate_finding.ts";
import type { AttestationDocument } from "../../../lib/attestation/document.ts";
import { decodeHex } from "../../../lib/core/encoding.ts";
import { KeyPolicyError } from "../../../lib/core/errors.ts";
import { KmsRefusal } from "../../../sim/kms/kms_errors.ts";
import { checkPolicy } from "../../../sim/kms/policy/check_policy.ts";
import { authorize, type KeyPolicy, requestAttributes } from "../../../sim/kms/policy/key_policy.ts";
import { ACTIONS } from "./judged/actions.ts";
import { BINDING, UNBINDING } from "./judged/conditions.ts";
import {
  A,
  B,
  type JudgedPolicy,
  KEY,
  PCR1,
  PCR3,
  PCR4,
  PCR8,
  REQUESTS,
  ROLE,
  ZERO,
} from "./judged/judged.ts";
import { PRINCIPALS } from "./judged/principals.ts";
import { PUBLISHED } from "./judged/published.ts";
import { DENIALS, FORMS, LOCKOUTS, RUNNING } from "./judged/structure.ts";

const TABLE: Readonly<Record<string, readonly JudgedPolicy[]>> = {
  "conditions that bind": BINDING,
  "conditions that do not": UNBINDING,
  "actions": ACTIONS,
  "principals": PRINCIPALS,
  "denials": DENIALS,
  "resources and form": FORMS,
  "who can change the policy": LOCKOUTS,
  "images that run, and options": RUNNING,
  "samples that AWS published": PUBLISHED,
};

const RULES: readonly GateRule[] = [
  ...(["pcr-value", "unattested-access", "loose-condition", "any-principal", "bypass"] as const),
  ...(["unattested-operation", "lockout", "size", "running-image"] as const),
];

/** Documents by the letters of their requests. */
const DOCUMENTS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  D: { 0: A, 1: PCR1, 3: PCR3, 4: PCR4, 8: PCR8 },
  K: { 0: A, 1: PCR1, 3: PCR3, 4: PCR4, 8: PCR8 },
  O: { 0: B, 1: ZERO, 3: PCR3, 4: PCR4, 8: PCR8 },
  Z: { 0: ZERO, 1: ZERO, 3: ZERO, 4: ZERO, 8: ZERO },
};

const ENCRYPTING = { "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT" };

/** Attributes of requests besides. */
const ALGORITHMS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ...{ D: ENCRYPTING, O: ENCRYPTING, Z: ENCRYPTING, N: ENCRYPTING, E: ENCRYPTING },
  S: { "kms:MessageType": "RAW", "kms:SigningAlgorithm": "ECDSA_SHA_384" },
  M: { "kms:MacAlgorithm": "HMAC_SHA_384" },
};

const NAMES: Readonly<Record<string, string>> = {
  ...{ D: "Decrypt", O: "Decrypt", Z: "Decrypt", N: "Decrypt", K: "GenerateDataKey", k: "GenerateDataKey" },
  ...{ E: "Encrypt", C: "CreateGrant", R: "ReEncryptFrom", S: "Sign", M: "GenerateMac", P: "PutKeyPolicy" },
  L: "DescribeKey",
};

/** Policy of the account's that allows its role everything. */
const EVERYTHING: KeyPolicy = { Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };

/** Lists the letters of the requests that the simulator's evaluator allows. */
function answersOf(policy: KeyPolicy, identityPolicy?: KeyPolicy): string {
  return [...REQUESTS].filter((letter) => {
    const pcrs = Object.entries(DOCUMENTS[letter] ?? {}).map(([index, hex]) =>
      [Number(index), decodeHex(hex)] as const
    );
    const document = pcrs.length === 0
      ? undefined
      : { pcrs: new Map(pcrs) } as unknown as AttestationDocument;
    const isContext = "DOZNKkE".includes(letter);
    try {
      authorize({
        policy,
        kind: "resource-based",
        action: `kms:${NAMES[letter]}`,
        resource: KEY,
        attributes: requestAttributes(document, isContext ? { tenant: "a" } : {}, ALGORITHMS[letter] ?? {}),
        ...(identityPolicy === undefined ? {} : { identityPolicy }),
      });
      return true;
    } catch (error) {
      if (error instanceof KmsRefusal) return false;
      throw error;
    }
  }).join("");
}

const sorted = (letters: string) => [...REQUESTS].filter((letter) => letters.includes(letter)).join("");

/** Reads a policy as KMS gets it: fields that are undefined are not there. */
const textOf = ({ policy }: JudgedPolicy) => JSON.stringify(policy);

describe("key policies that people have judged", () => {
  test("are 200 and more, with each rule alone and each request", () => {
    const all = Object.values(TABLE).flat();
    assert.ok(all.length >= 200, `${all.length} policies`);
    const names = all.map(({ name }) => name);
    assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), []);
    const texts = all.map((judged) => textOf(judged) + JSON.stringify(judged.options ?? {}));
    assert.ok(new Set(texts).size >= 200, `${new Set(texts).size} of ${all.length} differ`);
    for (const rule of RULES) {
      assert.ok(all.some(({ gate }) => Array.isArray(gate) && gate.length === 1 && gate[0] === rule), rule);
    }
    const letters = all.map(({ role }) => typeof role === "string" ? role : "").join("");
    for (const letter of REQUESTS) assert.ok(letters.includes(letter), letter);
  });

  for (const [topic, policies] of Object.entries(TABLE)) {
    for (const judged of policies) {
      test(`${topic}: the gate, of ${judged.name}`, () => {
        const { gate, options } = judged;
        const judge = () => judgePolicy(textOf(judged), { role: ROLE, ...options }).map(({ rule }) => rule);
        if (!(gate instanceof RegExp)) {
          return assert.deepEqual([...new Set(judge())].sort(), [...gate].sort());
        }
        assert.throws(judge, (error) => error instanceof KeyPolicyError && gate.test(error.message));
      });

      test(`${topic}: the evaluator, of ${judged.name}`, () => {
        const { role, account = role } = judged;
        const parsed = JSON.parse(textOf(judged)) as KeyPolicy;
        if (typeof role !== "string") {
          assert.throws(
            () => checkPolicy(parsed),
            (error) => error instanceof TypeError && role.test(error.message),
          );
          return;
        }
        const policy = checkPolicy(parsed);
        assert.equal(answersOf(policy), sorted(role));
        assert.equal(answersOf(policy, EVERYTHING), sorted(`${account}`), "with the account's policies");
      });
    }
  }
});
