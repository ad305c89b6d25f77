import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  encodeSecretReceipt,
  MAX_SECRET_RECEIPT_BYTES,
  parseSecretReceipt,
  type SecretReceipt,
} from "../../../lib/wire/secret_receipt.ts";

const TAKEN: SecretReceipt = { ok: true, name: "age-key", sha256: "ab".repeat(32) };
const REFUSED: SecretReceipt = {
  ok: false,
  code: "ERR_SECRET_LATE",
  message: "Cannot take",
  hint: "Start it",
};

function parse(text: string): SecretReceipt {
  return parseSecretReceipt(new TextEncoder().encode(text));
}

describe("a receipt", () => {
  test("is one line of JSON, and is read as it was written", () => {
    for (const receipt of [TAKEN, REFUSED, { ok: false, code: "ERR_X", message: "" } as const]) {
      const line = encodeSecretReceipt(receipt);
      assert.equal(line.indexOf(0x0a), line.length - 1);
      assert.deepEqual(parseSecretReceipt(line), receipt);
      assert.deepEqual(parseSecretReceipt(line.subarray(0, -1)), receipt);
    }
  });

  test("is written without control characters, and always fits", () => {
    for (
      const text of [
        "\u001b[2J\nok",
        "\\".repeat(5000),
        "\u{1f600}".repeat(400),
        "\ud800",
        "\u4e00".repeat(600),
        "one\u2028two\u2029three",
      ]
    ) {
      const line = encodeSecretReceipt({ ok: false, code: "ERR_X", message: text, hint: text });
      assert.ok(line.length <= MAX_SECRET_RECEIPT_BYTES);
      const read = parseSecretReceipt(line);
      assert.ok(!read.ok && !/[\p{C}\p{Zl}\p{Zp}]/u.test(read.message));
    }
  });

  test("of another form is refused, and nothing of it repeated", () => {
    const valid = JSON.parse(new TextDecoder().decode(encodeSecretReceipt(TAKEN))) as Record<string, unknown>;
    const refused = { ok: false, code: "ERR_X", message: "m" };
    for (
      const text of [
        "",
        "\n",
        "null",
        "[]",
        "true",
        "HTTP/1.1 400 Bad Request",
        `${JSON.stringify(valid)}\n{}`,
        ...[{ ...valid, ok: "true" }, { ...valid, more: 1 }, { ...valid, name: "../x" }, { ok: true }],
        ...[{ ...valid, sha256: "AB".repeat(32) }, { ...valid, sha256: "ab" }, { name: "x" }],
        ...[{ ...refused, code: "x" }, { ...refused, message: "\u001b[2J" }, {
          ...refused,
          message: "a\u2028b",
        }, { ...refused, hint: 1 }],
        ...[{ ...refused, message: "m".repeat(513) }, { ...refused, name: "x" }, { ok: false }],
      ].map((value) => typeof value === "string" ? value : JSON.stringify(value))
    ) {
      assert.throws(() => parse(text), (error: Error & { code?: string }) => {
        assert.equal(error.code, "ERR_PROTOCOL", text);
        return !text.startsWith("HTTP") || !error.message.includes("Bad Request");
      });
    }
    assert.throws(() => parseSecretReceipt(Uint8Array.of(0x22, 0xff, 0x22)), { code: "ERR_PROTOCOL" });
    const long = `${" ".repeat(MAX_SECRET_RECEIPT_BYTES)}${JSON.stringify(valid)}`;
    assert.throws(() => parse(long), { code: "ERR_PROTOCOL" });
  });
});
