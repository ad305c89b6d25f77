import * as v from "valibot";
import type { FieldProblem } from "../lib/wire/problem.ts";
import { BadRequestError } from "./service_errors.ts";

/** Problems of one request that its caller is told of, at most. */
const MAX_PROBLEMS = 10;

/**
 * Checks the shape of a value that a caller sent.
 *
 * @param schema Expected shape. The messages that it gives to its checks go to the caller
 * @param input Value as it was sent
 * @returns The value, in its type
 * @throws {BadRequestError} With places and expectations; valibot's own messages quote what was sent
 */
export function parse<T>(schema: v.GenericSchema<unknown, T>, input: unknown): T {
  // For valibot an array is an object as well.
  if (Array.isArray(input)) throw new BadRequestError([{ path: "", expected: "an object" }]);
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  throw new BadRequestError(result.issues.slice(0, MAX_PROBLEMS).map(describeIssue));
}

/**
 * Describes an issue of valibot without what was sent.
 *
 * @param issue Issue to describe
 * @returns Its place and what was expected there. A field that is not known is named if its name has up to 32 letters,
 *   digits and underscores
 */
export function describeIssue(issue: v.BaseIssue<unknown>): FieldProblem {
  const path = (issue.path ?? []).map(({ key }) => String(key)).join(".");
  // The name of a field that is not known is the caller's own.
  const pattern = issue.expected === "never" ? /^[A-Za-z]\w{0,31}$/ : /^[A-Za-z][\w.]{0,80}$/;
  return { path: pattern.test(path) ? path : "", expected: expectation(issue) };
}

function expectation(issue: v.BaseIssue<unknown>): string {
  const { type, expected, input, requirement, message } = issue;
  if (type === "strict_object" && issue.path === undefined) return "an object";
  if (type === "strict_object") return expected === "never" ? "no other fields" : "to be there";
  if (type === "max_length") {
    return `at most ${requirement} ${Array.isArray(input) ? "of them" : "characters"}`;
  }
  if (type === "min_length") return `at least ${requirement} characters`;
  if (OWN_MESSAGES.includes(type) && !message.startsWith(QUOTING)) return message;
  return inWords(expected ?? type);
}

/** Kinds of checks whose messages, where the schema gives one, go to the caller. */
const OWN_MESSAGES: readonly string[] = ["check", "regex", "custom", "integer", "min_value", "max_value"];

/** Start of valibot's own messages, which quote what was sent. */
const QUOTING = "Invalid ";

/** Rewrites valibot's terms: `("a" | "b")` for a choice, and the names of JavaScript's types. */
function inWords(expected: string): string {
  const choices = expected.match(/"[^"]*"/g);
  return choices?.join(" or ") ?? TYPES_IN_WORDS[expected] ?? expected;
}

const TYPES_IN_WORDS: Readonly<Record<string, string>> = {
  Array: "an array",
  Object: "an object",
  boolean: "true or false",
  number: "a number",
  string: "a string",
};
