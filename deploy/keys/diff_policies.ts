import { isAbout } from "./actions.ts";
import { KEY_ACTIONS } from "./key_actions.ts";
import { parsePolicy, type PolicyStatement } from "./policy_document.ts";

/** Permission that a policy has and another has not. */
export interface PolicyChange {
  /** Side that has it: the later policy gains, the earlier one loses. */
  readonly change: "gains" | "loses";
  /** ARN or account that it concerns, `*`, or `everybody but …`. */
  readonly principal: string;
  /** Actions, such as `kms:Decrypt`, sorted. */
  readonly actions: readonly string[];
  /** Whether the statement denies: who gains a denial loses what it denies. */
  readonly effect: "Allow" | "Deny";
  /** Conditions in words, such as `PCR0 is 4ea3bbbc363468c4…`; empty for none. */
  readonly condition: string;
}

/** One action of one principal under one condition. */
interface Permission {
  readonly effect: "Allow" | "Deny";
  readonly principal: string;
  readonly condition: string;
  /** Number of the condition, the same in both policies. */
  readonly number: number;
  readonly action: string;
}

/**
 * Compares two key policies: who gains what, who loses what, and for which image. Wildcards count for the actions of KMS
 * that they stand for, and the order and the names of statements for nothing.
 *
 * @param before JSON of the policy that is there
 * @param after JSON of the policy that shall be
 * @returns Changes, sorted; none when both mean the same
 * @throws {KeyPolicyError} When one of them is malformed
 */
export function diffPolicies(before: string, after: string): PolicyChange[] {
  const numbers = new Map<string, number>();
  const [old, next] = [permissionsOf(before, numbers), permissionsOf(after, numbers)];
  return [
    ...group("gains", [...next].filter(([key]) => !old.has(key)).map(([, permission]) => permission)),
    ...group("loses", [...old].filter(([key]) => !next.has(key)).map(([, permission]) => permission)),
  ];
}

/**
 * Puts a change in a sentence.
 *
 * @param change The change
 * @returns Such as `role/enclave of 111122223333 gains kms:Decrypt where PCR0 is 4ea3bbbc363468c4….`
 */
export function describeChange({ change, principal, actions, effect, condition }: PolicyChange): string {
  const what = effect === "Deny" ? `the denial of ${actions.join(", ")}` : actions.join(", ");
  return `${nameOf(principal)} ${change} ${what}${condition === "" ? "" : ` where ${condition}`}.`;
}

/** Conditions are numbered: one that is long would be in the key of each of its permissions. */
function permissionsOf(text: string, numbers: Map<string, number>): Map<string, Permission> {
  const permissions = parsePolicy(text).statements.flatMap((statement) => {
    const { effect } = statement;
    const condition = conditionOf(statement);
    const number = numbers.get(condition) ?? numbers.size;
    numbers.set(condition, number);
    const actions = KEY_ACTIONS.filter((action) => isAbout(statement, action));
    return principalsOf(statement).flatMap((principal) =>
      actions.map((action): [string, Permission] => [
        JSON.stringify([effect, number, principal, action]),
        { effect, principal, condition, number, action },
      ])
    );
  });
  return new Map(permissions);
}

function group(change: PolicyChange["change"], permissions: readonly Permission[]): PolicyChange[] {
  const grouped = Map.groupBy(
    permissions,
    ({ effect, principal, number }) => JSON.stringify([effect, principal, number]),
  );
  const changes = [...grouped.values()].map((list): PolicyChange => {
    const { effect, principal, condition } = list[0]!;
    return { change, principal, effect, condition, actions: list.map(({ action }) => action).sort() };
  });
  return changes.sort((a, b) =>
    orderOf(a, b, "effect") || orderOf(a, b, "principal") || orderOf(a, b, "condition")
  );
}

function orderOf(a: PolicyChange, b: PolicyChange, field: "effect" | "principal" | "condition"): number {
  return a[field] === b[field] ? 0 : a[field] < b[field] ? -1 : 1;
}

function principalsOf({ principals, isNotPrincipal }: PolicyStatement): string[] {
  const named = Object.entries(principals).flatMap(([type, list]) =>
    list.map((name) => type === "AWS" || type === "*" ? name : `${type} ${name}`)
  );
  return isNotPrincipal ? [`everybody but ${named.toSorted().join(", ")}`] : named;
}

/** Resources count as a condition: in a key policy they are the key itself, or somebody's mistake. */
function conditionOf({ conditions, resources, isNotResource }: PolicyStatement): string {
  const clauses = conditions.map(({ operator, key, values }) => {
    const name = /^kms:RecipientAttestation:(.+)$/i.exec(key)?.[1] ?? key;
    const shown = values.map((value) => /^[0-9a-f]{96}$/i.test(value) ? value.toLowerCase() : value)
      .toSorted();
    return /^StringEquals(?:IgnoreCase)?$/.test(operator)
      ? `${name} is ${shown.join(" or ")}`
      : `${operator} of ${name} is ${shown.join(" or ")}`;
  });
  const isKey = !isNotResource && resources.includes("*");
  const resource = isKey
    ? []
    : [`the key is ${isNotResource ? "not " : ""}${resources.toSorted().join(" or ")}`];
  return [...clauses.sort(), ...resource].join(" and ");
}

function nameOf(principal: string): string {
  if (principal === "*") return "everybody";
  const [, account, name] = /^arn:[\w-]+:(?:iam|sts)::(\d{12}):(.+)$/.exec(principal) ?? [];
  return name === undefined ? principal : `${name} of ${account}`;
}
