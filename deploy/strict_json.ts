/** Deepest nesting that is read. */
const MAX_DEPTH = 64;

/** Longest name in a message, in UTF-16 units. */
const MAX_SHOWN = 64;

/**
 * Reads JSON that others wrote. A member that is in one object twice is refused, since readers differ in which of both they
 * take; so is what is nested deeper than 64 levels, which could not be written again.
 *
 * @param text JSON
 * @param refuse Makes the error of the end of a sentence that says why. Default: a SyntaxError with that message
 * @returns The value
 * @throws {Error} The error of `refuse`, when it is no JSON, or one of the above
 */
export function parseStrictJson(
  text: string,
  refuse: (why: string) => Error = (why) => new SyntaxError(why),
): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse("it is not JSON");
  }
  const why = faultOf(text);
  if (why !== undefined) throw refuse(why);
  return value;
}

/** Goes through a text that is known to be JSON, and says what else is wrong with it. */
function faultOf(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token.endsWith(":")) {
      const name: string = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1));
      if (open.at(-1)?.has(name) === true) {
        return `the member ${JSON.stringify(name.slice(0, MAX_SHOWN))} is there twice in one object`;
      }
      open.at(-1)?.add(name);
    }
    if (open.length > MAX_DEPTH) return `it is nested deeper than ${MAX_DEPTH} levels`;
  }
  return undefined;
}
