import type { PolicyCondition } from "./policy_document.ts";

const PCR_KEY = /^kms:RecipientAttestation:(?:(ImageSha384)|PCR([0-9]|[12][0-9]|3[01]))$/i;
const ANY_ATTESTATION_KEY = /^kms:RecipientAttestation:/i;

/**
 * Chooses the conditions on attestation, known or not.
 *
 * @param conditions Conditions of a statement
 * @returns Those whose key is of an attestation document
 */
export function pcrConditions(conditions: readonly PolicyCondition[]): PolicyCondition[] {
  return conditions.filter(({ key }) => ANY_ATTESTATION_KEY.test(key));
}

/**
 * Tells whether a statement allows only requests with an attestation document of images that it names: PCR0 is compared by
 * equality with whole values that an image can have.
 *
 * @param conditions Conditions of the statement
 */
export function isBound(conditions: readonly PolicyCondition[]): boolean {
  return conditions.some(({ operator, key, values }) =>
    registerOf(key) === 0 && isStrict(operator) && values.every((value) => pcrFault(value) === undefined)
  );
}

/**
 * Tells whether a request without the key, or with another value, fails under an operator.
 *
 * @param operator Operator of a condition, in IAM's own case
 */
export function isStrict(operator: string): boolean {
  return operator === "StringEquals" || operator === "StringEqualsIgnoreCase";
}

/**
 * Compares a PCR with the values of a condition, as its operator compares them. KMS has PCRs in lowercase.
 *
 * @param condition Condition by an operator of equality, or its negation
 * @param actual Value of the register, lowercase hex
 */
export function equalsPcr({ operator, values }: PolicyCondition, actual: string): boolean {
  const ignoresCase = operator.endsWith("IgnoreCase");
  return values.some((value) => (ignoresCase ? value.toLowerCase() : value) === actual);
}

/**
 * Finds what is wrong with a value of a PCR.
 *
 * @param value Value, as the policy has it
 * @returns End of a sentence; undefined when nothing is wrong
 */
export function pcrFault(value: string): string | undefined {
  if (!/^[0-9a-f]{96}$/i.test(value)) return "is not 96 hex digits";
  if (/^0+$/.test(value)) return "is zero, which every enclave in debug mode has";
  return undefined;
}

/**
 * Reads the register that a condition key names.
 *
 * @param key Condition key
 * @returns 0 to 31, of `ImageSha384` 0; undefined when KMS does not know the key
 */
export function registerOf(key: string): number | undefined {
  const [, image, index] = PCR_KEY.exec(key) ?? [];
  if (image !== undefined) return 0;
  return index === undefined ? undefined : Number(index);
}
