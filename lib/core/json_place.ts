/** What is expected next, while JSON is read. */
type Expected = "value" | "value or ]" | "key" | "key or }" | ":" | ", or ]" | ", or }" | "end";

const BLANKS = /[\t\n\r ]*/y;
// All but control characters below a space, `"` and `\`.
const STRING = /"(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/uy;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w)/y;

/**
 * Says where a text stops being JSON, which the runtimes say only of some texts, together with what stands there.
 *
 * @param text What `JSON.parse` refused
 * @returns The line, and the column in characters, both from 1; undefined when it is JSON
 */
export function placeOfJsonError(text: string): { line: number; column: number } | undefined {
  const offset = findError(text);
  if (offset === undefined) return undefined;
  const lines = text.slice(0, offset).split("\n");
  return { line: lines.length, column: [...lines.at(-1) ?? ""].length + 1 };
}

/** Without recursion: the nesting is the text's choice. */
function findError(text: string): number | undefined {
  const open: ("[" | "{")[] = [];
  const afterValue = (): Expected => {
    const last = open.at(-1);
    return last === undefined ? "end" : last === "[" ? ", or ]" : ", or }";
  };
  let expected: Expected = "value";
  let offset = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = offset;
    if (!pattern.test(text)) return false;
    offset = pattern.lastIndex;
    return true;
  };
  for (;;) {
    take(BLANKS);
    const next = text[offset];
    if (next === undefined) return expected === "end" ? undefined : offset;
    if (expected.endsWith(next) && "]}".includes(next)) {
      open.pop();
      offset++;
      expected = afterValue();
    } else if (expected.startsWith("key")) {
      if (!take(STRING)) return offset;
      expected = ":";
    } else if (expected === ":" && next === ":") {
      offset++;
      expected = "value";
    } else if (expected.startsWith(",") && next === ",") {
      offset++;
      expected = open.at(-1) === "[" ? "value" : "key";
    } else if (expected.startsWith("value") && (next === "[" || next === "{")) {
      open.push(next);
      offset++;
      expected = next === "[" ? "value or ]" : "key or }";
    } else if (expected.startsWith("value") && (take(STRING) || take(SCALAR))) {
      expected = afterValue();
    } else {
      return offset;
    }
  }
}
