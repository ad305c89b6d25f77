import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  checkMessageContext,
  decodeContext,
  encodeContext,
} from "../../../lib/envelope/encryption_context.ts";
import { encodeHex } from "../../../lib/encoding.ts";

describe("encodeContext()", () => {
  test("sorts by UTF-8, which is not the order of JavaScript's strings", () => {
    const context = { "\u{1f511}": "c", "\u{ff5e}": "b", a: "" };
    assert.deepEqual(Object.keys(context).sort(), ["a", "\u{1f511}", "\u{ff5e}"]);
    assert.equal(
      encodeHex(encodeContext(context)),
      ["0003", "0001", "61", "0000", "0003", "efbd9e", "0001", "62", "0004", "f09f9491", "0001", "63"].join(
        "",
      ),
    );
  });

  test("makes nothing of nothing", () => assert.equal(encodeContext({}).length, 0));
});

describe("decodeContext()", () => {
  test("takes any order", () => {
    const bytes = Uint8Array.of(0, 2, 0, 1, 98, 0, 0, 0, 1, 97, 0, 0);
    assert.deepEqual({ ...decodeContext(bytes) }, { a: "", b: "" });
  });

  test("keeps names that objects inherit", () => {
    const context = checkMessageContext(JSON.parse('{"__proto__":"x","toString":"y"}'));
    const decoded = decodeContext(encodeContext(context));
    assert.deepEqual(Object.entries(decoded), [["__proto__", "x"], ["toString", "y"]]);
    assert.equal(Object.getPrototypeOf(decoded), Object.prototype);
  });

  test("refuses every encoding that is cut short or has a byte too many", () => {
    const whole = encodeContext({ tenant: "a", b: "c" });
    for (let length = 1; length < whole.length; length++) {
      assert.throws(
        () => decodeContext(whole.slice(0, length)),
        { code: "ERR_ENVELOPE_FORMAT" },
        `${length}`,
      );
    }
    assert.throws(() => decodeContext(Uint8Array.of(...whole, 0)), { code: "ERR_ENVELOPE_FORMAT" });
  });
});
