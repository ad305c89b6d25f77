import assert from "node:assert/strict";
import { describe, test } from "#test";
import { checkFields, checkInteger, checkOneOf, checkText, checkWellFormed } from "../../lib/checks.ts";

const refuses = (name: "TypeError" | "RangeError", message: string, check: () => unknown) =>
  assert.throws(check, { name, message });

describe("checkFields()", () => {
  test("passes objects whose fields are all known", () => {
    const value = { a: 1 };
    assert.equal(checkFields("thing", value, ["a", "b"]), value);
    assert.deepEqual(checkFields("thing", {}, []), {});
  });

  test("refuses what is no object", () => {
    for (const value of [undefined, null, 7, "text", () => {}]) {
      refuses("TypeError", "The thing must be an object", () => checkFields("thing", value, []));
    }
  });

  test("names the field that is not known, if the name is one", () => {
    const unknown = (field: string) => () => checkFields("thing", { a: 1, [field]: 1 }, ["a", "b"]);
    refuses("TypeError", "The thing has no field `c`: expected a, b", unknown("c"));
    const longest = "x".repeat(40);
    refuses("TypeError", `The thing has no field \`${longest}\`: expected a, b`, unknown(longest));
    for (const field of ["x".repeat(41), "a b", " a", "a ", "", "ä", "secret=1"]) {
      refuses("TypeError", "The thing has no field of that name: expected a, b", unknown(field));
    }
  });
});

describe("checkInteger()", () => {
  const range = { min: -2, max: 5 };

  test("passes both ends and what is between", () => {
    for (const value of [-2, 0, 5]) assert.equal(checkInteger("n", value, range), value);
  });

  test("refuses what is beyond, and no integers", () => {
    for (const value of [-3, 6, 1.5, NaN, Infinity, -Infinity]) {
      refuses("RangeError", "n must be an integer from -2 to 5", () => checkInteger("n", value, range));
    }
  });

  test("refuses what is no number", () => {
    for (const value of [undefined, null, "1", 1n, [1]]) {
      refuses("TypeError", "n must be a number", () => checkInteger("n", value, range));
    }
  });

  test("has a default where one is given, and for undefined only", () => {
    assert.equal(checkInteger("n", undefined, { ...range, default: 3 }), 3);
    refuses("TypeError", "n must be a number", () => checkInteger("n", null, { ...range, default: 3 }));
  });
});

describe("checkOneOf()", () => {
  test("passes the words, and undefined", () => {
    for (const value of ["a", "b", undefined]) assert.equal(checkOneOf("w", value, ["a", "b"]), value);
  });

  test("refuses everything else", () => {
    for (const value of ["", "A", "ab", null, 7]) {
      refuses("TypeError", "w must be one of a, b", () => checkOneOf("w", value, ["a", "b"]));
    }
  });
});

describe("checkText()", () => {
  test("passes one character, and as many as there may be", () => {
    for (const value of ["x", "xyz", "€"]) assert.equal(checkText("t", value, 3), value);
  });

  test("refuses none, and too many", () => {
    for (const value of ["", "wxyz"]) {
      refuses("RangeError", "t must have 1 to 3 characters", () => checkText("t", value, 3));
    }
  });

  test("refuses what is no string, and what is no text", () => {
    refuses("TypeError", "t must be a string", () => checkText("t", ["x"], 3));
    refuses("TypeError", "t must not contain a lone surrogate", () => checkText("t", "\ud800", 3));
    refuses("TypeError", "t must not contain a NUL", () => checkText("t", "a\0", 3));
  });
});

describe("checkWellFormed()", () => {
  test("passes the empty text, and pairs of surrogates", () => {
    for (const value of ["", "😀"]) assert.equal(checkWellFormed("t", value), value);
  });
});
