import type { PolicyFacts } from "./facts.ts";

/**
 * What a decision is given when nobody says how much. 1000 policies of Cedar's that all apply take 1.24 million units
 * for an encryption context of 128 pairs and 8 KiB. To use it up takes Cedar about 10 ms, a plug-in 30.
 */
export const DEFAULT_FUEL = 2_000_000;

/** The most fuel that a decision may be given: a caller who is refused can cost the only thread as much, 0.1 s. */
export const MAX_FUEL = 20_000_000;

/** What a policy decided. */
export interface PolicyDecision {
  /** Whether the request may happen. */
  readonly allowed: boolean;
  /** Why, in one sentence for the log; callers get to know nothing of it. */
  readonly reason: string;
  /** The policies that made the decision: their `@id`s, or the names of plug-ins. */
  readonly determining: readonly string[];
  /** Units of fuel that the decision took; 0 when it was remembered. */
  readonly fuelUsed?: number;
}

/** Says yes to a request, or the request does not happen. */
export interface Policy {
  /** For the log. */
  readonly name: string;

  /**
   * Decides one request, at once: nothing in a policy waits for anything.
   *
   * @param facts What {@link makeFacts} made
   * @returns The decision. A policy should not throw; whoever asks it takes a throw for a no
   */
  decide(facts: PolicyFacts): PolicyDecision;
}

/** The policy there is when nobody gave one: no. */
export const denyAll: Policy = Object.freeze({
  name: "deny-all",
  decide: () => denied("No policy is loaded"),
});

/**
 * Permits what all of several policies permit; of none, nothing. Those after a refusal are not asked.
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
 * Permits what one of several policies permits. Those after a yes are not asked, so a refusal by one of
 * them (Cedar's `forbid`, too) does not count: what must hold in any case belongs in {@link allOf}.
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
 * Asks a policy, and takes anything but a clean yes for a no.
 *
 * @param policy Any policy, also one that throws
 * @param facts What {@link makeFacts} made
 * @returns Its decision, or a refusal with the reason
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
 * @param reason Why not, for the log
 * @param fuelUsed Units of fuel
 * @returns A refusal
 */
export function denied(reason: string, fuelUsed?: number): PolicyDecision {
  return { allowed: false, reason, determining: [], ...(fuelUsed === undefined ? {} : { fuelUsed }) };
}

/** @returns What was thrown, in at most 200 printable characters */
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
