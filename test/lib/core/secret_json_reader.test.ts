import assert from "node:assert/strict";
import { describe, test } from "#test";
import { readSecretJson, type SecretJsonObject } from "../../../lib/core/secret_json_reader.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const read = (text: string) => readSecretJson(encode(text), ["secret", "token"]);

/** Shows bytes as `bytes <text>`, for comparisons. */
function shown(object: SecretJsonObject | undefined): unknown {
  if (object === undefined) return undefined;
  return Object.fromEntries(
    Object.entries(object).map(([name, value]) => [
      name,
      value instanceof Uint8Array
        ? `bytes ${new TextDecoder().decode(value)}`
        : typeof value === "object" && value !== null
        ? shown(value)
        : value,
    ]),
  );
}

describe("readSecretJson()", () => {
  test("reads what JSON.parse reads, and secrets as bytes", () => {
    for (
      const text of [
        "{}",
        " \t\r\n{ } ",
        '{"a":1,"b":-0.5e+3,"c":true,"d":false,"e":null,"f":"x"}',
        '{ "a" : "\\u00fc \\"\\\\\\/\\b\\f\\n\\r\\t ü日" }',
        '{"a":{"b":{"c":{}}}}',
        '{"__proto__":1,"constructor":2}',
        '{"\\u0061":""}',
      ]
    ) assert.deepEqual(shown(read(text)), JSON.parse(text), text);
    assert.deepEqual(shown(read('{"secret":"a/b","x":{"token":"t"},"y":"z"}')), {
      secret: "bytes a/b",
      x: { token: "bytes t" },
      y: "z",
    });
  });

  test("resolves escapes of secrets where they lie in the input", () => {
    const input = encode('{"secret":"a\\/b\\u002F\\u007e\\"\\\\\\n","token":""}');
    const object = readSecretJson(input, ["secret", "token"]);
    assert.deepEqual(shown(object), { secret: 'bytes a/b/~"\\\n', token: "bytes " });
    assert.ok(object?.["secret"] instanceof Uint8Array);
    assert.equal(object["secret"].buffer, input.buffer);
    input.fill(0);
    assert.deepEqual([...object["secret"]], Array(8).fill(0));
  });

  test("a secret that is no string is what it is", () => {
    assert.deepEqual(shown(read('{"secret":12,"token":{"secret":"s"}}')), {
      secret: 12,
      token: { secret: "bytes s" },
    });
  });

  test("refuses everything else", () => {
    for (
      const text of [
        "",
        "null",
        "[]",
        '"a"',
        "{",
        "}",
        "{}x",
        "{}{}",
        "{,}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        '{"a":1 "b":2}',
        '{"a":[]}',
        '{"a":1,"a":2}',
        '{"a":1,"\\u0061":2}',
        '{"secret":"1","secret":"2"}',
        "{a:1}",
        "{'a':1}",
        '{"a":01}',
        '{"a":+1}',
        '{"a":tru}',
        '{"a":NaN}',
        '{"a":"\n"}',
        '{"a":"\\x"}',
        '{"a":"',
        '{"a":"\\',
        '{"secret":"',
        '{"secret":"a',
        '{"secret":"a\\',
        '{"secret":"\\x"}',
        '{"secret":"\\u002"}',
        '{"secret":"\\u00',
        '{"secret":"\\u0080"}',
        '{"secret":"\\ud83d\\ude00"}',
        '{"secret":"ü"}',
        '{"secret":"\t"}',
        '{"secret":"\x7f"}',
        '{"secret":"a"b"}',
        '{"a":{"b":{"c":{"d":{}}}}}',
        "\ufeff{}",
      ]
    ) assert.equal(read(text), undefined, text);
    assert.equal(readSecretJson(Uint8Array.of(...encode('{"a":"'), 0xff, 0x22, 0x7d), []), undefined);
  });

  test("names on Object.prototype are not there", () => {
    assert.equal(read("{}")?.["toString"], undefined);
  });
});
