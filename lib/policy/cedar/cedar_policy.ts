import { checkFields, checkInteger } from "../../core/checks.ts";
import { cedarHint } from "./cedar_hints.ts";
import { type CedarAnswer, CedarInstance } from "./cedar_module.ts";
import {
  type CedarProblem,
  idOf,
  nameOf,
  readDecision,
  readPolicy,
  readProblems,
  readTexts,
} from "./cedar_answers.ts";
import { decisionKey, DecisionMemory } from "./decision_memory.ts";
import { cedarRequest, SCHEMA_NAME } from "./cedar_request.ts";
import { checkActions } from "../actions.ts";
import type { AttributeTypes } from "../attributes.ts";
import { CANARY_CALLERS, canaryFacts, describeCanary, type PolicyFacts, serialisedFacts } from "../facts.ts";
import { principalFromText, principalText } from "../principal.ts";
import { CedarSpare } from "./cedar_spare.ts";
import { DEFAULT_FUEL, denied, MAX_FUEL, messageOf, type Policy, type PolicyDecision } from "../policy.ts";
import { type PolicySlice, PolicySlices, readScope } from "./policy_slices.ts";
import { areSamePolicies, loadError, placeOfByte, type ScannedText, scanPolicyText } from "./policy_text.ts";
import { refuseImpossible } from "./entity_ids.ts";
import { cedarSchema } from "./schema.ts";
import { checkWasmEngine } from "../wasm/wasm_engine.ts";

/** Options of a Cedar policy. */
export interface CedarOptions {
  /**
   * Actions that the host asks about. A policy that names another action does not load, and a request for another one
   * is denied.
   */
  readonly actions: readonly string[];
  /** Name, for the log. Default: `cedar`. */
  readonly name?: string | undefined;
  /**
   * Units of fuel for a decision, 1 to 20000000. Default: 2000000, which take about 10 ms. A policy takes about 30000,
   * each further one that may apply 500 to 1000, each pair of the encryption context 1100.
   */
  readonly fuel?: number | undefined;
  /** Number of decisions that are remembered, 0 to 100000. Default: 1000, which take 4 MiB at most. */
  readonly remembered?: number | undefined;
  /** Attributes that the operator may assign to callers. Default: `name`, `tenant` and `roles`. */
  readonly attributes?: AttributeTypes | undefined;
  /** Claims of tokens that the policy sees. Default: none. */
  readonly claims?: AttributeTypes | undefined;
  /**
   * Called with each warning, such as of a policy that never applies; without it, a policy with a warning fails to
   * load.
   */
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/**
 * Loads policies in Cedar's language, checked against {@link cedarSchema}.
 *
 * A request is permitted when a `permit` applies, no `forbid` does, and no policy failed while deciding: Cedar itself
 * skips a policy that fails (an overflow, say), even a `forbid`. Cedar runs in WebAssembly, in 64 MiB of memory, and
 * on fuel. An instance that ran out of it or trapped is thrown away, and a reserve takes its place: the next caller
 * does not wait for the fuel that one used up.
 *
 * Only policies whose head fits the caller and the action are evaluated: `principal == Caller::"7"` and
 * `action == Action::"Decrypt"` in the head keep a decision as fast with 1000 policies as with ten.
 *
 * The latest decisions are remembered: a request with the same caller, action, key and encryption context skips Cedar,
 * as long as no other fact that its policies read has changed. A policy that reads `context.time` is evaluated again
 * each second. A failure is never remembered.
 *
 * Loading takes about 0.2 s for the first text in a process and 30 ms for the next ones, and half a millisecond
 * for each policy that is for one caller. Not guaranteed: that the fuel suffices for every request; if not,
 * the request is denied, and the reason says so.
 *
 * @param text Policies, at most 512 KiB; brackets nest 64 deep at most, and no policy has more than 200 operators
 * @param options The actions, the callers' attributes and the limits
 * @returns The policy
 * @throws {PolicyLoadError} When the text is no policy, does not fit the schema, or cannot decide a request
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When a limit or the number of actions is out of range
 * @throws {LibraryLoadError} When Cedar's module is missing, or not the expected one
 * @example
 * ```ts
 * import { cedarPolicy, makeFacts } from "enclave-kms/policy";
 *
 * const text = 'permit(principal == Caller::"7", action == Action::"Decrypt", resource);';
 * const policy = cedarPolicy(text, { actions: ["Decrypt"] });
 * const facts = (cid: number) =>
 *   makeFacts({ action: "Decrypt", caller: { cid, attributes: {} }, region: "eu-west-1", time: 0, recentCount: 1 });
 * policy.decide(facts(7)).allowed; // true
 * policy.decide(facts(8)).allowed; // false
 * ```
 */
export function cedarPolicy(text: string, options: CedarOptions): Policy {
  const { name = "cedar", attributes, claims, onWarning, ...limits } = checkFields("Cedar options", options, [
    "name",
    "actions",
    ...CEDAR_LIMITS,
  ]);
  const actions = checkActions(limits.actions);
  const fuel = checkInteger("fuel", limits.fuel, { min: 1, max: MAX_FUEL, default: DEFAULT_FUEL });
  const remembered = checkInteger("remembered", limits.remembered, {
    min: 0,
    max: MAX_REMEMBERED,
    default: DEFAULT_REMEMBERED,
  });
  const source: Source = {
    text,
    ...scanPolicyText(text),
    actions,
    schema: cedarSchema({ actions, attributes, claims }),
  };
  checkWasmEngine();
  validate(source, onWarning);
  const policy = new CedarPolicy({ ...source, slices: slice(source) }, fuel, remembered);
  return Object.freeze({ name, decide: (facts: PolicyFacts) => policy.decide(facts) });
}

/** Options of Cedar's policies, except their name and actions. */
export const CEDAR_LIMITS: readonly string[] = ["fuel", "remembered", "attributes", "claims", "onWarning"];

/** Text that a policy is loaded from, with what loading found out. */
interface Source extends ScannedText {
  readonly text: string;
  readonly actions: readonly string[];
  readonly schema: string;
}

/** Source whose policies are sorted by the requests that they may apply to. */
interface SlicedSource extends Source {
  readonly slices: PolicySlices;
}

const MAX_REMEMBERED = 100_000;
const DEFAULT_REMEMBERED = 1000;

/** Fuel of loading: a few seconds' worth, since the operator wrote the text, and not the caller. */
const LOAD_FUEL = 500_000_000;

/** Growth after which an instance is replaced, before it comes near its cap. */
const MAX_GROWTH_BYTES = 16 << 20;

class CedarPolicy {
  readonly #source: SlicedSource;
  readonly #fuel: number;
  readonly #memory: DecisionMemory;
  readonly #instances: CedarSpare;

  constructor(source: SlicedSource, fuel: number, remembered: number) {
    this.#source = source;
    this.#fuel = fuel;
    this.#memory = new DecisionMemory(remembered);
    const cedar = parse(source);
    // Runs before the copy, so that each copy has made a first decision, which takes 10,000 units more.
    tryCanaries(cedar, source, fuel);
    this.#instances = new CedarSpare(cedar);
  }

  decide(facts: PolicyFacts): PolicyDecision {
    try {
      serialisedFacts(facts); // proves that the host made them
      const { principal, action } = facts;
      const slice = this.#source.slices.of(principalText(principal), action);
      return this.#memory.recall(decisionKey(facts, slice.reads), () => this.#decideBy(slice, facts));
    } catch (error) {
      return denied(`Cedar could not decide: ${messageOf(error)}`);
    }
  }

  #decideBy(slice: PolicySlice, facts: PolicyFacts): PolicyDecision {
    const { json, fuelUsed } = this.#call(cedarRequest(facts, slice));
    return readDecision(json, this.#source.names, fuelUsed);
  }

  #call(json: string): CedarAnswer {
    const cedar = this.#instances.take();
    // An instance is used again only when all went well.
    let isUsable = false;
    try {
      const answer = ask(cedar, json, this.#fuel);
      isUsable = cedar.memoryBytes - this.#instances.firstBytes <= MAX_GROWTH_BYTES;
      return answer;
    } finally {
      this.#instances.give(isUsable ? cedar : undefined);
    }
  }
}

function ask(cedar: CedarInstance, json: string, fuel: number): CedarAnswer {
  try {
    return cedar.call("statefulIsAuthorized", { json }, fuel);
  } catch (error) {
    if (cedar.isOutOfFuel) throw new Error(`it used up its fuel of ${fuel} units`);
    throw error;
  }
}

/** Tries a plain request of each kind, which the policy must be able to decide, one way or the other. */
function tryCanaries(cedar: CedarInstance, { slices, names }: SlicedSource, fuel: number): void {
  const tries = slices.uses.flatMap(({ caller, ...use }) => {
    const named = caller === undefined ? undefined : principalFromText(caller);
    return (named === undefined ? CANARY_CALLERS : [named]).map((principal) => ({ ...use, principal }));
  });
  for (const { slice, principal, action } of tries) {
    try {
      const { json, fuelUsed } = ask(cedar, cedarRequest(canaryFacts(action, principal), slice), fuel);
      readDecision(json, names, fuelUsed);
    } catch (cause) {
      throw loadError(`it cannot decide ${describeCanary(action, principal)}: ${messageOf(cause)}`, {
        hint: "Can a policy overflow, or look at an entity that is not in the request?",
        cause,
      });
    }
  }
}

/** Makes an instance that has parsed the schema and the policies. */
function parse(source: SlicedSource): CedarInstance {
  const cedar = new CedarInstance();
  const { schema, parts, slices } = source;
  const keep = (name: "preparseSchema" | "preparsePolicySet", key: string, value: unknown) => {
    const { json } = cedar.call(name, { name: key, json: JSON.stringify(value) }, LOAD_FUEL);
    refuse(source, readProblems(json).errors);
  };
  keep("preparseSchema", SCHEMA_NAME, schema);
  for (const { name, policies } of slices.all) {
    const staticPolicies = Object.fromEntries(policies.map((place) => [idOf(place), parts[place]]));
    keep("preparsePolicySet", name, { staticPolicies });
  }
  return cedar;
}

/** Validates in an instance of its own, which is then dropped with all the memory that it took. */
function validate(source: Source, onWarning: ((warning: string) => void) | undefined): void {
  const json = JSON.stringify({ schema: source.schema, policies: { staticPolicies: source.text } });
  const { errors, warnings } = readProblems(runValidation(json));
  refuse(source, errors);
  if (source.names.length === 0) {
    throw loadError("it has no policies", { hint: "To refuse everything on purpose, use denyAll" });
  }
  if (onWarning === undefined) return refuse(source, warnings);
  for (const warning of warnings) {
    onWarning(`${nameOf(warning.policyId ?? "", source.names)}: ${warning.message}`);
  }
}

/**
 * Sorts the policies, each read from its own part of the text. It proves that Cedar finds the same parts in the whole
 * text, so that no policy can get lost, or appear, between them.
 */
function slice({ text, parts, names, actions }: Source): PolicySlices {
  const cedar = new CedarInstance();
  const call = (name: "policySetTextToParts" | "policyToJson", json: string) =>
    cedar.call(name, { json }, LOAD_FUEL).json;
  const found = readTexts(call("policySetTextToParts", text));
  const policies = parts.map((part) => readPolicy(call("policyToJson", JSON.stringify(part))));
  if (areSamePolicies(parts, found) && !policies.includes(undefined)) {
    refuseImpossible(policies, names);
    return new PolicySlices(policies.map(readScope), actions);
  }
  throw loadError("it cannot be told where each policy ends", {
    hint: "Are there unusual characters in comments or strings?",
  });
}

function runValidation(json: string): string {
  const cedar = new CedarInstance();
  try {
    return cedar.call("validate", { json }, LOAD_FUEL).json;
  } catch (cause) {
    throw loadError("Cedar could not read it", {
      hint: "Can it be made simpler, or split into several policies?",
      cause,
    });
  }
}

function refuse(source: Source, problems: readonly CedarProblem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const { message, policyId } = first;
  const text = source.parts.find((_part, place) => idOf(place) === policyId) ?? source.text;
  const hint = cedarHint({ message, text, schema: source.schema });
  // Cedar tells a problem once for each action and each type of principal.
  const count = new Set(problems.map((problem) => `${problem.policyId} ${problem.offset}`)).size;
  throw loadError(message, {
    ...(first.offset === undefined ? {} : placeOfByte(source.text, first.offset)),
    policyId: first.policyId === undefined ? undefined : nameOf(first.policyId, source.names),
    hint: count === 1 ? hint : `${hint} (one of ${count} problems)`,
  });
}
