import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  checkFields,
  checkInteger,
  checkOneOf,
  checkRecord,
  checkText,
  checkWellFormed,
} from "../../../lib/core/checks.ts";
import { fromOtherRealm, NO_RECORDS } from "../../support/records.ts";

const refuses = (name: "TypeError" | "RangeError", message: string, check: () => unknown) =>
  assert.throws(check, { name, message });

describe("checkRecord()", () => {
  test("reads what a plain object has of its own, of this realm, of another, and without a prototype", () => {
    for (const record of [{ a: 1 }, { __proto__: null, a: 1 }, fromOtherRealm("({ a: 1 })")]) {
      assert.deepEqual(checkRecord("pairs", record), [["a", 1]]);
    }
    assert.deepEqual(checkRecord("pairs", {}), []);
    assert.deepEqual(checkRecord("pairs", JSON.parse('{"__proto__":"x"}')), [["__proto__", "x"]]);
  });

  for (const [name, value] of NO_RECORDS) {
    test(`refuses ${name}`, () => {
      assert.throws(() => checkRecord("pairs", value), { name: "TypeError", message: /^pairs must / });
    });
  }

  test("reads each value once", () => {
    let reads = 0;
    const record = {
      get a() {
        return ++reads;
      },
    };
    assert.deepEqual(checkRecord("pairs", record), [["a", 1]]);
  });

  test("says what to do with a Map", () => {
    const message =
      "pairs must be a plain object, not a Map or another collection: Object.fromEntries() makes one";
    refuses("TypeError", message, () => checkRecord("pairs", new Map([["a", 1]])));
    refuses("TypeError", "pairs must be a plain object, not an array", () => checkRecord("pairs", ["a"]));
    refuses("TypeError", "pairs must be a plain object, not an instance of a class", () => {
      checkRecord("pairs", new Date());
    });
  });
});

describe("checkFields()", () => {
  test("returns a copy that later changes and Object.prototype do not reach", () => {
    const value: { a: number; b?: number } = { a: 1 };
    const checked = checkFields("thing", value, ["a", "b"]);
    value.a = 2;
    Object.defineProperty(Object.prototype, "b", { value: 7, configurable: true });
    try {
      assert.equal(value.b, 7);
      assert.deepEqual([checked.a, checked.b], [1, undefined]);
    } finally {
      delete (Object.prototype as { b?: number }).b;
    }
  });

  test("passes objects whose fields are all known", () => {
    assert.deepEqual({ ...checkFields("thing", { a: 1 }, ["a", "b"]) }, { a: 1 });
    assert.deepEqual({ ...checkFields("thing", {}, []) }, {});
  });

  test("refuses what is no object", () => {
    for (const value of [undefined, null, 7, "text", () => {}]) {
      refuses("TypeError", "The thing must be a plain object", () => checkFields("thing", value, []));
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
