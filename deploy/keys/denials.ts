import { isAbout } from "./actions.ts";
import { equalsPcr, isStrict, registerOf } from "./pcr_conditions.ts";
import type { PolicyCondition, PolicyStatement } from "./policy_document.ts";
import { awsPrincipals, isAccountOf, mayConcern } from "./principals.ts";

/** Request that a statement may deny. */
export interface JudgedRequest {
  readonly action: string;
  /** ARN of a role or user, or an account. */
  readonly principal: string;
  /** Known PCRs of its document, lowercase hex; undefined when it carries no document. */
  readonly pcrs?: Readonly<Record<number, string | undefined>> | undefined;
}

/**
 * Tells whether a statement denies a request, or may: what is not known here counts as a denial.
 *
 * @param statement The statement
 * @param request The request
 */
export function mayDeny(statement: PolicyStatement, request: JudgedRequest): boolean {
  return statement.effect === "Deny" && isAbout(statement, request.action) &&
    mayHit(statement, request.principal) &&
    !statement.conditions.some((condition) => surelyFails(condition, request));
}

/** A denial of everybody but somebody hits them too unless their account is left out as well. */
function mayHit(statement: PolicyStatement, principal: string): boolean {
  if (!statement.isNotPrincipal) return mayConcern(statement, principal);
  const named = awsPrincipals(statement);
  return !named.includes(principal) || !named.some((name) => isAccountOf(name, principal));
}

function surelyFails(condition: PolicyCondition, { principal, pcrs }: JudgedRequest): boolean {
  const { operator, key, values } = condition;
  if (/^aws:PrincipalArn$/i.test(key)) return failsFor(condition, principal);
  // Nobody who is locked out, and nobody who is not, has to skip KMS's own check.
  if (/^kms:BypassPolicyLockoutSafetyCheck$/i.test(key)) return operator === "Bool" && !values.some(isFalse);
  if (!/^kms:RecipientAttestation:/i.test(key)) return false;
  if (pcrs === undefined) return isStrict(operator) || (operator === "Null" && values.every(isFalse));
  if (operator === "Null") return !values.some(isFalse);
  const register = registerOf(key);
  const actual = register === undefined ? undefined : pcrs[register];
  if (actual === undefined) return false;
  if (isStrict(operator)) return !equalsPcr(condition, actual);
  const isNegated = operator === "StringNotEquals" || operator === "StringNotEqualsIgnoreCase";
  return isNegated && equalsPcr(condition, actual);
}

function failsFor({ operator, values }: PolicyCondition, principal: string): boolean {
  if (/^(?:String|Arn)Not(?:Equals|Like)$/.test(operator)) return values.includes(principal);
  if (!/^(?:String|Arn)Equals$/.test(operator) || !/:(?:role|user)\//.test(principal)) return false;
  return values.every((value) => !/[*?$]/.test(value) && value.toLowerCase() !== principal.toLowerCase());
}

const isFalse = (value: string) => value.toLowerCase() === "false";
