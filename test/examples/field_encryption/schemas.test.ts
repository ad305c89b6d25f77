import assert from "node:assert/strict";
import { describe, test } from "#test";
import { type Json, mapFields } from "../../../examples/field-encryption/fields.ts";
import { reachesMark, readDocument, type Schema } from "../../../examples/field-encryption/schemas.ts";

const MARK = { "x-encrypt": true };

/** Reads a document of some schemas, and finds the first. */
function read(schemas: unknown): Schema {
  const [schema] = readDocument(JSON.stringify({ components: { schemas } }), "a.json").values();
  assert.ok(schema);
  return schema;
}

/** Puts `*` in the place of each marked field. */
const mark = (value: Json, schemas: unknown): string =>
  JSON.stringify(mapFields(value, read(schemas), () => "*"));

describe("schemas of examples/field-encryption", () => {
  test("mark what stands behind references, in circles too, and in every alternative", () => {
    const tree = { A: { properties: { name: MARK, left: { $ref: "#/components/schemas/A" } } } };
    assert.equal(
      mark({ left: { left: { name: 1 } }, name: [2] }, tree),
      '{"left":{"left":{"name":"*"}},"name":"*"}',
    );
    const alternatives = {
      A: {
        allOf: [{ $ref: "#/components/schemas/B" }, { properties: { b: MARK } }],
        oneOf: [{ properties: { c: MARK } }, { anyOf: [{ additionalProperties: MARK }] }],
      },
      B: { properties: { a: MARK } },
    };
    assert.equal(mark({ a: 1, b: 2, c: 3, d: 4 }, alternatives), '{"a":"*","b":"*","c":"*","d":"*"}');
    const lists = {
      A: { items: { items: { properties: { a: { $ref: "#/components/schemas/B" } } } } },
      B: MARK,
    };
    assert.equal(mark([[{ a: 1, b: 2 }], []], lists), '[[{"a":"*","b":2}],[]]');
    assert.equal(
      mark({ a: 1 }, { A: { $ref: "#/components/schemas/B", properties: { a: MARK } }, B: {} }),
      '{"a":"*"}',
    );
    assert.equal(mark(1, { A: MARK }), '"*"');
    assert.equal(
      mark({ ["__proto__"]: 1 }, { A: { properties: { ["__proto__"]: MARK } } }),
      '{"__proto__":"*"}',
    );
  });

  test("take an object or an array where there are marks in either", () => {
    const either = { A: { anyOf: [{ items: MARK }, { properties: { a: MARK } }] } };
    assert.equal(mark([1], either), '["*"]');
    assert.equal(mark({ a: 1 }, either), '{"a":"*"}');
    assert.equal(mark(null, either), "null");
    for (const value of [1, "a", true]) assert.throws(() => mark(value, either), { code: "ERR_BAD_REQUEST" });
  });

  test("tell whether they mark anything", () => {
    const circle = {
      A: { items: { $ref: "#/components/schemas/B" } },
      B: { not: {}, $ref: "#/components/schemas/A" },
    };
    assert.equal(reachesMark(read(circle)), false);
    assert.equal(reachesMark(read({ A: { properties: { a: { "x-encrypt": false } } } })), false);
    assert.equal(reachesMark(read({ A: { additionalProperties: { items: MARK } } })), true);
  });

  const cases: readonly (readonly [unknown, string])[] = [
    [{ A: { not: MARK } }, "A.not: x-encrypt is not read there"],
    [
      { A: { patternProperties: { "^a": { items: MARK } } } },
      "A.patternProperties.^a.items: x-encrypt is not read there",
    ],
    [
      { A: { prefixItems: [{ $ref: "#/components/schemas/B" }] }, B: MARK },
      "A.prefixItems.0: $ref is not read there",
    ],
    [
      { A: { properties: { a: { "x-encrypted": true } } } },
      "A.properties.a.x-encrypted: the mark is called x-encrypt",
    ],
    [{ A: { "X-Encrypt": true } }, "A.X-Encrypt: the mark is called x-encrypt"],
    [{ A: { xEncrypt: true } }, "A.xEncrypt: the mark is called x-encrypt"],
    [{ A: { "x-encrypt": "true" } }, "A.x-encrypt must be true or false"],
    [{ A: { $ref: "#/components/schemas/B" } }, "there is no schema B"],
    [{ A: { $ref: "#/components/schemas/toString" } }, "there is no schema toString"],
    [{ A: { $ref: "https://example.com/a.json" } }, "there is no schema https://example.com/a.json"],
    [{ A: { type: "text", ...MARK } }, "A.type: no such type"],
    [{ A: { properties: [] } }, "A.properties must be an object"],
    [{ A: { allOf: {} } }, "A.allOf must be an array"],
    [{ A: null }, "A must be an object"],
    [[], "components.schemas must be an object"],
  ];
  for (const [schemas, message] of cases) {
    test(`are refused: ${message}`, () => {
      assert.throws(() => read(schemas), { name: "ContentError", message: `a.json: ${message}` });
    });
  }

  test("are refused when they are nested too deeply for JavaScript, or are no JSON", () => {
    const deep = `{"components":{"schemas":{"A":${'{"items":'.repeat(30_000)}{}${"}".repeat(30_000)}}}}`;
    for (const text of [deep, "", "openapi: 3.1.0"]) {
      assert.throws(() => readDocument(text, "a.json"), {
        message: /^a\.json: no JSON, or nested too deeply$/,
      });
    }
  });
});
