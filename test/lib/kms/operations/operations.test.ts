import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "#test";
import { KmsReply } from "../../../../lib/kms/operations/kms_reply.ts";
import { type OperationName, operationOf, OPERATIONS } from "../../../../lib/kms/operations/operations.ts";
import type { Operation } from "../../../../lib/kms/operations/operation.ts";
import { ProtocolError } from "../../../../lib/core/errors.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234-abcd";
const CONTEXT = { tenant: "a" };
const BYTES = Uint8Array.of(1, 2, 3);
const COMMON = { keyId: ARN, grantTokens: ["token"], dryRun: true };
const SENT = { KeyId: ARN, GrantTokens: ["token"], DryRun: true };
/** Members that are left out of the JSON. */
const ABSENT = { GrantTokens: undefined, DryRun: undefined };

const json = (members: unknown) => new TextEncoder().encode(JSON.stringify(members));

/** Opens an envelope by taking it for the secret, and remembers what it opened. */
function replyOf(members: unknown, opened: SecretBytes[] = []): KmsReply {
  return new KmsReply("Test", json(members), (envelope) => {
    const secret = SecretBytes.copyOf(envelope);
    opened.push(secret);
    return secret;
  });
}

const refuses = (what: string, read: () => unknown) =>
  assert.rejects(async () => await read(), (error: unknown) => {
    assert.ok(error instanceof ProtocolError);
    assert.equal(error.message, `Cannot use KMS's answer to Test: ${what}`);
    assert.equal(error.hint, "The certificate was KMS's. Is a TLS-inspecting proxy answering in its place?");
    return true;
  });

interface Expected {
  readonly name: string;
  readonly attested: boolean;
  readonly request: object;
  readonly members: object;
}

/** Requests on the wire. */
const REQUESTS: Readonly<Record<string, Expected>> = {
  decrypt: {
    name: "Decrypt",
    attested: true,
    request: { ...COMMON, ciphertext: BYTES, encryptionContext: CONTEXT, encryptionAlgorithm: "X" },
    members: { ...SENT, CiphertextBlob: "AQID", EncryptionContext: CONTEXT, EncryptionAlgorithm: "X" },
  },
  encrypt: {
    name: "Encrypt",
    attested: false,
    request: {
      ...COMMON,
      plaintext: new SecretBytes(BYTES),
      encryptionContext: CONTEXT,
      encryptionAlgorithm: "X",
    },
    members: { ...SENT, EncryptionContext: CONTEXT, EncryptionAlgorithm: "X" },
  },
  generateDataKey: {
    name: "GenerateDataKey",
    attested: true,
    request: { ...COMMON, length: "AES_128", encryptionContext: CONTEXT },
    members: { ...SENT, KeySpec: "AES_128", EncryptionContext: CONTEXT },
  },
  generateDataKeyPair: {
    name: "GenerateDataKeyPair",
    attested: true,
    request: { ...COMMON, keyPairSpec: "RSA_2048", encryptionContext: CONTEXT },
    members: { ...SENT, KeyPairSpec: "RSA_2048", EncryptionContext: CONTEXT },
  },
  generateRandom: {
    name: "GenerateRandom",
    attested: true,
    request: { numberOfBytes: 8 },
    members: { NumberOfBytes: 8 },
  },
  deriveSharedSecret: {
    name: "DeriveSharedSecret",
    attested: true,
    request: { ...COMMON, publicKey: BYTES, keyAgreementAlgorithm: "ECDH" },
    members: { ...SENT, PublicKey: "AQID", KeyAgreementAlgorithm: "ECDH" },
  },
  generateMac: {
    name: "GenerateMac",
    attested: false,
    request: { ...COMMON, message: BYTES, macAlgorithm: "HMAC_SHA_384" },
    members: { ...SENT, Message: "AQID", MacAlgorithm: "HMAC_SHA_384" },
  },
  verifyMac: {
    name: "VerifyMac",
    attested: false,
    request: { ...COMMON, message: BYTES, macAlgorithm: "HMAC_SHA_384", mac: Uint8Array.of(4) },
    members: { ...SENT, Message: "AQID", MacAlgorithm: "HMAC_SHA_384", Mac: "BA==" },
  },
  sign: {
    name: "Sign",
    attested: false,
    request: { ...COMMON, message: BYTES, messageType: "RAW", signingAlgorithm: "X" },
    members: { ...SENT, Message: "AQID", MessageType: "RAW", SigningAlgorithm: "X" },
  },
  verify: {
    name: "Verify",
    attested: false,
    request: {
      ...COMMON,
      message: BYTES,
      messageType: "DIGEST",
      signingAlgorithm: "X",
      signature: Uint8Array.of(4),
    },
    members: {
      ...SENT,
      Message: "AQID",
      MessageType: "DIGEST",
      SigningAlgorithm: "X",
      Signature: "BA==",
    },
  },
  getPublicKey: {
    name: "GetPublicKey",
    attested: false,
    request: COMMON,
    members: SENT,
  },
};

describe("operations on the wire", () => {
  test("all of them are in the cases above", () => {
    assert.deepEqual(Object.keys(REQUESTS), Object.keys(OPERATIONS));
  });

  for (const [constant, { name, attested, request, members }] of Object.entries(REQUESTS)) {
    test(`${name} says what is asked for`, () => {
      const operation = OPERATIONS[constant as OperationName] as unknown as Operation<
        object,
        object,
        unknown
      >;
      assert.equal(operationOf(constant as OperationName), operation);
      assert.deepEqual([operation.action, operation.attested], [name, attested]);
      assert.deepEqual(operation.members(request), members);
      const secret = operation.secretMember?.(request);
      assert.deepEqual(secret, name === "Encrypt" ? ["Plaintext", BYTES] : undefined);
    });
  }

  test("leaves out what is not asked for", () => {
    const plain = { keyId: "a", grantTokens: undefined, dryRun: false, encryptionContext: undefined };
    assert.deepEqual(OPERATIONS.generateDataKey.members({ ...plain, length: 7 }), {
      NumberOfBytes: 7,
      EncryptionContext: undefined,
      KeyId: "a",
      ...ABSENT,
    });
  });

  const envelope = (length: number) => Buffer.alloc(length, 7).toString("base64");
  const common = { keyId: ARN, grantTokens: undefined, dryRun: false, encryptionContext: undefined };

  test("Decrypt and DeriveSharedSecret give what is opened, of the key that was asked for", async () => {
    const decrypt = { ...common, ciphertext: BYTES, encryptionAlgorithm: undefined };
    const answer = { KeyId: ARN, CiphertextForRecipient: "AQID" };
    assert.deepEqual((await OPERATIONS.decrypt.result(replyOf(answer), decrypt)).bytes, BYTES);
    const otherKey = "KeyId is not the key that was asked for";
    await refuses(
      otherKey,
      () => OPERATIONS.decrypt.result(replyOf({ ...answer, KeyId: `${ARN}x` }), decrypt),
    );
    await refuses(
      "it has Plaintext unencrypted",
      () => OPERATIONS.decrypt.result(replyOf({ ...answer, Plaintext: "A" }), decrypt),
    );

    const derive = { ...common, publicKey: BYTES, keyAgreementAlgorithm: "ECDH" } as const;
    const agreed = { ...answer, KeyAgreementAlgorithm: "ECDH" };
    const result = (members: object) => OPERATIONS.deriveSharedSecret.result(replyOf(members), derive);
    assert.deepEqual((await result(agreed)).bytes, BYTES);
    await refuses(otherKey, () => result({ ...agreed, KeyId: `${ARN}x` }));
    await refuses("KeyAgreementAlgorithm is not what was asked for", () => result(answer));
    await refuses("it has SharedSecret unencrypted", () => result({ ...agreed, SharedSecret: "AQID" }));
  });

  test("Encrypt gives the ciphertext and the key", async () => {
    const request = {
      ...common,
      plaintext: new SecretBytes(BYTES),
      encryptionAlgorithm: "SYMMETRIC_DEFAULT",
    } as const;
    const answer = { KeyId: ARN, CiphertextBlob: "AQID" };
    const result = (members: object) => OPERATIONS.encrypt.result(replyOf(members), request);
    assert.deepEqual(result(answer), { ciphertext: BYTES, keyId: ARN });
    await refuses("no CiphertextBlob", () => result({ KeyId: ARN }));
    for (const KeyId of ["1234", [ARN]]) {
      await refuses("KeyId is not a key ARN", () => result({ ...answer, KeyId }));
    }
  });

  test("GenerateDataKey gives a key of the length that was asked for, or wipes it", async () => {
    const lengths = [["AES_256", 32], ["AES_128", 16], [7, 7]] as const;
    for (const [length, bytes] of lengths) {
      const request = { ...common, length };
      const answer = { KeyId: ARN, CiphertextBlob: "AQID", CiphertextForRecipient: envelope(bytes) };
      const dataKey = await OPERATIONS.generateDataKey.result(replyOf(answer), request);
      assert.deepEqual([dataKey.plaintext.length, dataKey.keyId], [bytes, ARN]);
      assert.deepEqual(dataKey.ciphertext, BYTES);
      const opened: SecretBytes[] = [];
      const wrong = replyOf({ ...answer, CiphertextForRecipient: envelope(bytes + 1) }, opened);
      const what = "Plaintext is not as long as was asked for";
      await refuses(what, () => OPERATIONS.generateDataKey.result(wrong, request));
      assert.deepEqual(opened.map((secret) => secret.length), [0]);
      await refuses(
        "it has Plaintext unencrypted",
        () => OPERATIONS.generateDataKey.result(replyOf({ ...answer, Plaintext: "AQID" }), request),
      );
    }
  });

  test("GenerateDataKeyPair gives the pair that was asked for", async () => {
    const request = { ...common, keyPairSpec: "RSA_2048" } as const;
    const answer = {
      KeyId: ARN,
      KeyPairSpec: "RSA_2048",
      PrivateKeyCiphertextBlob: "AQ==",
      PublicKey: "Ag==",
      CiphertextForRecipient: "AQID",
    };
    const result = (members: object) => OPERATIONS.generateDataKeyPair.result(replyOf(members), request);
    const pair = await result(answer);
    assert.deepEqual([pair.keyId, pair.keyPairSpec], [ARN, "RSA_2048"]);
    assert.deepEqual([[...pair.privateKeyCiphertext], [...pair.publicKey]], [[1], [2]]);
    assert.deepEqual(pair.privateKey.bytes, BYTES);
    await refuses(
      "KeyPairSpec is not what was asked for",
      () => result({ ...answer, KeyPairSpec: "RSA_4096" }),
    );
    await refuses(
      "it has PrivateKeyPlaintext unencrypted",
      () => result({ ...answer, PrivateKeyPlaintext: "AQID" }),
    );
  });

  test("GenerateRandom gives as many bytes as were asked for", async () => {
    const result = (numberOfBytes: number) =>
      OPERATIONS.generateRandom.result(replyOf({ CiphertextForRecipient: "AQID" }), { numberOfBytes });
    assert.deepEqual((await result(3)).bytes, BYTES);
    await refuses("Plaintext is not as long as was asked for", () => result(4));
    await refuses(
      "it has Plaintext unencrypted",
      () => OPERATIONS.generateRandom.result(replyOf({ Plaintext: "AQID" }), { numberOfBytes: 3 }),
    );
  });
});
