import assert from "node:assert/strict";
import { describe, test } from "#test";
import { KmsReply } from "../../../../lib/kms/operations/kms_reply.ts";
import { ProtocolError } from "../../../../lib/core/errors.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234-abcd";
const BYTES = Uint8Array.of(1, 2, 3);

const json = (members: unknown) => new TextEncoder().encode(JSON.stringify(members));

/** Opens an envelope by taking it for the secret, and remembers what it opened. */
function replyOf(members: unknown, opened: SecretBytes[] = []): KmsReply {
  return new KmsReply("Test", json(members), (envelope) => {
    const secret = SecretBytes.copyOf(envelope);
    opened.push(secret);
    return secret;
  });
}

const refusal = (what: string) => (error: unknown) => {
  assert.ok(error instanceof ProtocolError);
  assert.equal(error.message, `Cannot use KMS's answer to Test: ${what}`);
  assert.equal(error.hint, "The certificate was KMS's. Is a TLS-inspecting proxy answering in its place?");
  return true;
};

const refuses = (what: string, read: () => unknown) => assert.throws(read, refusal(what));

const refusesLater = (what: string, read: () => Promise<unknown>) => assert.rejects(read, refusal(what));

describe("KmsReply", () => {
  test("is a JSON object in UTF-8", () => {
    const read = (body: Uint8Array) => () =>
      new KmsReply("Test", body, () => new SecretBytes(new Uint8Array(1)));
    for (const text of ["", "{", "nonsense"]) refuses("not JSON", read(new TextEncoder().encode(text)));
    refuses("not JSON", read(Uint8Array.of(0x22, 0xff, 0x22)));
    for (const value of [null, 7, "text", [], true]) refuses("not an object", read(json(value)));
  });

  test("has bytes where they are", () => {
    assert.deepEqual(replyOf({ A: "AQID" }).bytes("A"), BYTES);
    for (const value of [undefined, null, "", 7, [], {}]) {
      refuses("no A", () => replyOf({ A: value }).bytes("A"));
    }
    refuses("A is not base64", () => replyOf({ A: "AQI" }).bytes("A"));
  });

  test("may say that there is nothing in clear", async () => {
    for (const inClear of [undefined, null, ""]) {
      const answer = { Plaintext: inClear, CiphertextForRecipient: "AQID" };
      assert.deepEqual((await replyOf(answer).secret("Plaintext")).bytes, BYTES);
    }
    for (const inClear of [0, false, [], {}, "A"]) {
      await refusesLater(
        "it has Plaintext unencrypted",
        () => replyOf({ Plaintext: inClear, CiphertextForRecipient: "AQID" }).secret("Plaintext"),
      );
    }
  });

  const same = [
    ARN,
    "1234-abcd",
    "alias/mine",
    "arn:aws:kms:eu-central-1:111122223333:alias/mine",
    undefined,
  ];
  for (const asked of same) {
    test(`takes ${ARN} for ${asked}`, () => assert.equal(replyOf({ KeyId: ARN }).keyId(asked), ARN));
  }

  const others = [
    "1234",
    "abcd",
    "key/1234-abcd",
    "arn:aws:kms:eu-central-1:111122223333:key/1234",
    "arn:aws:kms:eu-central-1:111122223334:key/1234-abcd",
    "arn:aws:kms:eu-west-1:111122223333:key/1234-abcd",
    "arn:aws-cn:kms:eu-central-1:111122223333:key/1234-abcd",
    "arn:aws:kms:eu-west-1:111122223333:alias/mine",
    "arn:aws:kms:eu-central-1:999922223333:alias/mine",
  ];
  for (const asked of others) {
    test(`refuses ${ARN} for ${asked}`, () => {
      refuses("KeyId is not the key that was asked for", () => replyOf({ KeyId: ARN }).keyId(asked));
    });
  }

  test("names a key by its ARN", () => {
    const wrong = [
      ...[
        undefined,
        null,
        7,
        "",
        "1234-abcd",
        ` ${ARN}`,
        `${ARN} `,
        `${ARN}/x`,
        ARN.replace("key/", "alias/"),
      ],
      ...[
        ARN.replace("111122223333", "11112222333"),
        ARN.replace("kms", "s3"),
        "arn:aws:kms:r:111122223333:key/",
      ],
    ];
    for (const KeyId of wrong) refuses("KeyId is not a key ARN", () => replyOf({ KeyId }).keyId(undefined));
  });
});
