import assert from "node:assert/strict";
import { describe, test } from "#test";
import { joinBase64 } from "../../../lib/core/secret_json.ts";

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
