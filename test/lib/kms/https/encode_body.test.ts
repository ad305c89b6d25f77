import assert from "node:assert/strict";
import { describe, test } from "#test";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";
import { encodeBody } from "../../../../lib/kms/https/encode_body.ts";
import { OPERATIONS } from "../../../../lib/kms/operations/operations.ts";

const DOCUMENT = new Uint8Array([0xd2, 0x84, 0xff]);
const OPERATION = { members: (text: string) => ({ Text: text, Left: undefined }) };

const parse = (body: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(body));
const recipient = (AttestationDocument: string) => ({
  AttestationDocument,
  KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
});

describe("encodeBody()", () => {
  test("encodes the members, in any script", () => {
    for (const text of ["a", 'é"}', "鍵🔑"]) {
      assert.deepEqual(parse(encodeBody(OPERATION, text, undefined)), { Text: text });
      assert.deepEqual(parse(encodeBody(OPERATION, text, DOCUMENT)), {
        Text: text,
        Recipient: recipient("0oT/"),
      });
    }
  });

  test("sends the document that it is given, however often, and another one beside it", () => {
    const other = Uint8Array.of(1, 2, 3);
    for (const document of [DOCUMENT, other, DOCUMENT, other]) {
      const { Recipient } = parse(encodeBody(OPERATION, "a", document)) as Record<string, unknown>;
      assert.deepEqual(Recipient, recipient(document === other ? "AQID" : "0oT/"));
    }
  });

  test("gives bytes of their own: wiped ones say nothing of those to come", () => {
    const first = encodeBody(OPERATION, "a", DOCUMENT);
    const expected = first.slice();
    first.fill(0);
    assert.deepEqual(encodeBody(OPERATION, "a", DOCUMENT), expected);
  });

  test("writes a secret member as base64", () => {
    using secret = new SecretBytes(Uint8Array.of(0, 254, 255, 1));
    const operation = { ...OPERATION, secretMember: () => ["Plaintext", secret.bytes] as const };
    assert.deepEqual(parse(encodeBody(operation, "é", undefined)), { Plaintext: "AP7/AQ==", Text: "é" });
  });

  test("no operation has both a document and a secret member", () => {
    const all = Object.values(OPERATIONS);
    const secret = all.filter((operation) => "secretMember" in operation);
    assert.ok(secret.length > 0 && all.some(({ attested }) => attested));
    assert.deepEqual(secret.filter(({ attested }) => attested), []);
  });
});
