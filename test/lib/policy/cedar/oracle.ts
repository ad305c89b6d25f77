/**
 * A second opinion on what a policy decides: random policies as trees, written out in Cedar's language on one
 * side and evaluated here on the other. It shares no code with Cedar or with lib/policy.
 *
 * @module
 */
import type { FactParts } from "../../../../lib/policy/mod.ts";

/** Chooses from 0 to below the limit. */
export type Random = (limit: number) => number;

/** A request, before the library has seen it. */
export type Request = FactParts & {
  readonly caller: {
    readonly cid: number;
    readonly attributes: { readonly tenant?: string; readonly roles?: string[] };
  };
  readonly encryptionContext: Readonly<Record<string, string>>;
  readonly keyId: string;
  readonly ciphertext: Uint8Array;
};

type Value = boolean | "error";

type Condition =
  | { readonly is: "tenantMatches"; readonly tag: string }
  | { readonly is: "tagIs"; readonly tag: string; readonly value: string }
  | { readonly is: "role"; readonly role: string }
  | { readonly is: "longerThan"; readonly bytes: number }
  | { readonly is: "before"; readonly time: number }
  | { readonly is: "busy"; readonly count: number }
  | { readonly is: "overflows"; readonly above: number }
  | { readonly is: "keyLike"; readonly prefix: string }
  | { readonly is: "and" | "or"; readonly left: Condition; readonly right: Condition }
  | { readonly is: "not"; readonly inner: Condition };

/** One policy. */
export interface Rule {
  readonly effect: "permit" | "forbid";
  readonly cid: number | undefined;
  readonly actions: readonly string[];
  readonly key: string | undefined;
  readonly clauses: readonly { readonly kind: "when" | "unless"; readonly condition: Condition }[];
}

const TENANTS = ["red", "blue", "Red", ""];
const TAGS = ["tenant", "purpose", "a b"];
const KEYS = ["alias/a", "alias/b", "arn:aws:kms:eu-west-1:1:key/k", ""];
const ACTIONS: readonly string[] = ["Decrypt", "Encrypt", "GetAttestation"];
const ROLES = ["dev", "ops"];
const LARGEST = 9_223_372_036_854_775_000n;

/** @returns A seeded generator (mulberry32), the same on every runtime */
export function seeded(seed: number): Random {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** @returns A few policies, the first a permit, so that some requests are permitted */
export function randomRules(random: Random): Rule[] {
  const count = 1 + random(6);
  return Array.from({ length: count }, (_, index) => ({
    effect: index === 0 || random(3) > 0 ? "permit" : "forbid",
    cid: random(2) === 0 ? undefined : random(3),
    actions: ACTIONS.filter(() => random(2) === 0),
    key: random(2) === 0 ? undefined : pick(random, KEYS),
    clauses: Array.from({ length: random(3) }, () => ({
      kind: random(3) === 0 ? "unless" : "when",
      condition: randomCondition(random, 3),
    })),
  }));
}

/** @returns A request that has a chance with such policies */
export function randomRequest(random: Random): Request {
  const tenant = random(3) === 0 ? {} : { tenant: pick(random, TENANTS) };
  const roles = random(3) === 0 ? {} : { roles: ROLES.filter(() => random(2) === 0) };
  return {
    action: pick(random, ACTIONS),
    caller: { cid: random(3), attributes: { ...tenant, ...roles } },
    keyId: pick(random, KEYS),
    region: "eu-west-1",
    encryptionContext: Object.fromEntries(
      TAGS.filter(() => random(2) === 0).map((tag) => [tag, pick(random, TENANTS)]),
    ),
    ciphertext: new Uint8Array(random(64)),
    time: random(100),
    recentCount: random(100) * 20,
  };
}

/** @returns The policies in Cedar's language */
export function writeRules(rules: readonly Rule[]): string {
  return rules.map(({ effect, cid, actions, key, clauses }) => {
    const principal = cid === undefined ? "principal" : `principal == Caller::"${cid}"`;
    const action = actions.length === 0
      ? "action"
      : `action in [${actions.map((name) => `Action::"${name}"`).join(", ")}]`;
    const resource = key === undefined ? "resource" : `resource == Key::"${key}"`;
    const conditions = clauses.map(({ kind, condition }) => `${kind} { ${write(condition)} }`).join("\n");
    return `${effect}(${principal}, ${action}, ${resource})\n${conditions};`;
  }).join("\n");
}

/** @returns Whether the request may happen: a permit applies, no forbid does, and no policy failed */
export function judge(rules: readonly Rule[], request: Request): boolean {
  let isPermitted = false;
  let isRefused = false;
  for (const rule of rules) {
    const applies = evaluateRule(rule, request);
    if (applies === "error") isRefused = true;
    else if (applies && rule.effect === "permit") isPermitted = true;
    else if (applies) isRefused = true;
  }
  return isPermitted && !isRefused;
}

function evaluateRule({ cid, actions, key, clauses }: Rule, request: Request): Value {
  if (cid !== undefined && cid !== request.caller.cid) return false;
  if (actions.length > 0 && !actions.includes(request.action)) return false;
  if (key !== undefined && key !== request.keyId) return false;
  for (const { kind, condition } of clauses) {
    const value = evaluate(condition, request);
    if (value === "error") return "error";
    if (value !== (kind === "when")) return false;
  }
  return true;
}

function evaluate(condition: Condition, request: Request): Value {
  const { encryptionContext, caller: { attributes } } = request;
  switch (condition.is) {
    case "tenantMatches":
      return attributes.tenant !== undefined && encryptionContext[condition.tag] === attributes.tenant;
    case "tagIs":
      return encryptionContext[condition.tag] === condition.value;
    case "role":
      return attributes.roles?.includes(condition.role) ?? false;
    case "longerThan":
      return request.ciphertext.length > condition.bytes;
    case "before":
      return request.time < condition.time;
    case "busy":
      return request.recentCount >= condition.count;
    case "overflows":
      return request.recentCount > condition.above ? "error" : false;
    case "keyLike":
      return request.keyId.startsWith(condition.prefix);
    case "and": {
      const left = evaluate(condition.left, request);
      return left === true ? evaluate(condition.right, request) : left;
    }
    case "or": {
      const left = evaluate(condition.left, request);
      return left === false ? evaluate(condition.right, request) : left;
    }
    case "not": {
      const inner = evaluate(condition.inner, request);
      return inner === "error" ? "error" : !inner;
    }
  }
}

function write(condition: Condition): string {
  const context = "context.encryptionContext";
  switch (condition.is) {
    case "tenantMatches": {
      const tag = `"${condition.tag}"`;
      return `(principal has tenant && ${context}.hasTag(${tag}) && ${context}.getTag(${tag}) == principal.tenant)`;
    }
    case "tagIs":
      return `(${context}.hasTag("${condition.tag}") && ${context}.getTag("${condition.tag}") == "${condition.value}")`;
    case "role":
      return `(principal has roles && principal.roles.contains("${condition.role}"))`;
    case "longerThan":
      return `context.ciphertextLength > ${condition.bytes}`;
    case "before":
      return `context.time < ${condition.time}`;
    case "busy":
      return `!(context.recentCount < ${condition.count})`;
    case "overflows":
      return `context.recentCount + ${LARGEST + 807n - BigInt(condition.above)} < 0`;
    case "keyLike":
      return `resource.id like "${condition.prefix}*"`;
    case "and":
      return `(${write(condition.left)} && ${write(condition.right)})`;
    case "or":
      return `(${write(condition.left)} || ${write(condition.right)})`;
    case "not":
      return `!(${write(condition.inner)})`;
  }
}

function randomCondition(random: Random, depth: number): Condition {
  const leaf = depth === 0 || random(2) === 0;
  if (!leaf) {
    const kind = random(3);
    if (kind === 2) return { is: "not", inner: randomCondition(random, depth - 1) };
    const [left, right] = [randomCondition(random, depth - 1), randomCondition(random, depth - 1)];
    return { is: kind === 0 ? "and" : "or", left, right };
  }
  return pick<() => Condition>(random, [
    () => ({ is: "tenantMatches", tag: pick(random, TAGS) }),
    () => ({ is: "tagIs", tag: pick(random, TAGS), value: pick(random, TENANTS) }),
    () => ({ is: "role", role: pick(random, ROLES) }),
    () => ({ is: "longerThan", bytes: random(64) }),
    () => ({ is: "before", time: random(100) }),
    () => ({ is: "busy", count: random(2000) }),
    () => ({ is: "overflows", above: 200 + random(1700) }),
    () => ({ is: "keyLike", prefix: pick(random, ["alias/", "arn:", ""]) }),
  ])();
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random(items.length)] as T;
}
