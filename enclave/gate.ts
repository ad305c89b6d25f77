import { PARENT_CID } from "../lib/core/endpoint.ts";
import { PolicyDeniedError } from "../lib/core/errors.ts";
import type { RequestFacts } from "../lib/core/request_facts.ts";
import type { Attributes } from "../lib/policy/attributes.ts";
import { type JudgedPrincipal, type KnownCaller, makeFacts, type PolicyFacts } from "../lib/policy/facts.ts";
import { type Principal, principalText } from "../lib/policy/principal.ts";
import { decideSafely, denied, messageOf, type Policy, type PolicyDecision } from "../lib/policy/policy.ts";
import type { Reservation } from "../lib/policy/rate.ts";
import { CREDENTIAL_ACTIONS, SERVER_ACTIONS } from "./actions.ts";
import type { Refusals, RequestRecord } from "./telemetry/request_record.ts";

/** Counter of each caller's requests in a window of time. */
export interface RateCounter {
  /** Counts one more request; the count includes it. */
  reserve(caller: string): Reservation;
}

/** Parts of the gate. */
export interface GateParts {
  /** Policy for everything but the setting of credentials. */
  readonly policy: Policy;
  /** Policy for the setting of credentials; it may be the same one. */
  readonly credentialPolicy: Policy;
  /** Counter of requests. */
  readonly rate: RateCounter;
  /** Counter of refusals, by connection. */
  readonly refusals: Refusals;
  /** Actions that may be asked about, from `joinActions()`; any other is refused. Default: the decrypt server's. */
  readonly actions?: readonly string[] | undefined;
  /** Attributes that the operator assigned, by CID, or by `certificate:` and the SHA-256 of a certificate. */
  readonly attributes: Readonly<Record<string, Attributes>>;
  /** Reads the enclave's PCRs in hex. */
  readonly pcrs: () => Readonly<Record<number, string>>;
  /** Reads a number that changes when the policy is replaced. Default: it never is. */
  readonly revision?: (() => number) | undefined;
  /** Clock in milliseconds since 1970. Default: the system's. */
  readonly now?: (() => number) | undefined;
}

/** Request as the policy judges it. */
export interface Judged {
  /** Name of the action. */
  readonly action: string;
  /** Region that the request goes to. */
  readonly region: string;
  /** Facts that the request itself gives; made of the very bytes that go to KMS. Default: none. */
  readonly facts?: RequestFacts | undefined;
}

/** Reservation of a request that is not counted. */
const UNCOUNTED: Reservation = { count: 0, giveBack: () => {} };

/**
 * Policy that lets the parent alone set everybody's credentials: the principal of the control listener. Whoever comes
 * from CID 3 may set those of their own connection, which count for nobody else.
 */
export const parentOnly: Policy = {
  name: "parent-only",
  decide: ({ principal, action }) => ({
    allowed: setsCredentials(action) && (principal.type === "Parent" || setsOwn(action, principal)),
    reason: "credentials may be set by the parent and by nobody else",
    determining: ["parent-only"],
  }),
};

function setsOwn(action: string, principal: JudgedPrincipal): boolean {
  return action === "SetOwnCredentials" && principal.type === "Caller" && principal.cid === PARENT_CID;
}

/** Permission of the policy for one request, which then waits for its turn. */
export interface Permission {
  /** Stops counting the request, because the server turned it away. */
  giveBack(): void;
  /**
   * Asks the policy again, if it was replaced since the permission.
   *
   * @throws {PolicyDeniedError} Unless the policy in force clearly permits it
   */
  confirm(): void;
}

/** Gate as what it guards needs it: the one below, or {@link OPEN_GATE}. */
export type Keeper = Pick<Gate, "check">;

/** Gate that permits everything, and counts and notes nothing. */
export const OPEN_GATE: Keeper = { check: () => ({ giveBack: () => {}, confirm: () => {} }) };

/** Gate before everything that the server does for a caller. */
export class Gate {
  readonly #parts: GateParts;

  /**
   * Keeps the parts.
   *
   * @param parts Parts of the gate
   */
  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /**
   * Asks the policy, and notes its answer in the record. The request is counted before the policy sees the count. A
   * refused one counts on its connection instead: see {@link Refusals}. A request that another policy judges does not
   * count: with one CID for all, a caller with nothing but the right to set their own credentials would use up
   * everybody's rate.
   *
   * @param judged The request
   * @param record Record of the request
   * @returns The permission, for a request that waits before it runs
   * @throws {PolicyDeniedError} Unless the policy clearly permits it
   */
  check(judged: Judged, record: RequestRecord): Permission {
    const { revision = () => 0 } = this.#parts;
    const policy = this.#policyFor(judged.action, record.principal);
    const reserved = policy === this.#parts.policy
      ? this.#parts.rate.reserve(principalText(record.principal))
      : UNCOUNTED;
    const judgedBy = revision();
    const ask = () => this.#ask(policy, judged, record, reserved);
    ask();
    return {
      giveBack: () => reserved.giveBack(),
      confirm: () => {
        if (revision() !== judgedBy) ask();
      },
    };
  }

  /** Chooses the policy: on the control listener the parent sets credentials, whatever the policy says. */
  #policyFor(action: string, principal: Principal): Policy {
    if (!setsCredentials(action)) return this.#parts.policy;
    return principal.type === "Parent" ? parentOnly : this.#parts.credentialPolicy;
  }

  #ask(policy: Policy, judged: Judged, record: RequestRecord, reserved: Reservation): void {
    const { principal, connection } = record;
    const recentCount = reserved.count +
      this.#parts.refusals.recentCount(connection, principalText(principal));
    const startedAt = performance.now();
    const decision = decide(policy, () => this.#facts(judged, principal, recentCount));
    record.policyMs = performance.now() - startedAt;
    const { allowed, reason, determining } = decision;
    record.decision = { policy: policy.name, allowed, reason, determining };
    if (allowed) return;
    reserved.giveBack();
    throw new PolicyDeniedError(`Cannot ${judged.action}: the policy ${policy.name} did not say yes`, {
      hint: "The log has the reason; the caller gets none",
    });
  }

  #facts({ action, region, facts }: Judged, principal: Principal, recentCount: number): PolicyFacts {
    const { actions = SERVER_ACTIONS, attributes, pcrs, now = Date.now } = this.#parts;
    if (!actions.includes(action)) {
      throw new TypeError("the action is declared nowhere; an application names its own in `actions`");
    }
    const caller = withAttributes(principal, attributes);
    const time = Math.floor(now() / 1000);
    return makeFacts({ ...facts, action, region, caller, pcrs: pcrs(), time, recentCount });
  }
}

function withAttributes(principal: Principal, assigned: GateParts["attributes"]): KnownCaller {
  const { type } = principal;
  if (type === "Caller") return { ...principal, attributes: assigned[String(principal.cid)] ?? {} };
  if (type === "Certificate") {
    return { ...principal, attributes: assigned[`certificate:${principal.sha256}`] ?? {} };
  }
  return principal;
}

function setsCredentials(action: string): boolean {
  return CREDENTIAL_ACTIONS.some((one) => one === action);
}

/** Denies when the facts cannot be built (for example, when they exceed 64 KiB). */
function decide(policy: Policy, make: () => PolicyFacts): PolicyDecision {
  let facts: PolicyFacts;
  try {
    facts = make();
  } catch (error) {
    return denied(`There are no facts to judge: ${messageOf(error)}`);
  }
  return decideSafely(policy, facts);
}
