import type { AttestationDocument } from "../../../lib/attestation/document.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { pcrHex, type PcrsByIndex, type PcrValue, readPcrs } from "../../../lib/core/pcrs.ts";
import { KmsRefusal } from "../kms_errors.ts";
import { matchesAction, matchesResource, OPERATORS } from "./match.ts";

/**
 * A key policy as KMS takes it, with the parts that the simulator judges. Everything else in it, such as
 * `NotPrincipal`, `NotResource`, another operator or condition key, or a policy variable, is
 * refused by its name when the key is created or its policy replaced.
 */
export interface KeyPolicy {
  /** Statements; a request needs one that allows it and none that denies it. */
  readonly Statement: readonly KeyPolicyStatement[];
  /** `2012-10-17` or `2008-10-17`, which make no difference to what is judged. */
  readonly Version?: string;
  /** Ignored. */
  readonly Id?: string;
}

/** One statement. */
export interface KeyPolicyStatement {
  /** Ignored. */
  readonly Sid?: string;
  /** Effect of the statement. */
  readonly Effect: "Allow" | "Deny";
  /**
   * Actions such as `kms:Decrypt`, `kms:Generate*` or `*`: in any case, with `*` for any characters and `?`
   * for one.
   */
  readonly Action?: string | readonly string[];
  /** Actions that the statement is not about, in place of those that it is about. */
  readonly NotAction?: string | readonly string[];
  /**
   * Principals: `*`, or ARNs and account ids under `AWS`. All simulated credentials are of the role
   * `enclave` of account 111122223333. Its account stands for the role when {@link
   * SimulatedKms.identityPolicy} allows the request, as in KMS. Default, which KMS does not have: everybody.
   */
  readonly Principal?: "*" | Readonly<Record<string, string | readonly string[]>>;
  /**
   * The key's ARN, with `*` and `?` as in actions but in the very case, or `*`. Default, which KMS does not
   * have: `*`.
   */
  readonly Resource?: string | readonly string[];
  /**
   * Conditions, all of which must hold: operator, then condition key, then a value or several of which one
   * must match.
   */
  readonly Condition?: KeyPolicyConditions;
}

/**
 * Conditions by operator (`StringEquals`, `StringNotEquals`, `StringEqualsIgnoreCase`,
 * `StringNotEqualsIgnoreCase`, `StringLike`, `StringNotLike`, each also with `IfExists`, and `Null`) and condition key (`kms:RecipientAttestation:ImageSha384`,
 * `kms:RecipientAttestation:PCR0` to `PCR31`, `kms:EncryptionContext:<name>`, `kms:EncryptionAlgorithm`,
 * `kms:DataKeyPairSpec`, `kms:KeyAgreementAlgorithm`).
 */
export type KeyPolicyConditions = Readonly<
  Record<string, Readonly<Record<string, string | boolean | readonly (string | boolean)[]>>>
>;

/** Allows everything: a key's policy unless another is given. */
export const ALLOW_ALL_KEY_POLICY: KeyPolicy = {
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
 * Makes a policy for the simulator only: anyone may encrypt, and only an enclave with these measurements may
 * decrypt. It is none for AWS: its `Principal` is everybody in every account, and no administrator could
 * change it again.
 *
 * @param measurements Measurements by PCR index, as `nsm.pcr(0)` or a document's `pcrs` has them: one or more
 * @returns The policy
 * @throws {TypeError} When a measurement is malformed, or there is none, which would let everybody decrypt
 * @example
 * ```ts
 * import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const key = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
 * ```
 */
export function attestedKeyPolicy(measurements: PcrsByIndex<PcrValue>): KeyPolicy {
  const pcrs = readPcrs("measurements", measurements).map(([index, value]) => [
    `kms:RecipientAttestation:PCR${index}`,
    pcrHex(`measurements[${index}]`, value),
  ]);
  if (pcrs.length === 0) {
    throw new TypeError("measurements must name a register: without one, everybody decrypts");
  }
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

/** Several values of one condition key: of names of an encryption context that differ only in their case. */
const AMBIGUOUS = Symbol("ambiguous");

/** Attributes of a request, by condition key in lowercase. */
export type RequestAttributes = ReadonlyMap<string, string | typeof AMBIGUOUS>;

/**
 * Collects the attributes that conditions are compared with.
 *
 * @param document Verified attestation document of the request, if it has one
 * @param encryptionContext Encryption context of the request
 * @param others More condition keys and their values, such as `kms:EncryptionAlgorithm`
 */
export function requestAttributes(
  document: AttestationDocument | undefined,
  encryptionContext: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
): RequestAttributes {
  const attributes = new Map<string, string | typeof AMBIGUOUS>(
    Object.entries(others).map(([name, value]) => [name.toLowerCase(), value]),
  );
  for (const [name, value] of Object.entries(encryptionContext)) {
    const key = `kms:encryptioncontext:${name.toLowerCase()}`;
    attributes.set(key, attributes.has(key) ? AMBIGUOUS : value);
  }
  for (const [index, value] of document?.pcrs ?? []) {
    attributes.set(`kms:recipientattestation:pcr${index}`, encodeHex(value));
    if (index === 0) attributes.set("kms:recipientattestation:imagesha384", encodeHex(value));
  }
  return attributes;
}

/** Request and policy to be judged. */
export interface PolicyQuestion {
  /** The policy of the key, or of the caller. */
  readonly policy: KeyPolicy;
  /** Owner of the policy, for the message. */
  readonly kind: "resource-based" | "identity-based";
  /** Action, such as `kms:Decrypt`. */
  readonly action: string;
  /** The key's ARN, or `*` where there is no key. */
  readonly resource: string;
  /** Attributes of the request. */
  readonly attributes: RequestAttributes;
  /** The caller's own policy, which decides what a key's policy leaves to the account. Default: none. */
  readonly identityPolicy?: KeyPolicy;
}

/**
 * Judges a request.
 *
 * @param question Request and policy
 * @param grants Whether a grant permits what the policy neither allows nor denies
 * @throws {KmsRefusal} `AccessDeniedException` when the policy denies the request, or nothing allows it;
 * `ValidationException` when a condition is about a name that the encryption context has in several cases
 */
export function authorize(question: PolicyQuestion, grants: () => boolean = () => false): void {
  const { policy, kind, action } = question;
  const effects = effectsOf(policy, question);
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

function effectsOf(policy: KeyPolicy, question: PolicyQuestion): readonly ("Allow" | "Deny")[] {
  return policy.Statement.filter((statement) => applies(statement, question)).map(({ Effect }) => Effect);
}

function applies(statement: KeyPolicyStatement, question: PolicyQuestion): boolean {
  const { Resource = "*", Condition = {} } = statement;
  const { action, resource, attributes } = question;
  return isAbout(statement, action) &&
    [Resource].flat().some((pattern) => matchesResource(pattern, resource)) &&
    Object.entries(Condition).every(([operator, conditions]) =>
      Object.entries(conditions).every(([key, expected]) =>
        OPERATORS[operator]?.(valueOf(attributes, key), [expected].flat().map(String)) === true
      )
    ) &&
    meansTheRole(statement, question);
}

function isAbout({ Action, NotAction }: KeyPolicyStatement, action: string): boolean {
  const isListed = [Action ?? NotAction ?? []].flat().some((pattern) => matchesAction(pattern, action));
  return isListed === (Action !== undefined);
}

/**
 * Reads an attribute. It refuses several values: AWS does not say which it compares, and a guess must not
 * decide.
 */
function valueOf(attributes: RequestAttributes, key: string): string | undefined {
  const value = attributes.get(key.toLowerCase());
  if (value !== AMBIGUOUS) return value;
  throw new KmsRefusal(
    "ValidationException",
    `The simulator cannot judge ${key}: the encryption context has names that differ only in case`,
  );
}

/**
 * Tells whether a statement is about the role. Allowing an account leaves the decision to its policies;
 * denying an account denies all of it.
 */
function meansTheRole({ Principal = "*", Effect }: KeyPolicyStatement, question: PolicyQuestion): boolean {
  const given = Principal === "*" ? ["*"] : [Principal["AWS"] ?? []].flat();
  const named = given.map((principal) => principal.replace(/^arn:aws[\w-]*:/, "arn:aws:"));
  if (named.includes("*") || named.some((principal) => THE_ROLE.includes(principal))) return true;
  if (!named.some((principal) => THE_ACCOUNT.includes(principal))) return false;
  if (Effect === "Deny") return true;
  const { identityPolicy } = question;
  if (identityPolicy === undefined) return false;
  const effects = effectsOf(identityPolicy, question);
  return effects.includes("Allow") && !effects.includes("Deny");
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

const THE_ROLE: readonly string[] = [SIMULATED_PRINCIPAL, SIMULATED_SESSION];

const THE_ACCOUNT: readonly string[] = [SIMULATED_ACCOUNT, `arn:aws:iam::${SIMULATED_ACCOUNT}:root`];
