import { principalOf, principalText } from "../principal.ts";
import { asRecord } from "./cedar_answers.ts";
import { readContextUse } from "./context_use.ts";

/** Requests that a policy may apply to, as far as its head tells, and the parts of the context that it reads. */
export interface PolicyScope {
  /** Only caller, such as `Caller:7`, where `principal == Caller::"7"` names one. */
  readonly caller: string | undefined;
  /** Only actions, where `action == …` or `action in […]` names them. */
  readonly actions: readonly string[] | undefined;
  /** Attributes of the context that the policy reads; undefined when it may read any. */
  readonly reads: ReadonlySet<string> | undefined;
}

/** Policies that may apply to certain requests. */
export interface PolicySlice {
  /** Name that Cedar keeps it under. */
  readonly name: string;
  /** Places of the policies in the text, from 0. */
  readonly policies: readonly number[];
  /** Attributes of the context that they read, in order; undefined when one may read any. */
  readonly reads: readonly string[] | undefined;
}

/** Requests that a slice decides. */
export interface SliceUse {
  readonly slice: PolicySlice;
  /** Caller, such as `Caller:7`; undefined for all callers that no policy names. */
  readonly caller: string | undefined;
  readonly action: string;
}

/** Most copies of a policy in all slices, on average: they take memory and load time. */
const MAX_COPIES = 4;

/**
 * Policies, sorted by the requests that they may apply to, so that Cedar evaluates those alone.
 *
 * A policy whose head names another caller or another action neither applies nor fails, whatever else it says: leaving
 * it out changes no decision, no reason and no error. No other part of a head leaves a policy out.
 */
export class PolicySlices {
  /** Slices, each once, however many uses it has. */
  readonly all: readonly PolicySlice[];
  readonly #byAction: ReadonlyMap<string, CallerSlices>;

  /**
   * Sorts the policies.
   *
   * @param scopes Scope of every policy, in the order of the text
   * @param actions Actions that the host asks about
   */
  constructor(scopes: readonly PolicyScope[], actions: readonly string[]) {
    const kept = new Map<string, PolicySlice>();
    const keep = (policies: readonly number[]): PolicySlice => {
      const key = policies.join();
      const slice = kept.get(key) ??
        { name: `slice${kept.size}`, policies, reads: readTogether(scopes, policies) };
      kept.set(key, slice);
      return slice;
    };
    this.#byAction = new Map(
      actions.map((action) => [action, makeSlices(sortByCaller(scopes, action), keep)]),
    );
    this.all = [...kept.values()];
  }

  /** Every slice with every action that it decides. */
  get uses(): SliceUse[] {
    return [...this.#byAction].flatMap(([action, { named, others }]) => [
      { slice: others, caller: undefined, action },
      ...[...named].map(([caller, slice]) => ({ slice, caller, action })),
    ]);
  }

  /**
   * Finds the policies that may apply to a request.
   *
   * @param caller Caller as `principalText` writes it, such as `Caller:7`
   * @param action Name of the action
   * @returns The policies
   * @throws {TypeError} When the policy was not loaded for the action
   */
  of(caller: string, action: string): PolicySlice {
    const slices = this.#byAction.get(action);
    if (slices === undefined) throw new TypeError(`the policy was loaded without the action ${action}`);
    return slices.named.get(caller) ?? slices.others;
  }
}

/** Slices of one action. */
interface CallerSlices {
  /** Slices for callers that policies name. */
  readonly named: ReadonlyMap<string, PolicySlice>;
  /** Slice for all other callers. */
  readonly others: PolicySlice;
}

/** Policies that may apply to an action, by their places. */
interface SortedPolicies {
  readonly forAll: readonly number[];
  readonly forOne: ReadonlyMap<string, readonly number[]>;
}

function sortByCaller(scopes: readonly PolicyScope[], action: string): SortedPolicies {
  const forAll: number[] = [];
  const forOne = new Map<string, number[]>();
  for (const [place, { caller, actions }] of scopes.entries()) {
    if (actions !== undefined && !actions.includes(action)) continue;
    if (caller === undefined) forAll.push(place);
    else if (forOne.get(caller)?.push(place) === undefined) forOne.set(caller, [place]);
  }
  return { forAll, forOne };
}

function makeSlices(
  { forAll, forOne }: SortedPolicies,
  keep: (policies: readonly number[]) => PolicySlice,
): CallerSlices {
  const all = merge(forAll, ...forOne.values());
  if (forAll.length * forOne.size > MAX_COPIES * all.length) {
    return { named: new Map(), others: keep(all) };
  }
  const named = [...forOne].map(([caller, own]) => [caller, keep(merge(forAll, own))] as const);
  return { named: new Map(named), others: keep(forAll) };
}

function readTogether(scopes: readonly PolicyScope[], policies: readonly number[]): string[] | undefined {
  const sets = policies.map((place) => scopes[place]?.reads);
  if (!sets.every((set) => set !== undefined)) return undefined;
  return [...new Set(sets.flatMap((set) => [...set]))].sort();
}

function merge(...lists: readonly (readonly number[])[]): number[] {
  return lists.flat().sort((left, right) => left - right);
}

/**
 * Reads the scope of a policy.
 *
 * @param policy Policy, as Cedar's `policyToJson` writes it
 * @returns Callers and actions that its head names (none where its shape is unknown), and the attributes that it reads
 */
export function readScope(policy: unknown): PolicyScope {
  const { principal, action } = asRecord(policy);
  return {
    caller: readCaller(asRecord(principal)),
    actions: readActions(asRecord(action)),
    reads: readContextUse(policy),
  };
}

function readCaller({ op, entity }: Readonly<Record<string, unknown>>): string | undefined {
  const { type, id } = asRecord(entity);
  if (op !== "==" || typeof type !== "string" || typeof id !== "string") return undefined;
  const principal = principalOf(type, id);
  return principal === undefined ? undefined : principalText(principal);
}

// The schema has no groups of actions: an action is only in itself.
function readActions({ op, entity, entities }: Readonly<Record<string, unknown>>): string[] | undefined {
  if (op !== "==" && op !== "in") return undefined;
  const ids = (Array.isArray(entities) ? entities : [entity]).map((one) => idOf(one, "Action"));
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

function idOf(entity: unknown, type: string): string | undefined {
  const { type: actual, id } = asRecord(entity);
  return actual === type && typeof id === "string" ? id : undefined;
}
