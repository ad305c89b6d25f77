import assert from "node:assert/strict";
import { describe, test } from "#test";
import { placeOfJsonError } from "../../../lib/core/json_place.ts";

describe("placeOfJsonError()", () => {
  test("finds the first character that does not belong there", () => {
    for (
      const [text, line, column] of [
        ["", 1, 1],
        ["hush", 1, 1],
        ['{"a": 1,}', 1, 9],
        ['{"a": 1', 1, 8],
        ["[1, 2", 1, 6],
        ["[1, ]", 1, 5],
        ["[1 2]", 1, 4],
        ['{"a" 1}', 1, 6],
        ["{a: 1}", 1, 2],
        ['{\n  "ä€𝄞": tru\n}', 2, 10],
        ['{\r\n\t"a": "\n"}', 2, 7],
        ['"\\x"', 1, 1],
        ["01", 1, 1],
        ["1.", 1, 1],
        ["[1]]", 1, 4],
        ["{} {}", 1, 4],
        ["{} end", 1, 4],
        ["[}", 1, 2],
        ['{"a": 1]', 1, 8],
        ["\ufeff{}", 1, 1],
        ["[".repeat(100_000), 1, 100_001],
      ] as const
    ) assert.deepEqual(placeOfJsonError(text), { line, column }, text.slice(0, 40));
  });

  test("agrees with JSON.parse on what is JSON, whatever is cut out of it or changed in it", () => {
    const whole = '{"a": [1, -2.5e+3, "x\\u0041\\n", true, null, {}], "b": {"c": []}, "d": 0}';
    const texts = [whole, `\t${whole}\n`];
    for (let index = 0; index < whole.length; index++) {
      texts.push(whole.slice(0, index), whole.slice(index), whole.slice(0, index) + whole.slice(index + 1));
      for (const other of ',:"]}[{0e- ') texts.push(whole.slice(0, index) + other + whole.slice(index + 1));
    }
    for (const text of texts) assert.equal(placeOfJsonError(text) === undefined, isJson(text), text);
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
