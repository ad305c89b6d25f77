/**
 * Check that the simulator can judge a key policy. It refuses what it does not know: a statement that it
 * ignored would let a test pass that fails on AWS.
 *
 * @module
 */
import { checkFields, checkRecord } from "../../../lib/core/checks.ts";
import { CONDITION_NAMES } from "../keys/key_families.ts";
import { OPERATORS } from "./match.ts";
import type { KeyPolicy, KeyPolicyStatement } from "./key_policy.ts";

/**
 * Checks a policy, and copies it: what is changed in the caller's object afterwards has not been checked.
 *
 * @param policy A policy from outside
 * @returns A frozen copy
 * @throws {TypeError} When something in it is not judged by the simulator, or is malformed; it names what
 */
export function checkPolicy(policy: KeyPolicy): KeyPolicy {
  const { Version, Id, Statement } = checkFields("key policy", policy, ["Version", "Id", "Statement"]);
  if (Version !== undefined && !VERSIONS.includes(Version)) {
    throw new TypeError(`Version must be one of ${VERSIONS.join(", ")}`);
  }
  if (!Array.isArray(Statement)) throw new TypeError("Statement must be an array");
  return Object.freeze({
    ...(Version !== undefined && { Version }),
    ...(Id !== undefined && { Id }),
    Statement: Object.freeze(Statement.map(checkStatement)),
  });
}

const VERSIONS = ["2012-10-17", "2008-10-17"];

const FIELDS = ["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"];

function checkStatement(given: unknown, index: number): KeyPolicyStatement {
  const place = `statement ${index} of the key policy`;
  const { Principal, Resource, Condition, ...rest } = checkFields(place, given as KeyPolicyStatement, FIELDS);
  const { Effect, Action, NotAction, ...own } = rest;
  if (Effect !== "Allow" && Effect !== "Deny") {
    throw new TypeError(`Effect must be Allow or Deny in ${place}`);
  }
  if ((Action === undefined) === (NotAction === undefined)) {
    throw new TypeError(`There must be either Action or NotAction in ${place}`);
  }
  return Object.freeze({
    ...own,
    Effect,
    ...(Action !== undefined && { Action: texts("Action", place, Action, isAction) }),
    ...(NotAction !== undefined && { NotAction: texts("NotAction", place, NotAction, isAction) }),
    ...(Principal !== undefined && { Principal: checkPrincipal(place, Principal) }),
    ...(Resource !== undefined && { Resource: texts("Resource", place, Resource, isResource) }),
    ...(Condition !== undefined && { Condition: checkConditions(place, Condition) }),
  });
}

/** A service and an action's name; wildcards stand in the name only, or alone for everything. */
const isAction = (text: string) => text === "*" || /^[a-z\d-]+:[a-z\d*?]+$/i.test(text);

const isResource = (text: string) => text === "*" || /^arn:[^:$]+:kms:[^:$]*:[^:$]*:[^$]+$/.test(text);

/** IAM has no wildcards in a principal, but for one alone. */
const isPrincipal = (text: string) => text === "*" || (text !== "" && !/[*?$]/.test(text));

const PRINCIPAL_TYPES = ["AWS", "Service", "Federated", "CanonicalUser"];

function checkPrincipal(place: string, principal: unknown): NonNullable<KeyPolicyStatement["Principal"]> {
  if (principal === "*") return principal;
  const types = checkRecord(`Principal in ${place}`, principal, '"*" or a plain object');
  if (types.length === 0) throw new TypeError(`Principal must name somebody in ${place}`);
  return Object.fromEntries(types.map(([type, value]) => {
    if (!PRINCIPAL_TYPES.includes(type)) {
      throw new TypeError(`Cannot judge the principal ${type} in ${place}`);
    }
    return [type, texts(`Principal.${type}`, place, value, isPrincipal)];
  }));
}

function checkConditions(place: string, given: unknown): NonNullable<KeyPolicyStatement["Condition"]> {
  const operators = checkRecord(`Condition in ${place}`, given);
  if (operators.length === 0) throw new TypeError(`Condition must have an operator in ${place}`);
  return Object.freeze(Object.fromEntries(operators.map(([operator, keys]) => {
    if (!Object.hasOwn(OPERATORS, operator)) {
      throw new TypeError(`Cannot judge the operator ${operator} in ${place}`);
    }
    return [operator, checkKeys(operator, place, keys)];
  })));
}

function checkKeys(
  operator: string,
  place: string,
  given: unknown,
): Readonly<Record<string, readonly string[]>> {
  const keys = checkRecord(`${operator} in ${place}`, given);
  if (keys.length === 0) throw new TypeError(`${operator} must have a condition key in ${place}`);
  const isValue = operator === "Null" ? isBoolean : isPlainText;
  return Object.freeze(Object.fromEntries(keys.map(([key, value]) => {
    if (!CONDITION_KEY.test(key)) throw new TypeError(`Cannot judge the condition key ${key} in ${place}`);
    const values = [value].flat().map((one) => typeof one === "boolean" ? String(one) : one);
    return [key, texts(key, place, values, isValue)];
  })));
}

const CONDITION_KEY = new RegExp(
  `^kms:(?:RecipientAttestation:(?:ImageSha384|PCR(?:[12]?[0-9]|3[01]))|EncryptionContext:.+|${
    CONDITION_NAMES.join("|")
  })$`,
  "i",
);

const isBoolean = (text: string) => text === "true" || text === "false";

/** Policy variables, which KMS would put a value in place of, are not. */
const isPlainText = (text: string) => !text.includes("${");

/** Reads one text or several as a list. It refuses an empty list, which would match nothing or everything. */
function texts(
  field: string,
  place: string,
  value: unknown,
  isJudged: (text: string) => boolean,
): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw new TypeError(`${field} must have a value in ${place}`);
  return Object.freeze(list.map((text) => {
    if (typeof text !== "string") {
      throw new TypeError(`${field} must be a string or a list of strings in ${place}`);
    }
    if (isJudged(text)) return text;
    throw new TypeError(`Cannot judge the value ${JSON.stringify(text)} of ${field} in ${place}`);
  }));
}
