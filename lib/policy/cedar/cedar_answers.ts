import type { PolicyDecision } from "../policy.ts";

/** Problem that Cedar found in a policy or request. */
export interface CedarProblem {
  /** Message in Cedar's words. */
  readonly message: string;
  /** Place of its beginning, in bytes of the text; undefined when it has none. */
  readonly offset: number | undefined;
  /** Id of the policy in Cedar, such as `policy0`. */
  readonly policyId: string | undefined;
}

/** Problems of a text. */
export interface CedarProblems {
  /** Errors: with any of them the policy does not load. */
  readonly errors: readonly CedarProblem[];
  /** Warnings, which may be ignored. */
  readonly warnings: readonly CedarProblem[];
}

/**
 * Reads the problems in an answer of Cedar's.
 *
 * @param json The answer to `preparseSchema`, `preparsePolicySet` or `validate`
 * @returns The problems; an answer of an unknown shape is one
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
 * Turns Cedar's answer into a decision. Only a clear permission counts: Cedar says "allow" also when a `forbid`
 * failed, and lists that among the errors.
 *
 * @param json The answer to `statefulIsAuthorized`
 * @param names Names of the policies, by the number in Cedar's ids
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
 * Reads a policy.
 *
 * @param json The answer to `policyToJson`
 * @returns The policy; `undefined` when Cedar could not read it
 */
export function readPolicy(json: string): unknown {
  return asRecord(JSON.parse(json))["json"];
}

/**
 * Reads the texts of policies.
 *
 * @param json The answer to `policySetTextToParts`
 * @returns The text of each policy, in Cedar's order, which differs from that of the text
 */
export function readTexts(json: string): string[] {
  const { policies } = asRecord(JSON.parse(json));
  return Array.isArray(policies) ? policies.map(String) : [];
}

/**
 * Makes the id that Cedar gives to a policy.
 *
 * @param place Place of the policy in the text, from 0
 * @returns The id
 */
export function idOf(place: number): string {
  return `policy${place}`;
}

/**
 * Finds the name of a policy.
 *
 * @param id Cedar's id: `policy` and a number
 * @param names Names of the policies, in order
 * @returns The name
 */
export function nameOf(id: string, names: readonly string[]): string {
  return names[placeOf(id)] ?? (id === "" ? "A policy" : id.slice(0, 100));
}

/** Compares ids by their place in the text; Cedar's own order is random. */
function byPlace(left: string, right: string): number {
  return placeOf(left) - placeOf(right);
}

function placeOf(id: string): number {
  return Number(/^policy(\d+)$/.exec(id)?.[1]);
}

function problems(list: unknown): CedarProblem[] {
  return Array.isArray(list) ? list.map(readProblem) : [];
}

/** Reads a DetailedError, bare or as the `error` of a policy. */
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

/** Escapes text of Cedar's, which quotes its input, so that the log keeps it on one line. */
function printable(text: string): string {
  return text.slice(0, 300).replace(/[^\x20-\x7e]/g, "?");
}

/**
 * Views a value as a record.
 *
 * @param value Any value from JSON
 * @returns The value; an empty record when it is no object
 */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}
