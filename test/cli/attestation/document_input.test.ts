import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DOCUMENT_FORMATS, formatDocument } from "../../../cli/attestation/document_output.ts";
import { readDocumentInput } from "../../../cli/attestation/document_input.ts";
import { UsageError } from "../../../cli/usage_error.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { describe, test } from "#test";

/** Begins as every document does, and has each byte, so that both alphabets of base64 show. */
const DOCUMENT = Uint8Array.from([0x84, 0x44, ...Array.from({ length: 256 }, (_, byte) => byte), 0xff, 0xfe]);
const BASE64 = Buffer.from(DOCUMENT).toString("base64");

const read = (content: string | Uint8Array) =>
  readDocumentInput("FILE", new Uint8Array(typeof content === "string" ? Buffer.from(content) : content));

function refusal(content: string | Uint8Array): string {
  try {
    return `read as ${read(content).readAs}`;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

describe("an attestation document that was given", () => {
  const readAs = {
    base64: "base64",
    base64url: "base64url",
    hex: "hex",
    pem: "PEM",
    json: "base64 in JSON",
    raw: "raw CBOR",
  } as const;
  for (const format of DOCUMENT_FORMATS) {
    test(`is read as attest writes it: ${format}`, () => {
      const input = read(formatDocument(DOCUMENT, format));
      assert.deepEqual(new Uint8Array(input.document), DOCUMENT);
      assert.equal(input.readAs, readAs[format]);
      assert.equal(input.boot, undefined);
    });
  }

  const others: Readonly<Record<string, readonly [content: string, readAs: string]>> = {
    "folded base64": [BASE64.replaceAll(/.{76}/g, "$&\r\n"), "base64"],
    "base64 without padding": [BASE64.replace(/=+$/, ""), "base64"],
    "base64url with padding": [BASE64.replaceAll("+", "-").replaceAll("/", "_"), "base64url"],
    "hex in capitals, in lines, after 0x": [
      `0x${Buffer.from(DOCUMENT).toString("hex").toUpperCase().replaceAll(/.{60}/g, "$&\n")}`,
      "hex",
    ],
    "base64 after a byte order mark": [`\ufeff${BASE64}\n`, "base64"],
    "a text in JSON": [JSON.stringify(BASE64), "base64 in JSON"],
    "PEM in one line": [
      `-----BEGIN ATTESTATION DOCUMENT-----${BASE64}-----END ATTESTATION DOCUMENT-----`,
      "PEM",
    ],
  };
  for (const [what, [content, expected]] of Object.entries(others)) {
    test(`is read from ${what}`, () => {
      const input = read(content);
      assert.deepEqual(new Uint8Array(input.document), DOCUMENT);
      assert.equal(input.readAs, expected);
    });
  }

  test("is read from a server's answer, whose keys come with it", () => {
    const answer = { document: BASE64, bootId: "0".repeat(32), keys: { sign: "AQID" } };
    const { readAs: form, boot } = read(JSON.stringify(answer, undefined, 2));
    assert.equal(form, "JSON of a server");
    assert.deepEqual(new Uint8Array(boot?.keys["sign"] ?? []), new Uint8Array([1, 2, 3]));
  });

  test("is not taken out of a server's answer that is malformed", () => {
    for (
      const answer of [
        { document: BASE64, keys: { sign: "AQID" } },
        { document: BASE64, bootId: "0".repeat(32), keys: { sign: "AQID" }, more: 1 },
        { document: 1, bootId: "0".repeat(32), keys: {} },
        { document: [BASE64] },
      ]
    ) assert.throws(() => read(JSON.stringify(answer)), AttestationError);
  });

  test("in base64 or base64url is never hex: no such text begins as a document does", () => {
    for (const first of [0x84, 0xd2]) {
      assert.match(Buffer.from([first, 0x84, 0x44]).toString("base64"), /^[^0-9a-f]|^0o/);
    }
  });

  const refused: Readonly<Record<string, readonly [content: string | Uint8Array, expected: RegExp]>> = {
    "nothing": ["", /: it is empty$/],
    "white space": [" \n\t", /: it is empty$/],
    "more than 1 MiB": [new Uint8Array((1 << 20) + 1), /: it has more than 1 MiB$/],
    "a certificate": [
      "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
      /PEM of CERTIFICATE, and not/,
    ],
    "PEM of no kind": ["-----BEGIN \u0024-----\n", /PEM of another kind/],
    "PEM without an end": [`-----BEGIN ATTESTATION DOCUMENT-----\n${BASE64}`, /not one whole block/],
    "PEM with nothing in it": [
      "-----BEGIN ATTESTATION DOCUMENT-----\n-----END ATTESTATION DOCUMENT-----",
      /not one whole block/,
    ],
    "two blocks of PEM": [
      `${formatDocument(DOCUMENT, "pem")}${formatDocument(DOCUMENT, "pem")}`,
      /not one whole/,
    ],
    "text after PEM": [`${formatDocument(DOCUMENT, "pem")}x`, /not one whole block/],
    "broken JSON": ['{"document":', /looks like JSON, and it is not JSON$/],
    "a member twice": [`{"document":"${BASE64}","document":"AQID"}`, /"document" is there twice/],
    "a list": [`["${BASE64}"]`, /neither a text nor an object$/],
    "no document": ['{"doc":"AQID"}', /has no member `document`$/],
    "a number": ["[1]", /neither a text nor an object$/],
    "JSON in JSON": [JSON.stringify(JSON.stringify({ document: BASE64 })), /its text is none of them$/],
    "an odd number of hex digits": [`${Buffer.from(DOCUMENT).toString("hex")}8`, /its text is none of them$/],
    "both alphabets": ["hEQ+_w", /its text is none of them$/],
    "padding in the middle": ["hEQ=hEQ=", /its text is none of them$/],
    "spare bits": ["hER=", /its text is none of them$/],
    "a sentence": ["no base64!", /its text is none of them$/],
    "HTML": ["<html>", /its text is none of them$/],
  };
  for (const [what, [content, expected]] of Object.entries(refused)) {
    test(`is no ${what}`, () => {
      const message = refusal(content);
      assert.match(
        message,
        /^FILE must hold an attestation document \(raw CBOR, base64, base64url, hex, PEM/,
      );
      assert.match(message, expected);
    });
  }
});
