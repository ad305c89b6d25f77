import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient, kmsDecrypt, UnsupportedOperationError } from "../../../mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { OPERATIONS } from "../../../lib/kms/operations/operations.ts";

describe('KmsClient.open({ recipient: "none" })', () => {
  let enclave: Simulator;
  let keyId: string;
  beforeAll(async () => {
    enclave = await startSimulator();
    ({ arn: keyId } = await enclave.createKey());
  });
  afterAll(() => enclave.close());

  /** Options of a client outside of the enclave: the simulator's without its NSM. */
  function outside() {
    const { nsm: _, ...options } = enclave.clientOptions;
    return { ...options, recipient: "none" } as const;
  }

  test("encrypts without an NSM and without a Recipient, and dry-runs Encrypt; an enclave decrypts", async () => {
    await using client = await KmsClient.open(outside());
    assert.equal(client.engine, "direct");
    const plaintext = new TextEncoder().encode("attack at dawn");
    await client.dryRun("encrypt", { keyId, plaintext });
    const before = enclave.kms.requests.length;
    const { ciphertext } = await client.encrypt({ keyId, plaintext });
    const sent = enclave.kms.requests.slice(before);
    assert.deepEqual(sent.map(({ operation }) => operation), ["Encrypt"]);
    assert.doesNotMatch(JSON.stringify(sent), /Recipient/);
    await using inside = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
    using opened = await inside.decrypt({ ciphertext, keyId });
    assert.deepEqual(opened.bytes, plaintext);
  });

  test("signs, verifies and tells public keys, none of which is attested", async () => {
    await using client = await KmsClient.open(outside());
    const { arn } = await enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const request = { keyId: arn, message: new Uint8Array(3), signingAlgorithm: "ECDSA_SHA_256" } as const;
    const { signature } = await client.sign(request);
    assert.deepEqual(await client.verify({ ...request, signature }), { keyId: arn });
    await client.dryRun("sign", request);
    assert.equal((await client.getPublicKey({ keyId: arn })).keyUsage, "SIGN_VERIFY");
  });

  test("makes MACs, which are not attested", async () => {
    await using client = await KmsClient.open(outside());
    const { keyId } = await enclave.createKey({ spec: "HMAC_256" });
    const request = { keyId, message: new Uint8Array(3), macAlgorithm: "HMAC_SHA_256" } as const;
    const { mac, keyId: arn } = await client.generateMac(request);
    assert.equal(mac.length, 32);
    assert.deepEqual(await client.verifyMac({ ...request, mac }), { keyId: arn });
    await client.dryRun("generateMac", request);
  });

  test("refuses by name all that is attested, dry or not, and sends nothing", async () => {
    await using client = await KmsClient.open(outside());
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
    const before = enclave.kms.requests.length;
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      decrypt: () => client.decrypt({ ciphertext }),
      generateDataKey: () => client.generateDataKey({ keyId }),
      generateDataKeyPair: () => client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" }),
      generateRandom: () => client.generateRandom({ numberOfBytes: 1 }),
      deriveSharedSecret: () => client.deriveSharedSecret({ keyId, publicKey: new Uint8Array(91) }),
      "dry decrypt": () => client.dryRun("decrypt", { ciphertext }),
      kmsDecrypt: () => kmsDecrypt({ ...outside(), ciphertext }),
    };
    const attested = Object.entries(OPERATIONS).filter(([, { attested }]) => attested).map(([name]) => name);
    assert.deepEqual(attested.filter((name) => !(name in calls)), []);
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof UnsupportedOperationError, name);
        assert.match(error.message, /^Cannot [a-z ]+: the client was opened with recipient "none"$/);
        assert.match(error.hint, /^KMS would answer with the secret unencrypted/);
        return true;
      });
    }
    assert.equal(enclave.kms.requests.length, before);
  });
});
