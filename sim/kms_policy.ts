import type { AttestationDocument } from "../lib/attestation/document.ts";
import { encodeHex } from "../lib/encoding.ts";
import { KmsRefusal } from "./kms_errors.ts";

/** A key policy as KMS takes it, with the parts that the simulator judges. */
export interface KeyPolicy {
  /** Statements; a request needs one that allows it and none that denies it. */
  readonly Statement: readonly KeyPolicyStatement[];
  /** Not looked at. */
  readonly Version?: string;
  /** Not looked at. */
  readonly Id?: string;
}

/** One statement. */
export interface KeyPolicyStatement {
  /** Not looked at. */
  readonly Sid?: string;
  /** Whether it allows or denies. */
  readonly Effect: "Allow" | "Deny";
  /** Such as `kms:Decrypt` or `kms:*`. */
  readonly Action: string | readonly string[];
  /** Not looked at: the simulator has one account with one role. */
  readonly Principal?: unknown;
  /** Not looked at: the policy is the key's own. */
  readonly Resource?: string | readonly string[];
  /** All of them have to hold: operator, then condition key, then one value or several of which one has to match. */
  readonly Condition?: KeyPolicyConditions;
}

/**
 * Conditions by operator (`StringEquals`, `StringNotEquals`, `StringEqualsIgnoreCase`,
 * `StringNotEqualsIgnoreCase`, `Null`) and condition key (`kms:RecipientAttestation:ImageSha384`,
 * `kms:RecipientAttestation:PCR0` to `PCR31`, `kms:EncryptionContext:<name>`, `kms:EncryptionAlgorithm`,
 * `kms:DataKeyPairSpec`, `kms:KeyAgreementAlgorithm`).
 */
export type KeyPolicyConditions = Readonly<
  Record<string, Readonly<Record<string, string | boolean | readonly string[]>>>
>;

/** Allows everything: a key's policy unless another is given. */
export const ALLOW_ALL_POLICY: KeyPolicy = {
  Statement: [{ Effect: "Allow", Principal: { AWS: "*" }, Action: "kms:*", Resource: "*" }],
};

/** The operations that take a Recipient. */
const ATTESTED_ACTIONS = [
  "kms:Decrypt",
  "kms:DeriveSharedSecret",
  "kms:GenerateDataKey",
  "kms:GenerateDataKeyPair",
];

/**
 * The usual policy of an enclave's key: anyone may encrypt, and only an enclave with these measurements may
 * decrypt.
 *
 * @param measurements Hex by PCR index, as `nsm.pcr(0)` returns it
 * @returns The policy
 * @example
 * ```ts
 * import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const key = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
 * ```
 */
export function attestedKeyPolicy(measurements: Readonly<Record<number, string>>): KeyPolicy {
  const pcrs = Object.entries(measurements).map(([i, hex]) => [`kms:RecipientAttestation:PCR${i}`, hex]);
  return {
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Principal: { AWS: "*" }, Action: ["kms:Encrypt", "kms:DescribeKey"], Resource: "*" },
      {
        Effect: "Allow",
        Principal: { AWS: "*" },
        Action: ATTESTED_ACTIONS,
        Resource: "*",
        Condition: { StringEqualsIgnoreCase: Object.fromEntries(pcrs) },
      },
    ],
  };
}

/** What is known of a request, by condition key in lowercase. */
export type RequestAttributes = ReadonlyMap<string, string>;

/**
 * @param document The verified attestation document of the request, if it has one
 * @param encryptionContext Of the request
 * @param others More condition keys and their values, such as `kms:EncryptionAlgorithm`
 * @returns What conditions are compared with
 */
export function requestAttributes(
  document: AttestationDocument | undefined,
  encryptionContext: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
): RequestAttributes {
  const attributes = new Map(Object.entries(others).map(([name, value]) => [name.toLowerCase(), value]));
  for (const [name, value] of Object.entries(encryptionContext)) {
    attributes.set(`kms:encryptioncontext:${name.toLowerCase()}`, value);
  }
  for (const [index, value] of document?.pcrs ?? []) {
    attributes.set(`kms:recipientattestation:pcr${index}`, encodeHex(value));
    if (index === 0) attributes.set("kms:recipientattestation:imagesha384", encodeHex(value));
  }
  return attributes;
}

/** What is to be judged. */
export interface PolicyQuestion {
  /** The policy of the key, or of the caller. */
  readonly policy: KeyPolicy;
  /** Whose policy it is, for the message. */
  readonly kind: "resource-based" | "identity-based";
  /** Such as `kms:Decrypt`. */
  readonly action: string;
  /** The key's ARN or `*`, for the message. */
  readonly resource: string;
  /** Of the request. */
  readonly attributes: RequestAttributes;
}

/**
 * @param question What is to be judged
 * @param grants Whether a grant permits what the policy neither allows nor denies
 * @throws {KmsRefusal} `AccessDeniedException` when the policy denies the request, or nothing allows it
 */
export function authorize(question: PolicyQuestion, grants: () => boolean = () => false): void {
  const { policy, kind, action, attributes } = question;
  const effects = policy.Statement.filter((statement) => applies(statement, action, attributes))
    .map(({ Effect }) => Effect);
  if (effects.includes("Deny")) {
    throw denied(
      question,
      `with an explicit deny in ${kind === "identity-based" ? "an" : "a"} ${kind} policy`,
    );
  }
  if (!effects.includes("Allow") && !grants()) {
    throw denied(question, `because no ${kind} policy allows the ${action} action`);
  }
}

/**
 * @param policy A policy from outside
 * @returns The same
 * @throws {TypeError} When it has an operator or a condition key that the simulator does not judge
 */
export function checkPolicy(policy: KeyPolicy): KeyPolicy {
  for (const { Condition = {} } of policy.Statement) {
    for (const [operator, conditions] of Object.entries(Condition)) {
      if (!Object.hasOwn(OPERATORS, operator)) throw new TypeError(`Cannot judge the operator ${operator}`);
      const unknown = Object.keys(conditions).find((key) => !CONDITION_KEY.test(key));
      if (unknown !== undefined) throw new TypeError(`Cannot judge the condition key ${unknown}`);
    }
  }
  return policy;
}

const CONDITION_KEY =
  /^kms:(?:RecipientAttestation:(?:ImageSha384|PCR(?:[12]?[0-9]|3[01]))|EncryptionContext:.+|EncryptionAlgorithm|DataKeyPairSpec|KeyAgreementAlgorithm)$/i;

type Operator = (actual: string | undefined, expected: readonly string[]) => boolean;

const equals: Operator = (actual, expected) => actual !== undefined && expected.includes(actual);
const equalsIgnoreCase: Operator = (actual, expected) =>
  equals(actual?.toLowerCase(), expected.map((value) => value.toLowerCase()));

/** IAM's operators: a negated one holds when the key is absent. */
const OPERATORS: Readonly<Record<string, Operator>> = {
  StringEquals: equals,
  StringNotEquals: (actual, expected) => !equals(actual, expected),
  StringEqualsIgnoreCase: equalsIgnoreCase,
  StringNotEqualsIgnoreCase: (actual, expected) => !equalsIgnoreCase(actual, expected),
  Null: (actual, expected) => expected.includes(String(actual === undefined)),
};

function applies(statement: KeyPolicyStatement, action: string, attributes: RequestAttributes): boolean {
  const actions = [statement.Action].flat();
  if (!actions.some((pattern) => pattern === action || pattern === "kms:*" || pattern === "*")) return false;
  return Object.entries(statement.Condition ?? {}).every(([operator, conditions]) =>
    Object.entries(conditions).every(([key, expected]) =>
      OPERATORS[operator]?.(attributes.get(key.toLowerCase()), [expected].flat().map(String)) === true
    )
  );
}

function denied({ action, resource }: PolicyQuestion, reason: string): KmsRefusal {
  return new KmsRefusal(
    "AccessDeniedException",
    `User: ${SIMULATED_SESSION} is not authorized to perform: ${action} on resource: ${resource} ${reason}`,
  );
}

/** The account of all simulated keys. */
export const SIMULATED_ACCOUNT = "111122223333";

/** The role that all simulated credentials belong to. */
export const SIMULATED_PRINCIPAL = `arn:aws:iam::${SIMULATED_ACCOUNT}:role/enclave`;

/** The session of that role. */
const SIMULATED_SESSION = `arn:aws:sts::${SIMULATED_ACCOUNT}:assumed-role/enclave/i-0123456789abcdef0`;
