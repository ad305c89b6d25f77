import type { PolicyDecision } from "../policy.ts";

/** One thing that Cedar found wrong with a policy or request. */
export interface CedarProblem {
  /** In Cedar's words. */
  readonly message: string;
  /** Where it begins, in bytes of the text, when it is about a place. */
  readonly offset: number | undefined;
  /** Cedar's own id of the policy, such as `policy0`. */
  readonly policyId: string | undefined;
}

/** What is wrong, and what is only odd. */
export interface CedarProblems {
  /** Any of these, and the policy is not loaded. */
  readonly errors: readonly CedarProblem[];
  /** These may be looked past. */
  readonly warnings: readonly CedarProblem[];
}

/**
 * @param json The answer to `preparseSchema`, `preparsePolicySet` or `validate`
 * @returns The problems; an answer that is not of a known shape is one
 */
export function readProblems(json: string): CedarProblems {
  const answer = asRecord(JSON.parse(json));
  const errors = [...problems(answer["errors"]), ...problems(answer["validationErrors"])];
  const warnings = ["warnings", "validationWarnings", "otherWarnings"].flatMap((list) =>
    problems(answer[list])
  );
  // Cedar can say success and list errors, and say failure and list none.
  if (answer["type"] === "success" || errors.length > 0) return { errors, warnings };
  return { errors: [{ message: "Cedar gave no reason", offset: undefined, policyId: undefined }], warnings };
}

/**
 * Turns Cedar's answer into a decision. Only a clean yes is one: Cedar says "allow" also when a `forbid`
 * failed, and lists it among the errors.
 *
 * @param json The answer to `statefulIsAuthorized`
 * @param names The policies' names, by the number in Cedar's ids
 * @param fuelUsed Units of fuel
 * @returns The decision
 * @throws {Error} When Cedar refused the request, or a policy failed
 */
export function readDecision(json: string, names: readonly string[], fuelUsed: number): PolicyDecision {
  const answer = asRecord(JSON.parse(json));
  if (answer["type"] !== "success") {
    throw new Error(`it refused the request: ${firstMessage(problems(answer["errors"]))}`);
  }
  const response = asRecord(answer["response"]);
  const { reason, errors } = asRecord(response["diagnostics"]);
  const failed = problems(errors);
  const determining = (Array.isArray(reason) ? reason : []).map(String).sort(byPlace)
    .map((id) => nameOf(id, names));
  if (!Array.isArray(errors) || failed.length > 0) {
    throw new Error(`${nameOf(failed[0]?.policyId ?? "", names)} failed: ${firstMessage(failed)}`);
  }
  if (response["decision"] === "allow" && determining.length > 0) {
    return { allowed: true, reason: `Permitted by ${determining.join(", ")}`, determining, fuelUsed };
  }
  const why = determining.length > 0 ? `Forbidden by ${determining.join(", ")}` : "No policy permits it";
  return { allowed: false, reason: why, determining, fuelUsed };
}

/**
 * @param json The answer to `policyToJson`
 * @returns The policy; `undefined` when Cedar could not read it
 */
export function readPolicy(json: string): unknown {
  return asRecord(JSON.parse(json))["json"];
}

/**
 * @param json The answer to `policySetTextToParts`
 * @returns The text of each policy, in Cedar's order, which is another than that of the text
 */
export function readTexts(json: string): string[] {
  const { policies } = asRecord(JSON.parse(json));
  return Array.isArray(policies) ? policies.map(String) : [];
}

/**
 * @param place Of a policy in the text, from the first
 * @returns Cedar's id for it
 */
export function idOf(place: number): string {
  return `policy${place}`;
}

/**
 * @param id Cedar's: `policy` and a number
 * @param names The policies' names in order
 * @returns Its name
 */
export function nameOf(id: string, names: readonly string[]): string {
  return names[placeOf(id)] ?? (id === "" ? "A policy" : id.slice(0, 100));
}

/** In the order of the text; Cedar's own is by chance. */
function byPlace(left: string, right: string): number {
  return placeOf(left) - placeOf(right);
}

function placeOf(id: string): number {
  return Number(/^policy(\d+)$/.exec(id)?.[1]);
}

function problems(list: unknown): CedarProblem[] {
  return Array.isArray(list) ? list.map(readProblem) : [];
}

/** A DetailedError, bare or as the `error` of a policy. */
function readProblem(item: unknown): CedarProblem {
  const outer = asRecord(item);
  const error = outer["error"] === undefined ? outer : asRecord(outer["error"]);
  const locations = error["sourceLocations"];
  const start = Array.isArray(locations) ? asRecord(locations[0])["start"] : undefined;
  return {
    message: printable(String(error["message"])),
    offset: typeof start === "number" ? start : undefined,
    policyId: typeof outer["policyId"] === "string" ? outer["policyId"] : undefined,
  };
}

function firstMessage(list: readonly CedarProblem[]): string {
  return list[0]?.message ?? "no reason was given";
}

/** Cedar quotes what it read, and a line of the log is one line. */
function printable(text: string): string {
  return text.slice(0, 300).replace(/[^\x20-\x7e]/g, "?");
}

/**
 * @param value Anything that was JSON
 * @returns It, to look into; of what is no object, an empty one
 */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}
