import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { checkSchema, type JsonSchema, validate } from "../../../deploy/configuration/json_schema.ts";
import { configSchema } from "../../../enclave/config_schema.ts";
import { ENCLAVE_READER } from "../../../enclave/enclave_config.ts";
import { serverConfigSchema } from "../../../server/config.ts";
import { accepts } from "../../support/json_schema.ts";

const fits = (schema: unknown, value: unknown) => validate(checkSchema(schema), value).length === 0;

/** Schemas of all keywords, each for values of every type. */
const SCHEMAS: fc.Arbitrary<JsonSchema> = fc.letrec<{ schema: JsonSchema }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3 },
    fc.record({ type: fc.constantFrom("string", "integer", "boolean", "array", "object") }),
    fc.record({ enum: fc.array(fc.oneof(fc.string(), fc.integer()), { minLength: 1 }) }),
    fc.record({ const: fc.oneof(fc.string(), fc.boolean()) }),
    fc.record({ minimum: fc.integer(), maximum: fc.integer() }, { requiredKeys: [] }),
    fc.record({ maxLength: fc.nat(5), pattern: fc.constantFrom("^a", "\\d$", ".") }, { requiredKeys: [] }),
    fc.record({ items: tie("schema"), minItems: fc.nat(3), maxItems: fc.nat(3) }, { requiredKeys: [] }),
    fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ additionalProperties: fc.oneof(fc.boolean(), tie("schema")), propertyNames: tie("schema") }),
    fc.record({
      properties: fc.dictionary(fc.constantFrom("a", "b", "__proto__"), tie("schema"), {
        noNullPrototype: true,
      }),
      required: fc.array(fc.constantFrom("a", "b", "toString")),
      additionalProperties: fc.oneof(fc.boolean(), tie("schema")),
    }, { requiredKeys: [] }),
  ),
})).schema;

const VALUES = fc.oneof(
  fc.jsonValue(),
  fc.dictionary(fc.constantFrom("a", "b", "c"), fc.jsonValue()),
  fc.array(fc.integer({ min: -3, max: 3 })),
  fc.constantFrom("", "a", "a1", "1", 0, 1.5, true, null),
);

describe("validate()", () => {
  test("finds nothing wrong exactly where another reader of JSON Schema accepts", () => {
    let accepted = 0;
    fc.assert(
      fc.property(SCHEMAS, VALUES, (schema, value) => {
        const isAccepted = accepts(schema, value);
        if (isAccepted) accepted++;
        assert.equal(fits(schema, value), isAccepted);
      }),
      { numRuns: 1000 },
    );
    assert.ok(accepted > 100, `${accepted} accepted`);
  });

  test("reads what applications and the server write", () => {
    for (const schema of [configSchema(ENCLAVE_READER), serverConfigSchema()]) {
      assert.deepEqual(validate(checkSchema(schema), { policyFile: "/p", maxConcurrent: 3 }), []);
      assert.deepEqual(validate(checkSchema(schema), { policyFile: "p", maxConcurrent: 0, tls: 1 }), [
        { path: "policyFile", expected: "a text that matches ^/ (an absolute path)" },
        { path: "tls", expected: "a text (vsock:<port>, tcp:<host>:<port>, unix:<path> or off)" },
        { path: "maxConcurrent", expected: "at least 1" },
      ]);
    }
  });

  test("names the place of what is wrong, and never a value", () => {
    const schema = {
      type: "object",
      properties: { list: { type: "array", items: { type: "integer" } } },
      additionalProperties: false,
    };
    assert.deepEqual(validate(checkSchema(schema), { list: [1, "HUSH"], "HUSH!": 1 }), [
      { path: "list[1]", expected: "a whole number" },
      { path: "(a name of other characters)", expected: "not to be there" },
    ]);
  });

  test("refuses a schema with what it does not know, wherever that is", () => {
    let deep: object = {};
    for (let depth = 0; depth < 40; depth++) deep = { items: deep };
    const wrong: readonly (readonly [unknown, RegExp])[] = [
      [{ $ref: "#" }, /the schema has a keyword that is not known: \$ref/],
      [{ properties: { a: { oneOf: [] } } }, /properties has a keyword that is not known: oneOf/],
      [{ anyOf: [{ format: "uri" }] }, /anyOf has a keyword that is not known: format/],
      [{ additionalProperties: { not: {} } }, /not known: not/],
      [{ items: [{}] }, /wrong items/],
      [{ type: ["string"] }, /wrong type/],
      [{ type: "null" }, /wrong type/],
      [{ pattern: "(" }, /wrong pattern/],
      [{ required: "a" }, /wrong required/],
      [{ maximum: "1" }, /wrong maximum/],
      [{ minLength: 1.5 }, /wrong minLength/],
      [{ constructor: {} }, /not known: constructor/],
      [deep, /deeper than 32/],
      [[], /no object/],
      [null, /no object/],
      [true, /no object/],
    ];
    for (const [schema, why] of wrong) assert.throws(() => checkSchema(schema), why, String(why));
    assert.doesNotThrow(() => checkSchema({ "x-env": {}, description: 1, default: null }));
  });
});
