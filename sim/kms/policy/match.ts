/**
 * Comparison of policies with requests, as IAM does it.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
 *
 * @module
 */

/**
 * Compares an action of a request with one of a policy: prefix and name in any case, `*` for any number of
 * characters and `?` for one.
 *
 * @param pattern Such as `kms:Generate*`
 * @param action Such as `kms:GenerateRandom`
 */
export function matchesAction(pattern: string, action: string): boolean {
  return matches(pattern.toLowerCase(), action.toLowerCase());
}

/**
 * Compares a resource of a request with one of a policy, in the very case, with the same wildcards.
 *
 * @param pattern An ARN, or `*`
 * @param resource An ARN; `*` for a request that has none
 */
export function matchesResource(pattern: string, resource: string): boolean {
  return matches(pattern, resource);
}

/** Compares the values of a condition key with a request's; undefined when the request has none. */
type Operator = (actual: string | undefined, expected: readonly string[]) => boolean;

const equals: Operator = (actual, expected) => actual !== undefined && expected.includes(actual);
const equalsIgnoreCase: Operator = (actual, expected) =>
  equals(actual?.toLowerCase(), expected.map((value) => value.toLowerCase()));

const like: Operator = (actual, expected) =>
  actual !== undefined && expected.some((pattern) => matches(pattern, actual));

/** Operators of texts: a negated one holds when the key is absent. */
const OF_TEXTS: Readonly<Record<string, Operator>> = {
  StringEquals: equals,
  StringNotEquals: (actual, expected) => !equals(actual, expected),
  StringEqualsIgnoreCase: equalsIgnoreCase,
  StringNotEqualsIgnoreCase: (actual, expected) => !equalsIgnoreCase(actual, expected),
  StringLike: like,
  StringNotLike: (actual, expected) => !like(actual, expected),
};

/** IAM's operators, also with `IfExists`, under which an absent key meets the condition. */
export const OPERATORS: Readonly<Record<string, Operator>> = {
  ...OF_TEXTS,
  ...Object.fromEntries(
    Object.entries(OF_TEXTS).map(([name, meets]): [string, Operator] => [
      `${name}IfExists`,
      (actual, expected) => actual === undefined || meets(actual, expected),
    ]),
  ),
  Null: (actual, expected) => expected.includes(String(actual === undefined)),
};

function matches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s").test(text);
}
