import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  checkMessageContext,
  decodeContext,
  encodeContext,
} from "../../../lib/envelope/encryption_context.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";

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

describe("checkMessageContext()", () => {
  test("takes a context that fills its length, and none longer", () => {
    const context = (length: number) => ({ a: "x".repeat(length) });
    // The name, and two bytes for the pair.
    const room = 8192 - 1 - 2;
    assert.deepEqual(checkMessageContext(context(room)), context(room));
    assert.throws(() => checkMessageContext(context(room + 1)), {
      name: "RangeError",
      message: "encryptionContext must have at most 8192 bytes, not 8193",
    });
    assert.deepEqual(checkMessageContext(undefined), {});
    assert.ok(Object.isFrozen(checkMessageContext(undefined)));
  });

  test("leaves the names of the format's own pairs alone, in the middle of a name as well", () => {
    const context = { "x-aws-crypto-": "1", "AWS-CRYPTO-": "2" };
    assert.deepEqual(checkMessageContext(context), context);
    assert.throws(() => checkMessageContext({ a: "1", "aws-crypto-public-key": "2" }), {
      name: "TypeError",
      message: "encryptionContext must not have names that begin with aws-crypto-",
    });
  });
});

describe("decodeContext()", () => {
  test("refuses what KMS would not take, and says how much that is", () => {
    const pairs = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, ""]));
    assert.equal(Object.keys(decodeContext(encodeContext(pairs(128)))).length, 128);
    const cases = [
      [pairs(129), /at most 128 pairs, not 129/],
      [{ a: "x".repeat(8190) }, /at most 8192 bytes, not/],
    ] as const;
    for (const [context, hint] of cases) {
      assert.throws(() => decodeContext(encodeContext(context)), { code: "ERR_ENVELOPE_LIMIT", hint });
    }
  });

  test("takes no bytes for no pair, and freezes what it returns", () => {
    assert.deepEqual(decodeContext(new Uint8Array()), {});
    assert.ok(Object.isFrozen(decodeContext(new Uint8Array())));
    assert.ok(Object.isFrozen(decodeContext(Uint8Array.of(0, 1, 0, 1, 97, 0, 0))));
  });

  test("keeps a byte order mark, for the tag is over it", () => {
    const context = { "\ufeffa": "\ufeffb" };
    assert.deepEqual({ ...decodeContext(encodeContext(context)) }, context);
  });

  test("reads from a view that begins elsewhere in its buffer", () => {
    const bytes = Uint8Array.of(9, 9, 0, 1, 0, 1, 97, 0, 1, 98, 9);
    assert.deepEqual({ ...decodeContext(bytes.subarray(2, 10)) }, { a: "b" });
  });

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
    for (const bytes of [Uint8Array.of(...whole, 0), Uint8Array.of(0, 0)]) {
      assert.throws(() => decodeContext(bytes), { code: "ERR_ENVELOPE_FORMAT" });
    }
  });
});
