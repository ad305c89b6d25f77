import assert from "node:assert/strict";
import { describe, test } from "#test";
import { assertRefused, bytesOf, KmsFixture } from "../kms_fixture.ts";

const kms = KmsFixture.use();

const RSA_SIGNING = ["PKCS1_V1_5", "PSS"].flatMap((padding) =>
  [256, 384, 512].map((bits) => `RSASSA_${padding}_SHA_${bits}`)
);

describe("GetPublicKey", () => {
  for (
    const [spec, usage, algorithms] of [
      ["RSA_2048", "ENCRYPT_DECRYPT", { EncryptionAlgorithms: ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] }],
      ["RSA_2048", "SIGN_VERIFY", { SigningAlgorithms: RSA_SIGNING }],
      ["ECC_NIST_P256", "KEY_AGREEMENT", { KeyAgreementAlgorithms: ["ECDH"] }],
      ["ECC_NIST_P384", "SIGN_VERIFY", { SigningAlgorithms: ["ECDSA_SHA_384"] }],
      ["ECC_SECG_P256K1", "SIGN_VERIFY", { SigningAlgorithms: ["ECDSA_SHA_256"] }],
      ["ECC_NIST_EDWARDS25519", "SIGN_VERIFY", {
        SigningAlgorithms: ["ED25519_SHA_512", "ED25519_PH_SHA_512"],
      }],
    ] as const
  ) {
    test(`tells the public key of ${spec} for ${usage}, and its algorithms`, async () => {
      const key = await kms.enclave.createKey({ spec, usage });
      const reply = await kms.call("GetPublicKey", { KeyId: key.arn, Recipient: 7, DryRun: 7 });
      assert.equal(reply.status, 200, reply.text);
      assert.deepEqual(bytesOf(reply, "PublicKey"), key.publicKey);
      const { PublicKey: _, ...others } = reply.members;
      const names = { KeySpec: spec, CustomerMasterKeySpec: spec, KeyUsage: usage };
      assert.deepEqual(others, { KeyId: key.arn, ...names, ...algorithms });
    });
  }

  test("symmetric keys have none: UnsupportedOperationException", async () => {
    const mac = await kms.enclave.createKey({ spec: "HMAC_256" });
    for (const key of [kms.key, mac]) {
      assertRefused(await kms.call("GetPublicKey", { KeyId: key.arn }), "UnsupportedOperationException");
    }
  });

  test("asks the key's policy and its state", async () => {
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P256", policy: { Statement: [] } });
    const call = () => kms.call("GetPublicKey", { KeyId: key.arn });
    assertRefused(await call(), "AccessDeniedException", /kms:GetPublicKey on resource/);
    key.policy = { Statement: [{ Effect: "Allow", Action: "kms:GetPublicKey" }] };
    assert.equal((await call()).status, 200);
    key.state = "Disabled";
    assertRefused(await call(), "DisabledException");
  });

  test("a grant permits it", async () => {
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P256", policy: { Statement: [] } });
    const { grantToken } = kms.enclave.kms.createGrant({ keyId: key.arn, operations: ["GetPublicKey"] });
    const reply = await kms.call("GetPublicKey", { KeyId: key.arn, GrantTokens: [grantToken] });
    assert.equal(reply.status, 200, reply.text);
  });

  test("a key that does not exist, or is not named", async () => {
    const KeyId = "00000000-0000-4000-8000-000000000000";
    assertRefused(await kms.call("GetPublicKey", { KeyId }), "NotFoundException");
    assertRefused(await kms.call("GetPublicKey", {}), "ValidationException", /at 'keyId'/);
  });
});
