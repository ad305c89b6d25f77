import { asRecord } from "./cedar_answers.ts";

/**
 * Finds out which of the context's attributes a policy reads, so that decisions can be told apart by those alone.
 *
 * @param policy As Cedar's `policyToJson` has it
 * @returns Their names; `undefined` when the policy may read any, because the context as a whole appears in it
 */
export function readContextUse(policy: unknown): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  return isReadByNames(policy, names) ? names : undefined;
}

/** Whether the context appears nowhere but in `context.name` and `context has name`, whose names are added. */
function isReadByNames(node: unknown, names: Set<string>): boolean {
  return Object.entries(asRecord(node)).every(([operator, operand]) => {
    // In a record, Var is a name like any other, and what stands there no string.
    if (operator === "Var" && typeof operand === "string") return operand !== "context";
    const name = operator === "." || operator === "has" ? nameIn(operand) : undefined;
    if (name === undefined) return isReadByNames(operand, names);
    names.add(name);
    return true;
  });
}

/** The attribute's name in `{ left: { Var: "context" }, attr: "name" }`, or the first of a list; in nothing else. */
function nameIn(operand: unknown): string | undefined {
  const { left, attr } = asRecord(operand);
  const name: unknown = Array.isArray(attr) ? attr[0] : attr;
  return asRecord(left)["Var"] === "context" && typeof name === "string" ? name : undefined;
}
