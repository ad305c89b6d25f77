import assert from "node:assert/strict";
import * as v from "valibot";
import { describe, test } from "#test";
import { parse } from "../../enclave/parse.ts";

const schema = v.strictObject({
  code: v.pipe(v.string(), v.regex(/^[a-z]+$/)),
  kind: v.optional(v.custom<string>((value) => value === "one", "the word one")),
  count: v.optional(v.pipe(v.number(), v.integer(), v.maxValue(5, "at most five"))),
});

describe("parse()", () => {
  test("tells the place and what was expected, in the schema's words where it has some", () => {
    assert.throws(() => parse(schema, { code: "a", kind: "two", count: 6 }), {
      code: "ERR_BAD_REQUEST",
      problems: [{ path: "kind", expected: "the word one" }, { path: "count", expected: "at most five" }],
    });
  });

  test("never repeats what was sent, not even where the schema has no words of its own", () => {
    for (
      const input of [{ code: "HUSH!" }, { code: "a", count: 7.25 }, ["HUSH"], "HUSH", {
        code: "a",
        "HUSH!": 1,
      }]
    ) {
      assert.throws(() => parse(schema, input), (error) => {
        assert.doesNotMatch(JSON.stringify(error), /HUSH|7\.25/);
        return true;
      });
    }
  });
});
