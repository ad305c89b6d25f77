import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { describe, test } from "#test";
import { encodeBase64 } from "../../../../lib/core/encoding.ts";
import type { SimulatedKey } from "../../../../sim/kms/keys/simulated_key.ts";
import type { Reply } from "../caller.ts";
import { assertRefused, bytesOf, KmsFixture } from "../kms_fixture.ts";

const kms = KmsFixture.use();

/** Kinds of keys: algorithm and length of the code. */
const SPECS = {
  HMAC_224: ["HMAC_SHA_224", 28],
  HMAC_256: ["HMAC_SHA_256", 32],
  HMAC_384: ["HMAC_SHA_384", 48],
  HMAC_512: ["HMAC_SHA_512", 64],
} as const;

type Spec = keyof typeof SPECS;

const MESSAGE = encodeBase64(new TextEncoder().encode("pay 5 to Ann"));

function generate(key: SimulatedKey, members: Readonly<Record<string, unknown>> = {}): Promise<Reply> {
  const [MacAlgorithm] = SPECS[key.spec as Spec] ?? ["HMAC_SHA_256"];
  return kms.call("GenerateMac", { KeyId: key.arn, Message: MESSAGE, MacAlgorithm, ...members });
}

describe("VerifyMac", () => {
  test("says yes to the code of the message, and refuses every other", async () => {
    const key = await kms.enclave.createKey({ spec: "HMAC_256" });
    const mac = bytesOf(await generate(key), "Mac");
    const MacAlgorithm = "HMAC_SHA_256";
    const verify = (Mac: Uint8Array | undefined, members = {}) =>
      kms.call("VerifyMac", {
        KeyId: key.arn,
        Message: MESSAGE,
        MacAlgorithm,
        Mac: Mac && encodeBase64(Mac),
        ...members,
      });
    const good = await verify(mac);
    assert.deepEqual(good.members, { KeyId: key.arn, MacAlgorithm, MacValid: true });
    const others = [
      mac.with(0, (mac[0] ?? 0) ^ 1),
      mac.subarray(1),
      new Uint8Array(32),
      new Uint8Array(6144),
    ];
    for (const wrong of [...others, Buffer.concat([mac, Uint8Array.of(0)])]) {
      assertRefused(await verify(wrong), "KMSInvalidMacException", null);
      assertRefused(await verify(wrong, { DryRun: true }), "KMSInvalidMacException", null);
    }
    assertRefused(await verify(mac, { Message: "AAAA" }), "KMSInvalidMacException", null);
    assertRefused(await verify(mac, { DryRun: true }), "DryRunOperationException");
    const other = await kms.enclave.createKey({ spec: "HMAC_256" });
    assertRefused(await verify(mac, { KeyId: other.arn }), "KMSInvalidMacException", null);
    assertRefused(await verify(undefined), "ValidationException", /at 'mac'.*must not be null$/);
    const long = await verify(new Uint8Array(6145));
    assertRefused(long, "ValidationException", /at 'mac'.*less than or equal to 6144$/);
  });
});

describe("GenerateMac", () => {
  for (const [spec, [MacAlgorithm, length]] of Object.entries(SPECS)) {
    test(`makes of ${spec} what node:crypto makes`, async () => {
      const key = await kms.enclave.createKey({ spec: spec as Spec });
      assert.equal(key.usage, "GENERATE_VERIFY_MAC");
      assert.equal(key.secretKey.length, length);
      const message = randomBytes(4096);
      const reply = await generate(key, { Message: encodeBase64(message) });
      assert.equal(reply.status, 200, reply.text);
      const { Mac: _, ...others } = reply.members;
      assert.deepEqual(others, { KeyId: key.arn, MacAlgorithm });
      const expected = createHmac(MacAlgorithm.slice(5).replace("_", ""), key.secretKey).update(message);
      assert.deepEqual(Buffer.from(bytesOf(reply, "Mac")), expected.digest());
    });
  }

  test("another algorithm than the key's: InvalidKeyUsageException", async () => {
    for (const spec of Object.keys(SPECS) as Spec[]) {
      const key = await kms.enclave.createKey({ spec });
      for (const [other, [MacAlgorithm]] of Object.entries(SPECS)) {
        const reply = await generate(key, { MacAlgorithm });
        if (other === spec) assert.equal(reply.status, 200);
        else {
          assertRefused(
            reply,
            "InvalidKeyUsageException",
            new RegExp(`^Algorithm ${MacAlgorithm} is incompatible with key spec ${spec}\\.$`),
          );
        }
      }
    }
  });

  test("keys that are for something else: InvalidKeyUsageException", async () => {
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    for (const key of [kms.key, agreement]) {
      const reply = await generate(key);
      assertRefused(reply, "InvalidKeyUsageException");
      const message = `${key.arn} key usage is ${key.usage} which is not valid for GenerateMac.`;
      assert.equal(reply.members["message"], message);
    }
    const key = await kms.enclave.createKey({ spec: "HMAC_256" });
    for (
      const [operation, members] of [
        ["Encrypt", { Plaintext: "AAAA" }],
        ["GenerateDataKey", { KeySpec: "AES_256" }],
        ["DeriveSharedSecret", { KeyAgreementAlgorithm: "ECDH", PublicKey: "AAAA" }],
      ] as const
    ) {
      const reply = await kms.call(operation, { ...members, KeyId: key.arn });
      assertRefused(
        reply,
        "InvalidKeyUsageException",
        /key usage is GENERATE_VERIFY_MAC which is not valid for/,
      );
    }
  });

  test("members that are missing, unknown or too long: ValidationException", async () => {
    const key = await kms.enclave.createKey({ spec: "HMAC_256" });
    const wrong = [
      [{ MacAlgorithm: "HMAC_SHA_1" }, /'HMAC_SHA_1' at 'macAlgorithm'.*\[HMAC_SHA_224, .*512\]$/],
      [{ MacAlgorithm: undefined }, /at 'macAlgorithm'.*must not be null$/],
      [{ Message: undefined }, /at 'message'.*must not be null$/],
      [{ Message: "" }, /at 'message'.*greater than or equal to 1$/],
      [{ Message: encodeBase64(new Uint8Array(4097)) }, /at 'message'.*less than or equal to 4096$/],
      [{ KeyId: undefined }, /at 'keyId'.*must not be null$/],
    ] as const;
    for (const [members, message] of wrong) {
      assertRefused(await generate(key, members), "ValidationException", message);
    }
  });

  test("a Recipient and an encryption context, which it does not know, are ignored", async () => {
    const key = await kms.enclave.createKey({ spec: "HMAC_256" });
    const plain = await generate(key);
    const more = await generate(key, { Recipient: { AttestationDocument: 7 }, EncryptionContext: 1 });
    assert.equal(more.members["Mac"], plain.members["Mac"]);
    assert.equal("CiphertextForRecipient" in more.members, false);
  });
});
