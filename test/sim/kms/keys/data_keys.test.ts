import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { describe } from "#test";
import { encodeBase64 } from "../../../../lib/core/encoding.ts";
import {
  KEY_PAIR_RECIPES,
  KEY_PAIR_SPECS,
  type KeyPairSpec,
  makeKeyPair,
} from "../../../../sim/kms/keys/key_pairs.ts";
import type { Reply } from "../caller.ts";
import {
  assertRefused,
  bytesOf,
  CONTEXT,
  KmsFixture,
  openedByOpenssl,
  recipient,
  recipientKeys,
} from "../kms_fixture.ts";
import { HAS_OPENSSL, NO_OPENSSL, openssl } from "../../tls/openssl.ts";
import { divideTests } from "../../../support/share.ts";

const test = divideTests("Deno");

const kms = KmsFixture.use();
const { privateKey, publicKey } = recipientKeys();

/** Test of a refusal: members over the good ones, then the exception and its text. */
type Refusal = readonly [
  what: string,
  members: Readonly<Record<string, unknown>>,
  kmsCode: string,
  message?: RegExp | null,
];

/** Decrypts a ciphertext. */
async function decrypted(CiphertextBlob: unknown, EncryptionContext?: unknown): Promise<Reply> {
  return await kms.call("Decrypt", { CiphertextBlob, EncryptionContext });
}

describe("GenerateDataKey", () => {
  const generate = (members: Readonly<Record<string, unknown>>) =>
    kms.call("GenerateDataKey", { KeyId: kms.key.keyId, ...members });

  test("makes keys of every length, fresh ones, that Decrypt gives back", async () => {
    const seen = new Set<string>();
    const requests = [
      [{ KeySpec: "AES_128" }, 16],
      [{ KeySpec: "AES_256" }, 32],
      ...[1, 16, 64, 1023, 1024].map((n) => [{ NumberOfBytes: n }, n] as const),
    ] as const;
    for (const [members, length] of requests) {
      const reply = await generate(members);
      assert.equal(reply.status, 200, reply.text);
      assert.deepEqual(
        Object.keys(reply.members).sort(),
        ["CiphertextBlob", "KeyId", "KeyMaterialId", "Plaintext"],
      );
      assert.equal(reply.members["KeyId"], kms.key.arn);
      assert.match(String(reply.members["KeyMaterialId"]), /^[0-9a-f]{64}$/);
      assert.equal(bytesOf(reply, "Plaintext").length, length);
      const opened = await decrypted(reply.members["CiphertextBlob"]);
      assert.equal(opened.members["Plaintext"], reply.members["Plaintext"]);
      if (length >= 16) seen.add(String(reply.members["Plaintext"]));
    }
    assert.equal(seen.size, 6);
  });

  test("binds the key to its encryption context", async () => {
    const { members } = await generate({ KeySpec: "AES_256", EncryptionContext: CONTEXT });
    const { CiphertextBlob, Plaintext } = members;
    assert.equal((await decrypted(CiphertextBlob, CONTEXT)).members["Plaintext"], Plaintext);
    for (const context of [undefined, {}, { tenant: "b" }, { ...CONTEXT, more: "x" }]) {
      assertRefused(await decrypted(CiphertextBlob, context), "InvalidCiphertextException", null);
    }
  });

  test.skipIf(!HAS_OPENSSL)(`gives a recipient an envelope, which openssl opens${NO_OPENSSL}`, async () => {
    const Recipient = await recipient(kms.enclave.nsm, publicKey);
    for (
      const [members, length] of [[{ KeySpec: "AES_256" }, 32], [{ NumberOfBytes: 1024 }, 1024]] as const
    ) {
      const reply = await generate({ ...members, Recipient });
      assert.deepEqual(
        Object.keys(reply.members).sort(),
        ["CiphertextBlob", "CiphertextForRecipient", "KeyId", "Plaintext"],
        "and no KeyMaterialId",
      );
      assert.equal(reply.members["Plaintext"], "");
      const dataKey = openedByOpenssl(bytesOf(reply, "CiphertextForRecipient"), privateKey);
      assert.equal(dataKey.length, length);
      const opened = await decrypted(reply.members["CiphertextBlob"]);
      assert.deepEqual(bytesOf(opened, "Plaintext"), dataKey);
    }
  });

  const refusals: readonly Refusal[] = [
    [
      "neither length nor spec",
      {},
      "ValidationException",
      /^Please specify either number of bytes or key spec\.$/,
    ],
    [
      "length and spec",
      { KeySpec: "AES_256", NumberOfBytes: 32 },
      "ValidationException",
      /^Please specify either number of bytes or key spec\.$/,
    ],
    [
      "an unknown spec",
      { KeySpec: "AES_192" },
      "ValidationException",
      /'AES_192' at 'keySpec'.*\[AES_256, AES_128\]$/,
    ],
    [
      "0 bytes",
      { NumberOfBytes: 0 },
      "ValidationException",
      /'0' at 'numberOfBytes'.*greater than or equal to 1$/,
    ],
    ["1025 bytes", { NumberOfBytes: 1025 }, "ValidationException", /'1025' at.*less than or equal to 1024$/],
    ["half a byte", { NumberOfBytes: 1.5 }, "SerializationException"],
    ["a length that is text", { NumberOfBytes: "32" }, "SerializationException"],
    [
      "no key",
      { KeySpec: "AES_256", KeyId: undefined },
      "ValidationException",
      /at 'keyId'.*must not be null$/,
    ],
    ["an unknown key", { KeySpec: "AES_256", KeyId: "fake" }, "NotFoundException", /^Invalid keyId 'fake'$/],
    ["a context that is a list", { KeySpec: "AES_256", EncryptionContext: [] }, "SerializationException"],
  ];
  for (const [what, members, kmsCode, message] of refusals) {
    test(`${what}: ${kmsCode}`, async () => assertRefused(await generate(members), kmsCode, message));
  }

  test("asymmetric keys: InvalidKeyUsageException", async () => {
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const rsa = await kms.enclave.createKey({ spec: "RSA_2048" });
    for (
      const [operation, members] of [["GenerateDataKey", { KeySpec: "AES_256" }], [
        "GenerateDataKeyPair",
        { KeyPairSpec: "ECC_NIST_P256" },
      ]] as const
    ) {
      assertRefused(
        await kms.call(operation, { ...members, KeyId: agreement.arn }),
        "InvalidKeyUsageException",
        new RegExp(`${agreement.arn} key usage is KEY_AGREEMENT which is not valid for ${operation}\\.$`),
      );
      assertRefused(
        await kms.call(operation, { ...members, KeyId: rsa.arn }),
        "InvalidKeyUsageException",
        new RegExp(`${rsa.arn} key KeySpec is RSA_2048 which is not valid for ${operation}\\.$`),
      );
    }
  });
});

describe("GenerateDataKeyPair", () => {
  const generate = (members: Readonly<Record<string, unknown>>) =>
    kms.call("GenerateDataKeyPair", { KeyId: "alias/main", ...members });

  for (const spec of KEY_PAIR_SPECS) {
    test(`makes ${spec}: its halves belong together, and Decrypt gives the private one back`, async () => {
      const reply = await generate({ KeyPairSpec: spec, EncryptionContext: CONTEXT });
      assert.equal(reply.status, 200, reply.text);
      assert.deepEqual(Object.keys(reply.members).sort(), [
        "KeyId",
        "KeyMaterialId",
        "KeyPairSpec",
        "PrivateKeyCiphertextBlob",
        "PrivateKeyPlaintext",
        "PublicKey",
      ]);
      assert.equal(reply.members["KeyPairSpec"], spec);
      assert.equal(reply.members["KeyId"], kms.key.arn);
      const [pkcs8, spki] = [bytesOf(reply, "PrivateKeyPlaintext"), bytesOf(reply, "PublicKey")];
      assertPair(pkcs8, spki);
      assert.deepEqual(kindOf(spki), KINDS[spec]);
      if (HAS_OPENSSL) assertPairForOpenssl(pkcs8, spki);
      const { PrivateKeyCiphertextBlob } = reply.members;
      assert.deepEqual(bytesOf(await decrypted(PrivateKeyCiphertextBlob, CONTEXT), "Plaintext"), pkcs8);
      assertRefused(await decrypted(PrivateKeyCiphertextBlob), "InvalidCiphertextException", null);
    });
  }

  test.skipIf(!HAS_OPENSSL)(`gives a recipient the private key in an envelope${NO_OPENSSL}`, async () => {
    for (const KeyPairSpec of ["ECC_NIST_P384", "RSA_3072"] as const) {
      const Recipient = await recipient(kms.enclave.nsm, publicKey);
      const reply = await generate({ KeyPairSpec, Recipient });
      assert.equal(reply.members["PrivateKeyPlaintext"], "");
      assert.equal("KeyMaterialId" in reply.members, false);
      const envelope = bytesOf(reply, "CiphertextForRecipient");
      assert.ok(envelope.length <= 6144, "within KMS's limit");
      const pkcs8 = openedByOpenssl(envelope, privateKey);
      assertPair(pkcs8, bytesOf(reply, "PublicKey"));
      assert.deepEqual(
        bytesOf(await decrypted(reply.members["PrivateKeyCiphertextBlob"]), "Plaintext"),
        pkcs8,
      );
    }
  });

  const refusals: readonly Refusal[] = [
    ["no spec", {}, "ValidationException", /at 'keyPairSpec'.*must not be null$/],
    [
      "an unknown spec",
      { KeyPairSpec: "RSA_1024" },
      "ValidationException",
      /'RSA_1024' at 'keyPairSpec'.*enum value/,
    ],
    [
      "SM2",
      { KeyPairSpec: "SM2" },
      "UnsupportedOperationException",
      /SM2 is supported in China Regions only/,
    ],
    ["no key", { KeyPairSpec: "RSA_2048", KeyId: undefined }, "ValidationException", /at 'keyId'/],
  ];
  for (const [what, members, kmsCode, message] of refusals) {
    test(`${what}: ${kmsCode}`, async () => assertRefused(await generate(members), kmsCode, message));
  }

  test("a kind that the runtime cannot make is an exception that names the runtime", async () => {
    const fail = () => Promise.reject(new Error("no such curve"));
    await assert.rejects(makeKeyPair("ECC_SECG_P256K1", KEY_PAIR_RECIPES.ECC_SECG_P256K1, fail), {
      kmsCode: "UnsupportedOperationException",
      wireMessage: /^The simulator cannot make ECC_SECG_P256K1 on (Node|Deno) \d+\.\d+\.\d+: no such curve$/,
    });
  });
});

describe("GenerateRandom", () => {
  const generate = (members: Readonly<Record<string, unknown>>) => kms.call("GenerateRandom", members);

  test("makes as many bytes as asked for, other ones each time", async () => {
    for (const NumberOfBytes of [1, 32, 1024]) {
      const reply = await generate({ NumberOfBytes });
      assert.deepEqual(Object.keys(reply.members), ["Plaintext"]);
      assert.equal(bytesOf(reply, "Plaintext").length, NumberOfBytes);
    }
    const [a, b] = await Promise.all([generate({ NumberOfBytes: 32 }), generate({ NumberOfBytes: 32 })]);
    assert.notEqual(a.members["Plaintext"], b.members["Plaintext"]);
  });

  test.skipIf(!HAS_OPENSSL)(`gives a recipient an envelope${NO_OPENSSL}`, async () => {
    for (const NumberOfBytes of [1, 1024]) {
      const Recipient = await recipient(kms.enclave.nsm, publicKey);
      const reply = await generate({ NumberOfBytes, Recipient });
      assert.deepEqual(Object.keys(reply.members).sort(), ["CiphertextForRecipient", "Plaintext"]);
      assert.equal(reply.members["Plaintext"], "");
      const envelope = bytesOf(reply, "CiphertextForRecipient");
      assert.equal(openedByOpenssl(envelope, privateKey).length, NumberOfBytes);
    }
  });

  const refusals: readonly Refusal[] = [
    ["no length", {}, "ValidationException", /^NumberOfBytes is required\.$/],
    [
      "0 bytes",
      { NumberOfBytes: 0 },
      "ValidationException",
      /'0' at 'numberOfBytes'.*greater than or equal to 1$/,
    ],
    ["1025 bytes", { NumberOfBytes: 1025 }, "ValidationException", /'1025' at.*less than or equal to 1024$/],
    [
      "a custom key store",
      { NumberOfBytes: 1, CustomKeyStoreId: "cks-1" },
      "CustomKeyStoreNotFoundException",
    ],
    ["a recipient that is text", { NumberOfBytes: 1, Recipient: "x" }, "SerializationException"],
    [
      "a document that does not hold",
      {
        NumberOfBytes: 1,
        Recipient: { AttestationDocument: "AAAA", KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" },
      },
      "ValidationException",
      /attestation document/,
    ],
  ];
  for (const [what, members, kmsCode, message] of refusals) {
    test(`${what}: ${kmsCode}`, async () => assertRefused(await generate(members), kmsCode, message));
  }
});

/** Details of the public key of each kind that node:crypto must report. */
const KINDS: Readonly<Record<KeyPairSpec, readonly (string | number | undefined)[]>> = {
  RSA_2048: ["rsa", 2048],
  RSA_3072: ["rsa", 3072],
  RSA_4096: ["rsa", 4096],
  ECC_NIST_P256: ["ec", "prime256v1"],
  ECC_NIST_P384: ["ec", "secp384r1"],
  ECC_NIST_P521: ["ec", "secp521r1"],
  ECC_SECG_P256K1: ["ec", "secp256k1"],
  ECC_NIST_EDWARDS25519: ["ed25519", undefined],
};

function kindOf(spki: Uint8Array): readonly (string | number | undefined)[] {
  const { asymmetricKeyType, asymmetricKeyDetails: details } = publicFrom(spki);
  return [asymmetricKeyType, details?.modulusLength ?? details?.namedCurve];
}

function publicFrom(spki: Uint8Array): ReturnType<typeof createPublicKey> {
  return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
}

/** Asserts that the public key verifies what the private one signs, and no other message. */
function assertPair(pkcs8: Uint8Array, spki: Uint8Array): void {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  const digest = DIGESTS[String(key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType)] ?? "sha256";
  const [message, other] = [Buffer.from("message"), Buffer.from(encodeBase64(spki))];
  const signature = sign(digest || null, message, key);
  assert.ok(verify(digest || null, message, publicFrom(spki), signature));
  assert.ok(!verify(digest || null, other, publicFrom(spki), signature));
}

/**
 * Digests by curve or type, where it is not SHA-256: Deno's P-521 refuses shorter ones, Ed25519 has its own.
 */
const DIGESTS: Readonly<Record<string, string>> = { secp384r1: "sha384", secp521r1: "sha512", ed25519: "" };

function assertPairForOpenssl(key: Uint8Array, spki: Uint8Array): void {
  const args = ["pkey", "-inform", "DER", "-in", "key"];
  assert.deepEqual(new Uint8Array(openssl([...args, "-pubout", "-outform", "DER"], { key })), spki);
  const [verdict] = new TextDecoder().decode(openssl([...args, "-noout", "-check"], { key })).split("\n");
  assert.equal(verdict, "Key is valid");
}
