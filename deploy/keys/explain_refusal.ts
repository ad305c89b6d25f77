import { isAbout } from "./actions.ts";
import { parsePolicy, type PolicyCondition, type PolicyStatement } from "./policy_document.ts";

/** Request that KMS refused. */
export interface RefusedRequest {
  /** Action. Default: `kms:Decrypt`. */
  readonly action?: string | undefined;
  /** ARN of the role that signed the request. */
  readonly role: string;
  /** PCRs of the attestation document as lowercase hex, by index; undefined when the request had no document. */
  readonly pcrs: Readonly<Record<number, string>> | undefined;
  /** Encryption context of the request. Default: none. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
}

/** Statement, and what about a request it does not take. */
export interface StatementVerdict {
  /** Name of the statement: its Sid, or its place in the policy. */
  readonly statement: string;
  /** Effect that it has when it applies. */
  readonly effect: "Allow" | "Deny";
  /** Whether the statement is about the request. */
  readonly applies: boolean;
  /** Reasons for which it is not, in words; none when it is. */
  readonly reasons: readonly string[];
}

/**
 * Explains why a key policy refuses a request: goes through the statements that are about the action, and says which
 * condition of each failed.
 *
 * Not guaranteed: that KMS allowed what one statement allows. Grants, other policies of the account and of the
 * organisation count as well, and are not known here.
 *
 * @param text JSON of the policy
 * @param request The request
 * @returns A verdict for each statement that is about the action
 * @throws {KeyPolicyError} When the policy is malformed
 */
export function explainRefusal(text: string, request: RefusedRequest): StatementVerdict[] {
  const { action = "kms:Decrypt" } = request;
  return parsePolicy(text).statements.filter((statement) => isAbout(statement, action)).map((statement) => {
    const reasons = [
      ...principalReasons(statement, request),
      ...resourceReasons(statement),
      ...conditionReasons(statement, request),
    ];
    return { statement: statement.name, effect: statement.effect, applies: reasons.length === 0, reasons };
  });
}

const KNOWN_OPERATOR = /^(?:Null|String(?:Not)?Equals(?:IgnoreCase)?(?:IfExists)?)$/;

function principalReasons(
  { principals, isNotPrincipal }: PolicyStatement,
  { role }: RefusedRequest,
): string[] {
  const named = Object.values(principals).flat();
  const account = /^arn:[\w-]+:iam::(\d{12}):/.exec(role)?.[1] ?? "";
  const isNamed = named.some((name) =>
    name === "*" || name === role || name === account || name.endsWith(`::${account}:root`)
  );
  if (isNamed !== isNotPrincipal) return [];
  return [`its principal is ${named.join(" or ")}, and the request is of ${role}`];
}

function resourceReasons({ resources, isNotResource }: PolicyStatement): string[] {
  if (!isNotResource && resources.includes("*")) return [];
  const named = resources.join(" or ");
  return [`its resource is ${isNotResource ? "not " : ""}${named}: compare it with the key yourself`];
}

function conditionReasons({ conditions }: PolicyStatement, request: RefusedRequest): string[] {
  return conditions.flatMap((condition) => {
    const actual = valueOf(condition.key, request);
    if (actual === "unknown") return [`${condition.key} is not known here: compare it yourself`];
    if (!KNOWN_OPERATOR.test(condition.operator)) {
      return [`${condition.operator} is not known here: compare it yourself`];
    }
    return meets(condition, actual.value) ? [] : [reasonOf(condition, actual.value, request)];
  });
}

function valueOf(
  key: string,
  { pcrs, encryptionContext = {} }: RefusedRequest,
): { value?: string } | "unknown" {
  const register = /^kms:RecipientAttestation:(?:(ImageSha384)|PCR(\d{1,2}))$/i.exec(key);
  if (register !== null) {
    const value = pcrs?.[register[1] === undefined ? Number(register[2]) : 0];
    return value === undefined ? {} : { value };
  }
  const name = /^kms:EncryptionContext:(.+)$/i.exec(key)?.[1];
  if (name === undefined) return "unknown";
  const entry = Object.entries(encryptionContext).find(([given]) =>
    given.toLowerCase() === name.toLowerCase()
  );
  return entry === undefined ? {} : { value: entry[1] };
}

function meets({ operator, values }: PolicyCondition, actual: string | undefined): boolean {
  if (operator === "Null") return values.includes(String(actual === undefined));
  const [, base = operator, ifExists] = /^(.+?)(IfExists)?$/.exec(operator) ?? [];
  if (actual === undefined && ifExists !== undefined) return true;
  const ignoresCase = base.endsWith("IgnoreCase");
  const fold = (value: string) => ignoresCase ? value.toLowerCase() : value;
  const isEqual = actual !== undefined && values.some((value) => fold(value) === fold(actual));
  return /^StringNotEquals/.test(base) ? !isEqual : /^StringEquals/.test(base) && isEqual;
}

function reasonOf(
  { operator, key, values }: PolicyCondition,
  actual: string | undefined,
  request: RefusedRequest,
) {
  const isAttestation = /^kms:RecipientAttestation:/i.test(key);
  if (isAttestation && request.pcrs === undefined) {
    return `it wants ${key}, and the request had no attestation document`;
  }
  const zero = actual !== undefined && /^0{96}$/.test(actual)
    ? ", as every enclave in debug mode has it"
    : "";
  const found = actual === undefined ? "the request has none" : `the request has ${actual}${zero}`;
  const isOnlyCase = operator === "StringEquals" && actual !== undefined &&
    values.some((value) => value.toLowerCase() === actual.toLowerCase());
  const advice = isOnlyCase ? "; they differ only in case: use StringEqualsIgnoreCase" : "";
  return `${key} by ${operator} must be ${values.join(" or ")}, and ${found}${advice}`;
}
