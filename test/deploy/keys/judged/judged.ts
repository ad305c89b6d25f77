/**
 * Form of the table of key policies that people have judged, from the documentation of IAM and KMS, before any program did:
 * rules of the gate, and answers of an evaluator.
 *
 * @module
 */
import type { GateOptions, GateRule } from "../../../../deploy/keys/gate_finding.ts";

export const ROLE = "arn:aws:iam::111122223333:role/enclave";
export const ADMIN = "arn:aws:iam::111122223333:role/key-admin";
export const WRITER = "arn:aws:iam::111122223333:role/writer";
export const ROOT = "arn:aws:iam::111122223333:root";
export const SESSION = "arn:aws:sts::111122223333:assumed-role/enclave/i-0123456789abcdef0";
export const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
export const OTHER_KEY = KEY.replace("1234abcd", "aaaabbbb");

/** Image that runs, another one, and what the documents of both have in PCR3 (role), PCR4 (instance) and PCR8 (signer). */
export const A: string = "4e".repeat(48);
export const B: string = "5f".repeat(48);
export const PCR1: string = "1a".repeat(48);
export const PCR3: string = "7b".repeat(48);
export const PCR4: string = "8c".repeat(48);
export const PCR8: string = "6d".repeat(48);
export const ZERO: string = "0".repeat(96);

/**
 * Requests of the role, by a letter each. D, O and Z decrypt with a document of A, of B, and of debug mode; N without one. K
 * and k generate a data key, with a document of A and without one. The others carry none: Encrypt, CreateGrant, ReEncryptFrom,
 * Sign, GenerateMac, PutKeyPolicy and DescribeKey (L). Those that encrypt and decrypt have the context `tenant: a`, and each
 * has the algorithm of its kind.
 */
export const REQUESTS = "DOZNKkECRSMPL";

/** Everything that a policy can allow the role. */
export const ALL: string = REQUESTS;

/** Policy, and what people say of it. */
export interface JudgedPolicy {
  readonly name: string;
  readonly policy: object;
  /** Rules by which the gate refuses it, in any order; a text is the end of the message with which it cannot be read. */
  readonly gate: readonly GateRule[] | RegExp;
  /** Letters of the requests that it allows the role by itself; a text is what an evaluator says that does not know it. */
  readonly role: string | RegExp;
  /** Letters of the requests that are allowed when the account's own policies allow the role everything. Default: `role`. */
  readonly account?: string;
  readonly options?: Partial<GateOptions>;
}

/** Makes a statement that allows the role to decrypt. */
export function allow(changes: object = {}): object {
  return { Effect: "Allow", Principal: { AWS: ROLE }, Action: "kms:Decrypt", Resource: "*", ...changes };
}

/** Makes a statement that denies everybody everything. */
export function deny(changes: object = {}): object {
  return { Effect: "Deny", Principal: "*", Action: "kms:*", Resource: "*", ...changes };
}

/** Makes conditions on registers: of numbers, and of whole keys. */
export function pcrs(
  operator: string,
  values: Readonly<Record<string, unknown>>,
): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const keys = Object.entries(values).map(([key, value]) => [
    /^[\d*-]/.test(key) ? `kms:RecipientAttestation:PCR${key}` : key,
    value,
  ]);
  return { [operator]: Object.fromEntries(keys) };
}

/** Condition that binds a statement to image A. */
export const BOUND = { Condition: pcrs("StringEqualsIgnoreCase", { 0: A }) };

/** Statement by which somebody administers the key. */
export const ADMINISTRATION: object = allow({
  Principal: { AWS: ADMIN },
  Action: ["kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:DescribeKey"],
});

/** Makes a policy with somebody who administers the key. */
export function policyOf(...statements: readonly object[]): object {
  return { Version: "2012-10-17", Statement: [ADMINISTRATION, ...statements] };
}

type Verdict = readonly [gate: JudgedPolicy["gate"], role: JudgedPolicy["role"], account?: string];

/** Makes a row of the table for statements beside those of who administers the key. */
export function row(name: string, statements: object | readonly object[], ...verdict: Verdict): JudgedPolicy {
  return rowOf(name, policyOf(...[statements].flat()), ...verdict);
}

/** Makes a row of the table for a whole policy. */
export function rowOf(name: string, policy: object, ...[gate, role, account]: Verdict): JudgedPolicy {
  return { name, policy, gate, role, ...(account === undefined ? {} : { account }) };
}
