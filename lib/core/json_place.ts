/** Token that must come next while JSON is read. */
type Expected = "value" | "value or ]" | "key" | "key or }" | ":" | ", or ]" | ", or }" | "end";

const BLANKS = /[\t\n\r ]*/y;
// All but control characters below a space, `"` and `\`.
const STRING = /"(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/uy;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w)/y;

/**
 * Finds the place where a text stops being JSON. The runtimes name it for some texts only, and quote what stands there.
 *
 * @param text Text that `JSON.parse` refused
 * @returns The line, and the column in characters, both from 1; undefined when the text is JSON
 */
export function placeOfJsonError(text: string): { line: number; column: number } | undefined {
  const offset = new JsonReader(text).findError();
  if (offset === undefined) return undefined;
  const lines = text.slice(0, offset).split("\n");
  return { line: lines.length, column: [...lines.at(-1) ?? ""].length + 1 };
}

/** Reader of one text. It does not recurse, since the text chooses how deep it nests. */
class JsonReader {
  readonly #text: string;
  readonly #open: ("[" | "{")[] = [];
  #offset = 0;
  #expected: Expected = "value";

  constructor(text: string) {
    this.#text = text;
  }

  /** Finds the first character that does not belong there; undefined when the text is JSON. */
  findError(): number | undefined {
    for (;;) {
      this.#take(BLANKS);
      const next = this.#text[this.#offset];
      if (next === undefined) return this.#expected === "end" ? undefined : this.#offset;
      const after = this.#isCloser(next) ? this.#close() : this.#read(next);
      if (after === undefined) return this.#offset;
      this.#expected = after;
    }
  }

  /** Reads a token other than a closing bracket, and returns what must follow; undefined when it is a wrong one. */
  #read(next: string): Expected | undefined {
    const expected = this.#expected;
    if (expected.startsWith("key")) return this.#take(STRING) ? ":" : undefined;
    if (expected.startsWith("value")) return this.#readValue(next);
    if (expected === "end" || next !== expected[0]) return undefined;
    this.#offset++;
    return expected === ":" || this.#open.at(-1) === "[" ? "value" : "key";
  }

  #readValue(next: string): Expected | undefined {
    if (next !== "[" && next !== "{") {
      return this.#take(STRING) || this.#take(SCALAR) ? this.#afterValue() : undefined;
    }
    this.#open.push(next);
    this.#offset++;
    return next === "[" ? "value or ]" : "key or }";
  }

  #isCloser(next: string): boolean {
    return this.#expected.endsWith(next) && "]}".includes(next);
  }

  #close(): Expected {
    this.#open.pop();
    this.#offset++;
    return this.#afterValue();
  }

  #afterValue(): Expected {
    const last = this.#open.at(-1);
    if (last === undefined) return "end";
    return last === "[" ? ", or ]" : ", or }";
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#offset;
    if (!pattern.test(this.#text)) return false;
    this.#offset = pattern.lastIndex;
    return true;
  }
}
