import { PolicyLoadError } from "../../core/errors.ts";

/** Most bytes of a policy's text, in UTF-8. */
export const MAX_POLICY_BYTES = 524_288;

/** Deepest nesting of brackets; Cedar's parser traps at 150. */
export const MAX_NESTING = 64;

/** Most operators of one policy; Cedar traps on a chain of 400 when it decides. */
export const MAX_OPERATORS = 200;

/** Parts that were found in a policy's text without parsing it. */
export interface ScannedText {
  /** Names of the policies in order: `@id`, or `policy` and a number, as Cedar names it. */
  readonly names: readonly string[];
  /** Texts of the policies in the same order, with the comments before each. */
  readonly parts: readonly string[];
}

/**
 * Scans a policy's text before Cedar reads it: refuses text that would trap its parser, and templates, which would be
 * accepted and never apply.
 *
 * @param text Text in Cedar's language
 * @returns Names and texts of the policies
 * @throws {PolicyLoadError} When it is too long, too deep, too complicated, or has a template
 */
export function scanPolicyText(text: string): ScannedText {
  if (typeof text !== "string") throw new TypeError("The policy must be a string");
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_POLICY_BYTES) {
    throw loadError(`it has ${bytes} bytes, and may have ${MAX_POLICY_BYTES}`, { hint: "Can it be split?" });
  }
  const scan = new Scan(text);
  for (const { 0: token, index } of text.matchAll(TOKENS)) scan.take(token, index);
  return scan.finish();
}

/**
 * Compares policies to the letter.
 *
 * @param parts Policies, each with the comments before it
 * @param texts Policies without comments, in any order
 * @returns Whether they are the same
 */
export function areSamePolicies(parts: readonly string[], texts: readonly string[]): boolean {
  const own = parts.map((part) => part.replace(BEFORE_POLICY, "")).sort();
  const others = texts.toSorted();
  return own.length === others.length && own.every((text, index) => text === others[index]);
}

/** Comments and blanks that Cedar skips. */
const BEFORE_POLICY = /^(?:\s|\/\/[^\n\r]*)*/;

/**
 * Makes the error of a policy that does not load.
 *
 * @param problem Problem, to follow "Cannot load the policy: "
 * @param details The place and the hint
 * @returns The error
 */
export function loadError(
  problem: string,
  details: ConstructorParameters<typeof PolicyLoadError>[1],
): PolicyLoadError {
  const { line, column } = details;
  const place = line === undefined ? "" : ` (line ${line}, column ${column})`;
  return new PolicyLoadError(`Cannot load the policy: ${problem}${place}`, details);
}

/**
 * Finds the line and column of a code unit.
 *
 * @param text Text of the policy
 * @param index Index of a UTF-16 code unit in it
 * @returns The line, and the column in characters, both from 1
 */
export function placeOf(text: string, index: number): { line: number; column: number } {
  const before = text.slice(0, index).split("\n");
  return { line: before.length, column: [...before[before.length - 1] ?? ""].length + 1 };
}

/**
 * Finds the line and column of a byte.
 *
 * @param text Text of the policy
 * @param offset Offset in bytes of its UTF-8, in which Cedar counts
 * @returns The line, and the column in characters, both from 1
 */
export function placeOfByte(text: string, offset: number): { line: number; column: number } {
  const before = new TextDecoder().decode(new TextEncoder().encode(text).subarray(0, offset));
  return placeOf(before, before.length);
}

/** Tokens, with comments and strings as wholes, so that their contents do not count. */
const TOKENS =
  /\/\/[^\n\r]*|@id\s*\(\s*"(?:[^"\\]|\\.)*"\s*\)|"(?:[^"\\]|\\[^])*"|[()[\]{}]|;|&&|\|\||[-+*!]|\bif\b|\?\w+/g;

class Scan {
  readonly #text: string;
  readonly #names: string[] = [];
  readonly #parts: string[] = [];
  #partStart = 0;
  #depth = 0;
  #operators = 0;
  #name: string | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  take(token: string, index: number): void {
    const first = token[0] ?? "";
    if (first === "/" || first === '"') return;
    if (first === "@") this.#name = token.replace(/^[^"]*"|"[^"]*$/g, "");
    else if ("([{".includes(first)) this.#open(index);
    else if (")]}".includes(first)) this.#depth--;
    else if (first === ";") this.#endPolicy(index + 1);
    else if (first === "?") throw this.#error("it has a template, which would never apply", index, NO_SLOT);
    else if (++this.#operators > MAX_OPERATORS) {
      throw this.#error(`a policy has more than ${MAX_OPERATORS} operators`, index, SPLIT);
    }
  }

  finish(): ScannedText {
    return { names: this.#names, parts: this.#parts };
  }

  #open(index: number): void {
    if (++this.#depth > MAX_NESTING) {
      throw this.#error(`brackets nest more than ${MAX_NESTING} deep`, index, SPLIT);
    }
  }

  #endPolicy(end: number): void {
    this.#parts.push(this.#text.slice(this.#partStart, end));
    this.#partStart = end;
    this.#names.push(printable(this.#name) ?? `policy${this.#names.length}`);
    this.#name = undefined;
    this.#operators = 0;
  }

  #error(problem: string, index: number, hint: string): PolicyLoadError {
    return loadError(problem, {
      ...placeOf(this.#text, index),
      policyId: `policy${this.#names.length}`,
      hint,
    });
  }
}

const NO_SLOT = "Can the policy name its principal and resource itself?";
const SPLIT = "Can the policy be split into several?";

/** Escapes a name for the log. */
function printable(name: string | undefined): string | undefined {
  return name === undefined || name === "" ? undefined : name.slice(0, 100).replace(/[^\x20-\x7e]/g, "?");
}
