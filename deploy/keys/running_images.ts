import { ATTESTED_ACTIONS, isAbout } from "./actions.ts";
import { mayDeny } from "./denials.ts";
import type { CheckedGateOptions } from "./gate_finding.ts";
import { isAboutKey } from "./lockout.ts";
import type { PolicyImage } from "./make_policy.ts";
import { equalsPcr, isStrict, pcrConditions, registerOf } from "./pcr_conditions.ts";
import type { PolicyDocument, PolicyStatement } from "./policy_document.ts";
import { mayConcern } from "./principals.ts";

/**
 * Tells whether a policy lets an image go on: a statement allows its enclaves something, by the role, the key, PCR0 and PCR8,
 * and none may deny it. Other conditions, such as an encryption context or PCR3, count as met.
 *
 * @param policy The policy
 * @param image The image
 * @param options Options of the gate
 */
export function keepsImage(
  { statements }: PolicyDocument,
  image: PolicyImage,
  options: CheckedGateOptions,
): boolean {
  const pcrs = { 0: image.pcr0.toLowerCase(), 8: image.pcr8?.toLowerCase() };
  const kept = statements.filter((statement) => allows(statement, pcrs, options));
  return ATTESTED_ACTIONS.some((action) =>
    kept.some((statement) => isAbout(statement, action)) &&
    !statements.some((statement) => mayDeny(statement, { action, principal: options.role, pcrs }))
  );
}

type Known = Readonly<Record<number, string | undefined>>;

function allows(statement: PolicyStatement, pcrs: Known, options: CheckedGateOptions): boolean {
  return statement.effect === "Allow" && mayConcern(statement, options.role) &&
    isAboutKey(statement, options) &&
    pcrConditions(statement.conditions).every((condition) => {
      const register = registerOf(condition.key);
      // An image that is not signed has no PCR8 to show.
      if (register !== 0 && register !== 8) return true;
      const actual = pcrs[register];
      return isStrict(condition.operator) && actual !== undefined && equalsPcr(condition, actual);
    });
}
