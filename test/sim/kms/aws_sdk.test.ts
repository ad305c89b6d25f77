/**
 * AWS's own client against the simulator: it refuses answers of another shape than KMS's.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Agent } from "node:https";
import type { LookupFunction } from "node:net";
import { randomBytes } from "node:crypto";
import {
  GenerateMacCommand,
  GetPublicKeyCommand,
  KMSClient,
  KMSInvalidMacException,
  KMSInvalidSignatureException,
  SignCommand,
  VerifyCommand,
  VerifyMacCommand,
} from "@aws-sdk/client-kms";
import { describe, test } from "#test";
import { KmsFixture } from "./kms_fixture.ts";

const kms = KmsFixture.use();

/** Opens AWS's client. The name is KMS's, and only where it leads to is another place. */
function open(): KMSClient {
  const { region, credentials, endpoint, trustedCertificates } = kms.enclave.clientOptions;
  assert.ok(endpoint.transport === "tcp");
  const lookup =
    ((_name, _options, callback) =>
      callback(null, [{ address: endpoint.host, family: 4 }])) as LookupFunction;
  return new KMSClient({
    region,
    credentials,
    endpoint: `https://kms.${region}.amazonaws.com:${endpoint.port}`,
    requestHandler: { httpsAgent: new Agent({ ca: trustedCertificates, lookup }) },
    maxAttempts: 1,
  });
}

const MESSAGE = new Uint8Array(randomBytes(100));

describe("@aws-sdk/client-kms", () => {
  test("makes a MAC and has it verified", async () => {
    using client = disposable(open());
    const { arn: KeyId } = await kms.enclave.createKey({ spec: "HMAC_384" });
    const common = { KeyId, Message: MESSAGE, MacAlgorithm: "HMAC_SHA_384" } as const;
    const { $metadata: _, Mac, ...made } = await client.send(new GenerateMacCommand(common));
    assert.deepEqual(made, { KeyId, MacAlgorithm: "HMAC_SHA_384" });
    assert.equal(Mac?.length, 48);
    const { $metadata: __, ...verified } = await client.send(new VerifyMacCommand({ ...common, Mac }));
    assert.deepEqual(verified, { KeyId, MacAlgorithm: "HMAC_SHA_384", MacValid: true });
    const bad = new VerifyMacCommand({ ...common, Mac: Mac?.with(0, (Mac[0] ?? 0) ^ 1) });
    await assert.rejects(client.send(bad), KMSInvalidMacException);
  });

  test("signs, has it verified, and gets the public key", async () => {
    using client = disposable(open());
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P521", usage: "SIGN_VERIFY" });
    const KeyId = key.arn;
    const common = { KeyId, Message: MESSAGE, SigningAlgorithm: "ECDSA_SHA_512" } as const;
    const { $metadata: _, Signature, ...signed } = await client.send(new SignCommand(common));
    assert.deepEqual(signed, { KeyId, SigningAlgorithm: "ECDSA_SHA_512" });
    const { $metadata: __, ...verified } = await client.send(new VerifyCommand({ ...common, Signature }));
    assert.deepEqual(verified, { KeyId, SignatureValid: true, SigningAlgorithm: "ECDSA_SHA_512" });
    const bad = new VerifyCommand({ ...common, Message: MESSAGE.subarray(1), Signature });
    await assert.rejects(client.send(bad), KMSInvalidSignatureException);
    const { $metadata: ___, PublicKey, ...told } = await client.send(new GetPublicKeyCommand({ KeyId }));
    assert.deepEqual(new Uint8Array(PublicKey ?? []), key.publicKey);
    assert.deepEqual(told, {
      KeyId,
      KeySpec: "ECC_NIST_P521",
      CustomerMasterKeySpec: "ECC_NIST_P521",
      KeyUsage: "SIGN_VERIFY",
      SigningAlgorithms: ["ECDSA_SHA_512"],
    });
  });
});

function disposable(client: KMSClient): KMSClient & Disposable {
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() });
}
