import assert from "node:assert/strict";
import { beforeAll, describe, test } from "#test";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import type { KmsRefusal } from "../../../sim/kms/kms_errors.ts";
import type { SimulatedKey } from "../../../sim/kms/keys/simulated_key.ts";
import { assertRefused, KmsFixture, plaintextOf, SECRET } from "./kms_fixture.ts";

const kms = KmsFixture.use();

describe("Encrypt and Decrypt", () => {
  test("without a recipient the plaintext comes in clear", async () => {
    const reply = await kms.decrypt();
    assert.equal(reply.status, 200);
    assert.deepEqual(Object.keys(reply.members).sort(), [
      "EncryptionAlgorithm",
      "KeyId",
      "KeyMaterialId",
      "Plaintext",
    ]);
    assert.equal(plaintextOf(reply), SECRET);
    assert.equal(reply.members["KeyId"], kms.key.arn);
    assert.equal(reply.members["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT");
  });

  test("over the wire too, at both ends of the sizes", async () => {
    for (const length of [1, 4096]) {
      const Plaintext = encodeBase64(new Uint8Array(length).fill(7));
      const encrypted = await kms.call("Encrypt", { KeyId: kms.key.arn, Plaintext });
      const CiphertextBlob = encrypted.members["CiphertextBlob"];
      assert.ok(decodeBase64(String(CiphertextBlob)).length <= 6144);
      assert.match(String(CiphertextBlob), /^AQICAH/);
      assert.equal((await kms.call("Decrypt", { CiphertextBlob })).members["Plaintext"], Plaintext);
    }
  });

  test("a key goes by its id, its ARN, its alias and its alias's ARN", async () => {
    const aliasArn = kms.key.arn.replace(/key\/.*/, "alias/main");
    for (const KeyId of [kms.key.keyId, kms.key.arn, "alias/main", aliasArn]) {
      assert.equal(plaintextOf(await kms.decrypt({ KeyId })), SECRET);
    }
    assert.match(kms.key.arn, /^arn:aws:kms:us-east-1:111122223333:key\/[0-9a-f-]{36}$/);
  });

  test("RSA keys with both algorithms", async () => {
    const rsaKey = await kms.enclave.createKey({ spec: "RSA_2048" });
    for (const EncryptionAlgorithm of ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] as const) {
      const members = { KeyId: rsaKey.keyId, EncryptionAlgorithm };
      const encrypted = await kms.call("Encrypt", {
        ...members,
        Plaintext: encodeBase64(Uint8Array.of(1)),
      });
      const { CiphertextBlob } = encrypted.members;
      const reply = await kms.call("Decrypt", { ...members, CiphertextBlob });
      assert.deepEqual(decodeBase64(String(reply.members["Plaintext"])), Uint8Array.of(1));
      const tooLong = { ...members, Plaintext: encodeBase64(new Uint8Array(215)) };
      const text = new RegExp(
        `^Algorithm ${EncryptionAlgorithm} and key spec RSA_2048 cannot encrypt data larger than \\d+ bytes\\.$`,
      );
      assertRefused(await kms.call("Encrypt", tooLong), "ValidationException", text);
      assertRefused(
        await kms.call("Decrypt", { CiphertextBlob, EncryptionAlgorithm }),
        "ValidationException",
      );
      const wrong = { ...members, CiphertextBlob: encodeBase64(new Uint8Array(256).fill(1)) };
      assertRefused(await kms.call("Decrypt", wrong), "InvalidCiphertextException", null);
    }
  });

  test("encrypt() refuses as KMS does", async () => {
    await assert.rejects(
      kms.enclave.encrypt({ keyId: "alias/none", plaintext: "x" }),
      (error: KmsRefusal) => error.kmsCode === "NotFoundException",
    );
  });
});

describe("refusals", () => {
  const otherKeys = new Map<string, SimulatedKey>();

  beforeAll(async () => {
    for (const state of ["Enabled", "Disabled", "PendingDeletion"] as const) {
      otherKeys.set(state, await kms.enclave.createKey({ state }));
    }
  });

  const flipped = () => {
    const bytes = decodeBase64(kms.ciphertext);
    return encodeBase64(bytes.with(-1, (bytes.at(-1) ?? 0) ^ 1));
  };

  const cases: readonly (readonly [
    what: string,
    members: () => Readonly<Record<string, unknown>>,
    kmsCode: string,
    message?: RegExp | null,
  ])[] = [
    [
      "another encryption context",
      () => ({ EncryptionContext: { tenant: "b" } }),
      "InvalidCiphertextException",
      null,
    ],
    ["no encryption context", () => ({ EncryptionContext: undefined }), "InvalidCiphertextException", null],
    ["a changed ciphertext", () => ({ CiphertextBlob: flipped() }), "InvalidCiphertextException", null],
    ["bytes that are no ciphertext", () => ({ CiphertextBlob: "AQID" }), "InvalidCiphertextException", null],
    [
      "another key than the ciphertext's",
      () => ({ KeyId: otherKeys.get("Enabled")?.arn }),
      "IncorrectKeyException",
    ],
    [
      "an unknown alias",
      () => ({ KeyId: "alias/none" }),
      "NotFoundException",
      /^Alias arn:.*alias\/none is not found/,
    ],
    ["a name that is no key's", () => ({ KeyId: "fake" }), "NotFoundException", /^Invalid keyId 'fake'$/],
    [
      "an unknown id",
      () => ({ KeyId: "1234abcd-12ab-34cd-56ef-1234567890ab" }),
      "NotFoundException",
      /^Key 'arn:aws:kms:us-east-1:111122223333:key\/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist$/,
    ],
    [
      "an unknown key",
      () => ({ KeyId: kms.key.arn.replace(/.$/, "x") }),
      "NotFoundException",
      /does not exist$/,
    ],
    [
      "an algorithm that does not exist",
      () => ({ EncryptionAlgorithm: "ROT13" }),
      "ValidationException",
      /enum/,
    ],
    [
      "an algorithm of another kind of key",
      () => ({ KeyId: kms.key.arn, EncryptionAlgorithm: "RSAES_OAEP_SHA_1" }),
      "InvalidKeyUsageException",
    ],
    [
      "a ciphertext of 6145 bytes",
      () => ({ CiphertextBlob: encodeBase64(new Uint8Array(6145)) }),
      "ValidationException",
      /less than or equal to 6144/,
    ],
    [
      "an empty ciphertext",
      () => ({ CiphertextBlob: "" }),
      "ValidationException",
      /greater than or equal to 1/,
    ],
    [
      "a missing ciphertext",
      () => ({ CiphertextBlob: undefined }),
      "ValidationException",
      /must not be null/,
    ],
    ["a ciphertext that is not base64", () => ({ CiphertextBlob: "?" }), "SerializationException"],
    ["a ciphertext that is a number", () => ({ CiphertextBlob: 1 }), "SerializationException"],
    ["a context that is a list", () => ({ EncryptionContext: ["a"] }), "SerializationException"],
    ["a context with a number", () => ({ EncryptionContext: { a: 1 } }), "SerializationException"],
    ["a recipient that is a text", () => ({ Recipient: "x" }), "SerializationException"],
  ];
  for (const [what, members, kmsCode, message] of cases) {
    test(`${what}: ${kmsCode}`, async () => assertRefused(await kms.decrypt(members()), kmsCode, message));
  }

  test("keys that are not enabled", async () => {
    const codes = { Disabled: "DisabledException", PendingDeletion: "KMSInvalidStateException" } as const;
    for (const [state, kmsCode] of Object.entries(codes)) {
      const members = { KeyId: otherKeys.get(state)?.keyId, Plaintext: "AAAA" };
      assertRefused(await kms.call("Encrypt", members), kmsCode);
    }
  });

  test("a key can be disabled while it is in use", async () => {
    kms.key.state = "Disabled";
    assertRefused(await kms.decrypt(), "DisabledException", /is disabled\.$/);
    kms.key.state = "Enabled";
    assert.equal((await kms.decrypt()).status, 200);
  });

  test("a plaintext of 4097 bytes", async () => {
    const members = { KeyId: kms.key.arn, Plaintext: encodeBase64(new Uint8Array(4097)) };
    assertRefused(await kms.call("Encrypt", members), "ValidationException", /4096/);
  });

  test("members that an operation does not know are passed over, not refused", async () => {
    const { arn, publicKey } = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const PublicKey = encodeBase64(publicKey ?? new Uint8Array());
    const requests = [
      ["Encrypt", { KeyId: kms.key.arn, Plaintext: "AAAA", Recipient: {} }],
      ["DeriveSharedSecret", { KeyId: arn, KeyAgreementAlgorithm: "ECDH", PublicKey, EncryptionContext: 1 }],
      ["GenerateRandom", { NumberOfBytes: 1, DryRun: true, GrantTokens: 1 }],
    ] as const;
    for (const [operation, members] of requests) {
      const reply = await kms.call(operation, { ...members, Unknown: {} });
      assert.equal(reply.status, 200, reply.text);
    }
  });

  test("operations, methods and paths that do not exist", async () => {
    for (const operation of ["ReEncrypt", "", "constructor", "__proto__"]) {
      assertRefused(await kms.call(operation, {}), "UnknownOperationException");
    }
    assertRefused(await kms.decrypt({}, { path: "/x" }), "UnknownOperationException");
    assertRefused(await kms.decrypt({}, { method: "PUT" }), "UnknownOperationException");
  });

  test("bodies that are not a JSON object", async () => {
    for (const rawBody of ["{", "[]", "null", '"x"', "\u{fffd}"]) {
      assertRefused(await kms.call("Decrypt", {}, { rawBody }), "SerializationException");
    }
  });
});
