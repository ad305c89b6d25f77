import type { PolicyFacts } from "./facts.ts";

/**
 * Default fuel of a decision. 1000 Cedar policies that all apply take 1.24 million units for an encryption context of
 * 128 pairs and 8 KiB. Cedar uses it up in about 10 ms, a plug-in in 30.
 */
export const DEFAULT_FUEL = 2_000_000;

/** Most fuel of a decision. A caller who is refused can cost the only thread that much, which is 0.1 s. */
export const MAX_FUEL = 20_000_000;

/** Decision of a policy. */
export interface PolicyDecision {
  /** Whether the request may happen. */
  readonly allowed: boolean;
  /** Reason in one sentence, for the log; callers never see it. */
  readonly reason: string;
  /** Policies that made the decision: their `@id`s, or the names of plug-ins. */
  readonly determining: readonly string[];
  /** Units of fuel that the decision took; 0 when it was remembered. */
  readonly fuelUsed?: number;
}

/** Judge of requests: only a request that it permits goes to KMS. */
export interface Policy {
  /** Name, for the log. */
  readonly name: string;

  /**
   * Decides one request, synchronously.
   *
   * @param facts Facts of {@link makeFacts}
   * @returns The decision. A policy should not throw; a throw counts as a denial
   */
  decide(facts: PolicyFacts): PolicyDecision;
}

/** Policy that denies everything: the default where none is given. */
export const denyAll: Policy = Object.freeze({
  name: "deny-all",
  decide: () => denied("No policy is loaded"),
});

/**
 * Combines policies into one that permits a request when all of them do. Without policies it permits nothing. The
 * policies after a denial are not asked.
 *
 * @param policies The policies
 * @returns A policy
 * @throws {TypeError} When one is no policy
 * @example
 * ```ts
 * import { allOf, denyAll } from "enclave-kms/policy";
 *
 * allOf(denyAll).name; // "all of deny-all"
 * ```
 */
export function allOf(...policies: readonly Policy[]): Policy {
  const all = checkPolicies(policies);
  return Object.freeze({
    name: `all of ${all.map(({ name }) => name).join(", ")}`,
    decide(facts: PolicyFacts): PolicyDecision {
      const decisions: PolicyDecision[] = [];
      for (const policy of all) {
        const decision = decideSafely(policy, facts);
        decisions.push(decision);
        if (!decision.allowed) return merge(false, decision.reason, [decision], decisions);
      }
      if (decisions.length === 0) return denied("There is no policy to permit it");
      return merge(true, reasonsOf(decisions), decisions, decisions);
    },
  });
}

/**
 * Combines policies into one that permits a request when one of them does. The policies after a permission are not
 * asked, so a denial by one of them (Cedar's `forbid`, too) does not count: conditions that must always hold belong in
 * {@link allOf}.
 *
 * @param policies The policies
 * @returns A policy
 * @throws {TypeError} When one is no policy
 */
export function anyOf(...policies: readonly Policy[]): Policy {
  const all = checkPolicies(policies);
  return Object.freeze({
    name: `any of ${all.map(({ name }) => name).join(", ")}`,
    decide(facts: PolicyFacts): PolicyDecision {
      const decisions: PolicyDecision[] = [];
      for (const policy of all) {
        const decision = decideSafely(policy, facts);
        decisions.push(decision);
        if (decision.allowed) return merge(true, decision.reason, [decision], decisions);
      }
      if (decisions.length === 0) return denied("There is no policy to permit it");
      return merge(false, reasonsOf(decisions), decisions, decisions);
    },
  });
}

/**
 * Asks a policy. Anything but a clear permission is a denial.
 *
 * @param policy Any policy, also one that throws
 * @param facts Facts of {@link makeFacts}
 * @returns Its decision, or a denial with the reason
 */
export function decideSafely(policy: Policy, facts: PolicyFacts): PolicyDecision {
  try {
    const decision: Partial<PolicyDecision> = policy.decide(facts);
    const { allowed, reason, determining, fuelUsed } = decision;
    return {
      allowed: allowed === true,
      reason: typeof reason === "string" ? reason : "The policy gave no reason",
      determining: Array.isArray(determining) ? determining.map(String) : [],
      ...(typeof fuelUsed === "number" ? { fuelUsed } : {}),
    };
  } catch (error) {
    return denied(`The policy threw: ${messageOf(error)}`);
  }
}

/**
 * Makes a denial.
 *
 * @param reason Reason, for the log
 * @param fuelUsed Units of fuel
 * @returns The denial
 */
export function denied(reason: string, fuelUsed?: number): PolicyDecision {
  return { allowed: false, reason, determining: [], ...(fuelUsed === undefined ? {} : { fuelUsed }) };
}

/** Describes a thrown value in at most 200 printable characters. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : "something that is no Error";
  return text.slice(0, 200).replace(/[^\x20-\x7e]/g, "?");
}

function merge(
  allowed: boolean,
  reason: string,
  determining: readonly PolicyDecision[],
  asked: readonly PolicyDecision[],
): PolicyDecision {
  return {
    allowed,
    reason,
    determining: determining.flatMap((decision) => [...decision.determining]),
    fuelUsed: asked.reduce((sum, { fuelUsed = 0 }) => sum + fuelUsed, 0),
  };
}

function reasonsOf(decisions: readonly PolicyDecision[]): string {
  return decisions.map(({ reason }) => reason).join("; ");
}

function checkPolicies(policies: readonly Policy[]): readonly Policy[] {
  return policies.map((policy) => {
    if (typeof policy?.decide === "function" && typeof policy.name === "string") return policy;
    throw new TypeError("A policy must have a name and decide()");
  });
}
