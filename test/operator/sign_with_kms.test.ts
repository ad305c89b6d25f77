import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPublicKey, verify } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "#test";
import { kmsImageSigner } from "../../deploy/eif/kms_image_signer.ts";
import { makeSignature } from "../../deploy/eif/signature.ts";
import { EnclaveKmsError, ImageError, KmsError } from "../../lib/core/errors.ts";
import { KmsClient } from "../../lib/kms/kms_client.ts";
import { type KmsSigningClient, type KmsSigningKey, signWithKms } from "../../operator/sign_with_kms.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";

const MESSAGE = new TextEncoder().encode("attack at dawn");

let simulator: Simulator;
let client: KmsClient;
beforeAll(async () => {
  simulator = await startSimulator();
  const { nsm: _, ...options } = simulator.clientOptions;
  client = await KmsClient.open({ ...options, recipient: "none" });
});
afterAll(async () => {
  await client?.close();
  await simulator?.close();
});

const makeKey = (spec: "ECC_NIST_P384" | "ECC_NIST_P256") =>
  simulator.createKey({ spec, usage: "SIGN_VERIFY" });

describe("signWithKms()", () => {
  test("signs as COSE's ES384, which OpenSSL verifies with the key of KMS", async () => {
    const { arn: keyArn } = await makeKey("ECC_NIST_P384");
    const { publicKey } = await client.getPublicKey({ keyId: keyArn });
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    // r and s begin with zeros now and then, which DER leaves out.
    for (let round = 0; round < 20; round++) {
      const signature = await signWithKms(client, MESSAGE, { keyArn });
      assert.equal(signature.length, 96);
      assert.ok(verify("sha384", MESSAGE, { key, dsaEncoding: "ieee-p1363" }, signature));
    }
  });

  test("refuses a key that is not named by its ARN, and what it does not know", async () => {
    const { keyId, arn: keyArn } = await makeKey("ECC_NIST_P384");
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ keyArn: keyId }, /keyArn must be the ARN of a key/],
      [{ keyArn: keyArn.replace(/key\/.*/, "alias/images") }, /keyArn must be the ARN of a key/],
      [{}, /keyArn must be the ARN of a key/],
      [{ keyArn, keyID: keyArn }, /no field `keyID`/],
    ];
    for (const [key, message] of cases) {
      await assert.rejects(signWithKms(client, MESSAGE, key as KmsSigningKey), (error) => {
        return error instanceof TypeError && message.test(error.message);
      });
    }
    await assert.rejects(signWithKms(client, new Uint8Array(), { keyArn }), RangeError);
    await assert.rejects(signWithKms(client, new Uint8Array(4097), { keyArn }), RangeError);
  });

  test("passes on what KMS refuses: a key on another curve, and one that is not there", async () => {
    const { arn } = await makeKey("ECC_NIST_P256");
    await assert.rejects(signWithKms(client, MESSAGE, { keyArn: arn }), KmsError);
    const gone = arn.replace(/[0-9a-f-]{36}$/, "1234abcd-12ab-34cd-56ef-1234567890ab");
    await assert.rejects(signWithKms(client, MESSAGE, { keyArn: gone }), KmsError);
  });

  test("refuses an answer that is no signature on P-384", async () => {
    const { arn: keyArn } = await makeKey("ECC_NIST_P384");
    const answers = [[], [0x30, 0], [0x30, 3, 2, 1, 1], [0x30, 6, 2, 1, 1, 2, 1, 0x81], [
      ...Array(96).keys(),
    ]];
    for (const answer of answers) {
      const hostile: KmsSigningClient = {
        sign: () => Promise.resolve({ signature: Uint8Array.from(answer) }),
      };
      await assert.rejects(signWithKms(hostile, MESSAGE, { keyArn }), EnclaveKmsError, String(answer));
    }
  });

  test("makes no signature of an image when the certificate is none", async () => {
    const { arn: keyArn } = await makeKey("ECC_NIST_P384");
    const signer = kmsImageSigner(client, "no certificate", { keyArn });
    await assert.rejects(makeSignature(new Uint8Array(48), signer), ImageError);
  });
});
