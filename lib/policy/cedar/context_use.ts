import { asRecord } from "./cedar_answers.ts";

/**
 * Finds the attributes of the context that a policy reads, so that decisions can be told apart by those alone.
 *
 * @param policy Policy, as Cedar's `policyToJson` writes it
 * @returns Their names; `undefined` when the policy may read any, because it uses the context as a whole
 */
export function readContextUse(policy: unknown): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  return isReadByNames(policy, names) ? names : undefined;
}

/** Tells whether the context appears only in `context.name` and `context has name`, and collects those names. */
function isReadByNames(node: unknown, names: Set<string>): boolean {
  return Object.entries(asRecord(node)).every(([operator, operand]) => {
    // In a record, Var is a name like any other, and its value is no string.
    if (operator === "Var" && typeof operand === "string") return operand !== "context";
    const name = operator === "." || operator === "has" ? nameIn(operand) : undefined;
    if (name === undefined) return isReadByNames(operand, names);
    names.add(name);
    return true;
  });
}

/** Reads the name in `{ left: { Var: "context" }, attr: "name" }`, or the first of a list there. */
function nameIn(operand: unknown): string | undefined {
  const { left, attr } = asRecord(operand);
  const name: unknown = Array.isArray(attr) ? attr[0] : attr;
  return asRecord(left)["Var"] === "context" && typeof name === "string" ? name : undefined;
}
