import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { joinBase64, joinSecretJson, readBase64 } from "../../../lib/core/secret_json.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";

describe("joinBase64()", () => {
  test("is base64 between two texts", () => {
    for (const length of [0, 1, 2, 3, 4, 5, 100, 4096]) {
      const secret = Uint8Array.from({ length }, (_, index) => index * 7);
      const expected = `{"a":"${Buffer.from(secret).toString("base64")}"}`;
      assert.equal(Buffer.from(joinBase64('{"a":"', secret, '"}')).toString(), expected);
    }
  });

  test("the texts may hold any characters", () => {
    assert.equal(
      Buffer.from(joinBase64('{"ü":"', new Uint8Array(3), '","日":1}')).toString(),
      '{"ü":"AAAA","日":1}',
    );
  });
});

describe("readBase64()", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  test("reads what Buffer writes, of any length", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (secret) => {
      const read = readBase64(bytes(Buffer.from(secret).toString("base64")));
      assert.deepEqual([...(read ?? [])], [...secret]);
    }));
  });

  test("refuses what is not canonical, and wipes what it had read", () => {
    const wrong = [
      "A",
      "AQ",
      "AQI",
      "AQ=I",
      "A===",
      "====",
      "AQI=AQI=",
      "AQ==\n",
      "AQJ=",
      "AR==",
      "A-_A",
      " AQI",
    ];
    for (const text of wrong) assert.equal(readBase64(bytes(text)), undefined, text);
    const wiped: number[][] = [];
    {
      using _spy = spyOnFill((memory) => wiped.push([...memory]));
      readBase64(bytes("AQIDBA=!"));
    }
    assert.deepEqual(wiped[0]?.slice(0, 3), [1, 2, 3]);
  });
});

describe("joinSecretJson()", () => {
  test("escapes secrets, and nothing else", () => {
    const secret = new TextEncoder().encode('a"b\\c/d');
    const joined = joinSecretJson(['{"x":"', { secret }, '"}']);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(joined)), { x: 'a"b\\c/d' });
    assert.equal(joined.length, 17);
  });
});
