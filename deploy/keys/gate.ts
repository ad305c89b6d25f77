import { checkFields } from "../../lib/core/checks.ts";
import {
  ATTESTED_ACTIONS,
  BYPASSING_ACTIONS,
  isAbout,
  PUT_POLICY,
  READING_ACTIONS,
  UNATTESTED_ACTIONS,
} from "./actions.ts";
import type { CheckedGateOptions, GateFinding, GateOptions } from "./gate_finding.ts";
import { administratorsOf } from "./lockout.ts";
import { checkImages } from "./make_policy.ts";
import { isBound, isStrict, pcrConditions, pcrFault, registerOf } from "./pcr_conditions.ts";
import { parsePolicy, type PolicyDocument, type PolicyStatement, shorten } from "./policy_document.ts";
import { awsPrincipals, isRoleArn, mayBe, mayConcern } from "./principals.ts";
import { keepsImage } from "./running_images.ts";

/** Longest key policy that KMS takes, in bytes. */
export const MAX_POLICY_BYTES = 32_768;

/**
 * Judges a key policy before it is put on a key. What it passes lets nobody decrypt, generate or derive a secret without
 * attestation of the images that it names, and leaves somebody who can change it.
 *
 * It reads the statements one by one, and gives no credit for what another one denies. Not guaranteed: what IAM policies of
 * the account allow where the key policy names the account, which it refuses for all but `kms:PutKeyPolicy`; and what
 * whoever may put a key policy puts next.
 *
 * @param text JSON of the policy
 * @param options Role of the enclave, and images that run
 * @returns Findings; none when it passes
 * @throws {KeyPolicyError} When the policy is malformed
 * @throws {TypeError} When an option is unknown or malformed
 * @throws {RangeError} When a PCR of an image that runs is zero
 * @example
 * ```ts
 * import { judgePolicy } from "enclave-kms/deploy";
 *
 * const account = { Effect: "Allow", Principal: { AWS: "arn:aws:iam::111122223333:root" }, Resource: "*" };
 * const role = "arn:aws:iam::111122223333:role/enclave";
 * const findings = judgePolicy(JSON.stringify({ Statement: [{ ...account, Action: "kms:*" }] }), { role });
 * findings.map(({ rule }) => rule).join(); // "unattested-access,bypass,unattested-operation"
 * ```
 */
export function judgePolicy(text: string, options: GateOptions): GateFinding[] {
  const checked = checkOptions(options);
  const policy = parsePolicy(text);
  const administrators = administratorsOf(policy, checked);
  return [
    ...judgeSize(policy),
    ...policy.statements.filter(({ effect }) => effect === "Allow").flatMap((statement) => [
      ...judgePrincipals(statement),
      ...judgeValues(statement),
      ...judgeOperators(statement),
      ...judgeAttested(statement),
      ...judgeBypass(statement, checked, administrators),
      ...judgeUnattested(statement, checked),
    ]),
    ...judgeLockout(administrators),
    ...judgeRunning(policy, checked),
  ];
}

const OPTIONS = ["role", "running", "allowUnattested", "key"];

/** A role that no statement could mean would make half of the rules silent. */
function checkOptions(options: GateOptions): CheckedGateOptions {
  const { role, running = [], allowUnattested = [], key } = checkFields("gate options", options, OPTIONS);
  if (!isRoleArn(role)) {
    throw new TypeError("role must be the ARN of a role, such as arn:aws:iam::111122223333:role/enclave");
  }
  if (key !== undefined && !/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/.test(key)) {
    throw new TypeError("key must be the ARN of a key, arn:aws:kms:<region>:<account>:key/<id>");
  }
  const known = UNATTESTED_ACTIONS.map((action) => action.toLowerCase());
  if (
    !Array.isArray(allowUnattested) || !allowUnattested.every((one) => known.includes(`${one}`.toLowerCase()))
  ) {
    throw new TypeError(`allowUnattested must be a list of ${UNATTESTED_ACTIONS.join(" and ")}`);
  }
  return {
    role,
    running: running.length === 0 ? [] : checkImages("running", running),
    allowUnattested: allowUnattested.map((action) => action.toLowerCase()),
    key,
  };
}

function judgeSize({ bytes }: PolicyDocument): GateFinding[] {
  if (bytes <= MAX_POLICY_BYTES) return [];
  return [{ rule: "size", sentence: `The policy has ${bytes} bytes, and KMS takes ${MAX_POLICY_BYTES}.` }];
}

function judgePrincipals({ name, principals, isNotPrincipal }: PolicyStatement): GateFinding[] {
  const isAnybody = isNotPrincipal ||
    Object.values(principals).flat().some((principal) => /[*?]/.test(principal));
  if (!isAnybody) return [];
  const whom = isNotPrincipal ? "everybody but those in its NotPrincipal" : "everybody";
  return [{
    rule: "any-principal",
    sentence: `${name} allows ${whom}, in every account: name the principals.`,
  }];
}

/** A key says a fault once, however many values have it. */
function judgeValues({ name, conditions }: PolicyStatement): GateFinding[] {
  return pcrConditions(conditions).flatMap(({ key, values }) => {
    const rule = "pcr-value" as const;
    if (registerOf(key) === undefined) {
      return [{ rule, sentence: `${name} compares ${shorten(key)}, which KMS does not know.` }];
    }
    const faults = new Set(values.map(pcrFault).filter((fault) => fault !== undefined));
    return [...faults].map((fault) => ({ rule, sentence: `${name} has a value of ${key} that ${fault}.` }));
  });
}

function judgeOperators({ name, conditions }: PolicyStatement): GateFinding[] {
  return pcrConditions(conditions).filter(({ operator }) => !isStrict(operator)).map(({ operator, key }) => ({
    rule: "loose-condition",
    sentence: `${name} compares ${shorten(key)} by ${shorten(operator)}, which other images meet, or none: ` +
      "use StringEqualsIgnoreCase.",
  }));
}

function judgeAttested(statement: PolicyStatement): GateFinding[] {
  if (isBound(statement.conditions)) return [];
  const actions = ATTESTED_ACTIONS.filter((action) => isAbout(statement, action));
  if (actions.length === 0) return [];
  const by = statement.isNotAction ? " by its NotAction" : "";
  return [{
    rule: "unattested-access",
    sentence: `${statement.name} allows ${
      actions.join(", ")
    }${by} without attestation: nothing binds it to PCR0.`,
  }];
}

function judgeBypass(
  statement: PolicyStatement,
  { role }: CheckedGateOptions,
  administrators: ReadonlySet<string>,
): GateFinding[] {
  const finding = (whom: string, given: readonly string[]): GateFinding[] => {
    const actions = given.filter((action) => isAbout(statement, action));
    const sentence = `${statement.name} allows ${whom} ${
      actions.join(", ")
    }, by which they get past the conditions.`;
    return actions.length === 0 ? [] : [{ rule: "bypass", sentence }];
  };
  if (mayConcern(statement, role)) {
    const isNamed = statement.isNotPrincipal || awsPrincipals(statement).some((one) => mayBe(one, role));
    return finding("the enclave's role", isNamed ? [...BYPASSING_ACTIONS, PUT_POLICY] : BYPASSING_ACTIONS);
  }
  // Who administers the key can put another policy, and gets nothing by a grant.
  const others = Object.values(statement.principals).flat().filter((one) => !administrators.has(one));
  return others.length === 0 ? [] : finding("somebody who does not administer the key", READING_ACTIONS);
}

function judgeUnattested(
  statement: PolicyStatement,
  { role, allowUnattested }: CheckedGateOptions,
): GateFinding[] {
  if (!mayConcern(statement, role)) return [];
  const actions = UNATTESTED_ACTIONS
    .filter((action) => isAbout(statement, action) && !allowUnattested.includes(action.toLowerCase()));
  if (actions.length === 0) return [];
  return [{
    rule: "unattested-operation",
    sentence:
      `${statement.name} allows the enclave's role ${actions.join(", ")}, of which nothing is attested: ` +
      "the parent can do it without the enclave. List it with --allow-unattested if that is meant.",
  }];
}

function judgeLockout(administrators: ReadonlySet<string>): GateFinding[] {
  if (administrators.size > 0) return [];
  return [{
    rule: "lockout",
    sentence:
      "Nobody is left who can surely change the policy (kms:PutKeyPolicy without conditions, on *, by a " +
      "named principal that is not the enclave's role and is not denied it): nobody could undo it.",
  }];
}

function judgeRunning(policy: PolicyDocument, options: CheckedGateOptions): GateFinding[] {
  return options.running.filter((image) => !keepsImage(policy, image, options)).map(({ pcr0 }) => ({
    rule: "running-image",
    sentence:
      `The image that runs (PCR0 ${
        pcr0.slice(0, 16)
      }…) is named by no statement that allows the role anything, ` +
      "or by one that asks for another signature, or is denied: it could decrypt no longer.",
  }));
}
