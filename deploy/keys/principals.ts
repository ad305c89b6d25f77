import type { PolicyStatement } from "./policy_document.ts";

const ROLE_ARN = /^arn:[\w-]+:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/;
const SESSION_ARN = /^arn:[\w-]+:sts::\d{12}:assumed-role\/([^/]+)\/[^/]+$/i;

/** Principals that name somebody: an account, or an ARN without wildcards. */
const NAMED = /^(?:\d{12}|arn:[\w-]+:(?:iam|sts)::\d{12}:(?:root|[a-z-]+\/[\w+=,.@/-]+))$/i;

/**
 * Tells whether a text is the ARN of a role, and not of a session of one.
 *
 * @param text The text
 */
export function isRoleArn(text: unknown): text is string {
  return typeof text === "string" && ROLE_ARN.test(text);
}

/**
 * Lists the principals of AWS that a statement names, `*` included.
 *
 * @param statement The statement
 */
export function awsPrincipals({ principals }: PolicyStatement): readonly string[] {
  return [...principals["*"] ?? [], ...principals["AWS"] ?? []];
}

/**
 * Tells whether a principal is a known account, role, user or session. A unique id (`AROA…`), as KMS shows it for somebody
 * who was deleted, is none: nobody but AWS knows whose it is.
 *
 * @param principal Principal of AWS
 */
export function isNamed(principal: string): boolean {
  return NAMED.test(principal);
}

/**
 * Finds the account of a principal, or that of a key.
 *
 * @param principal Account or ARN
 * @returns 12 digits; empty when it is neither
 */
export function accountOf(principal: string): string {
  return /^(?:arn:[\w-]+:\w+:[\w-]*:)?(\d{12})(?=$|:)/i.exec(principal)?.[1] ?? "";
}

/**
 * Tells whether a principal may be somebody: by the ARN in any case, by a session of the role, by a wildcard, or by an id
 * that only AWS can resolve.
 *
 * @param principal Principal of AWS
 * @param somebody ARN of a role or user, or an account
 */
export function mayBe(principal: string, somebody: string): boolean {
  if (!isNamed(principal)) return true;
  if (isWholeAccount(principal) && isWholeAccount(somebody)) {
    return accountOf(principal) === accountOf(somebody);
  }
  return principal.toLowerCase() === somebody.toLowerCase() || isSessionOf(principal, somebody);
}

/**
 * Tells whether a principal is the account of somebody, which stands for them when the account's own policies say so.
 *
 * @param principal Principal of AWS
 * @param somebody ARN of a role or user
 */
export function isAccountOf(principal: string, somebody: string): boolean {
  return isWholeAccount(principal) && accountOf(principal) === accountOf(somebody);
}

/**
 * Tells whether a statement may be about somebody, also by their account.
 *
 * @param statement The statement
 * @param somebody ARN of a role or user, or an account
 */
export function mayConcern(statement: PolicyStatement, somebody: string): boolean {
  const named = awsPrincipals(statement);
  if (statement.isNotPrincipal) return !named.includes(somebody);
  return named.some((principal) => mayBe(principal, somebody) || isAccountOf(principal, somebody));
}

function isWholeAccount(principal: string): boolean {
  return /^(?:\d{12}|arn:[\w-]+:iam::\d{12}:root)$/i.test(principal);
}

function isSessionOf(principal: string, role: string): boolean {
  const name = role.split("/").at(-1) ?? role;
  return SESSION_ARN.exec(principal)?.[1]?.toLowerCase() === name.toLowerCase();
}
