import { isAbout, PUT_POLICY } from "./actions.ts";
import { mayDeny } from "./denials.ts";
import type { CheckedGateOptions } from "./gate_finding.ts";
import type { PolicyDocument, PolicyStatement } from "./policy_document.ts";
import { accountOf, awsPrincipals, isNamed, mayBe } from "./principals.ts";

/**
 * Lists who may surely put a key policy: who is named, by a statement without conditions, and whom no statement may deny it.
 *
 * @param policy The policy
 * @param options Options of the gate
 * @returns ARNs and accounts, the enclave's role not among them
 */
export function administratorsOf(
  { statements }: PolicyDocument,
  options: CheckedGateOptions,
): ReadonlySet<string> {
  const allowed = statements.filter((statement) => allowsAlways(statement, options)).flatMap(awsPrincipals);
  const others = new Set(
    allowed.filter((principal) => isNamed(principal) && !mayBe(principal, options.role)),
  );
  const denials = statements.filter(({ effect }) => effect === "Deny");
  return new Set([...others].filter((principal) =>
    isOfKeysAccount(principal, options) &&
    !denials.some((statement) => mayDeny(statement, { action: PUT_POLICY, principal }))
  ));
}

/**
 * Tells whether a statement is surely about the key.
 *
 * @param statement The statement
 * @param options Options of the gate
 */
export function isAboutKey(
  { resources, isNotResource }: PolicyStatement,
  { key }: CheckedGateOptions,
): boolean {
  return !isNotResource && resources.some((resource) => resource === "*" || resource === key);
}

function allowsAlways(statement: PolicyStatement, options: CheckedGateOptions): boolean {
  return statement.effect === "Allow" && isAbout(statement, PUT_POLICY) &&
    statement.conditions.length === 0 &&
    !statement.isNotPrincipal && isAboutKey(statement, options);
}

/** KMS lets nobody of another account put a policy, whatever the policy says. */
function isOfKeysAccount(principal: string, { key }: CheckedGateOptions): boolean {
  return key === undefined || accountOf(principal) === accountOf(key);
}
