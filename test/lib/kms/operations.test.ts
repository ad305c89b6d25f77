import assert from "node:assert/strict";
import {
  constants,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  verify,
} from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe } from "#test";
import {
  type DataKeyPairSpec,
  KmsClient,
  KmsError,
  ProtocolError,
  SdkKmsRequestError,
  SecretBytes,
  UnsupportedOperationError,
} from "../../../mod.ts";
import { attestedKeyPolicy } from "../../../sim/mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";
import { shareKeyOfDouble } from "../../support/sdk_double.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

const KEY_PAIRS: readonly DataKeyPairSpec[] = [
  "RSA_2048",
  "ECC_SECG_P256K1",
  "ECC_NIST_P256",
  "ECC_NIST_P384",
];

/** A key and an algorithm of each scheme. */
const SIGNATURES = [
  ["RSA_2048", "RSASSA_PSS_SHA_256"],
  ["RSA_2048", "RSASSA_PKCS1_V1_5_SHA_512"],
  ["ECC_NIST_P256", "ECDSA_SHA_256"],
  ["ECC_NIST_P384", "ECDSA_SHA_384"],
  ["ECC_NIST_P521", "ECDSA_SHA_512"],
  ["ECC_NIST_EDWARDS25519", "ED25519_SHA_512"],
] as const;

const CONTEXT = { tenant: "a", "grüße": "日本" };

shareKeyOfDouble();

for (const engineCase of ENGINE_CASES) {
  describe.skipIf(engineCase.skip)(`operations, engine ${engineCase.label}`, () => {
    if (engineCase.speaksHttps) suite(engineCase);
    else cClient(engineCase);
  });
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let client: KmsClient;

  beforeAll(async () => {
    enclave = await startEnclave();
    client = await KmsClient.open(enclave.optionsFor(engineCase));
  });
  beforeEach(() => enclave.simulator.kms.clearFaults());
  afterAll(async () => {
    await client.close();
    await enclave[Symbol.asyncDispose]();
  });

  /** A key that works for this enclave's PCR0 only. */
  const attestedKey = () => {
    const { simulator } = enclave;
    return simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
  };

  for (
    const [request, length] of [[{}, 32], [{ keySpec: "AES_128" }, 16], [
      { numberOfBytes: 1024 },
      1024,
    ]] as const
  ) {
    test(`generates a data key of ${length} bytes, which decrypts again`, async () => {
      const { keyId, arn } = await attestedKey();
      using dataKey = await client.generateDataKey({ keyId, ...request, encryptionContext: CONTEXT });
      assert.equal(dataKey.plaintext.length, length);
      assert.equal(dataKey.keyId, arn);
      using again = await client.decrypt({
        ciphertext: dataKey.ciphertext,
        keyId,
        encryptionContext: CONTEXT,
      });
      assert.deepEqual(again.bytes, dataKey.plaintext.bytes);
      await assert.rejects(
        client.decrypt({ ciphertext: dataKey.ciphertext }),
        isRefusal("InvalidCiphertextException"),
      );
    });
  }

  test("two data keys differ, and disposing one wipes it", async () => {
    const { keyId } = await attestedKey();
    const first = await client.generateDataKey({ keyId });
    using second = await client.generateDataKey({ keyId });
    assert.notDeepEqual(first.plaintext.bytes, second.plaintext.bytes);
    const { bytes } = first.plaintext;
    first[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
    assert.throws(() => first.plaintext.bytes, /disposed/);
  });

  for (const keyPairSpec of KEY_PAIRS) {
    test(`generates a key pair of kind ${keyPairSpec}`, async () => {
      const { keyId, arn } = await attestedKey();
      using pair = await client.generateDataKeyPair({ keyId, keyPairSpec, encryptionContext: CONTEXT });
      assert.deepEqual([pair.keyId, pair.keyPairSpec], [arn, keyPairSpec]);
      const privateKey = createPrivateKey({
        key: Buffer.from(pair.privateKey.bytes),
        format: "der",
        type: "pkcs8",
      });
      const publicKey = createPublicKey(privateKey).export({ format: "der", type: "spki" });
      assert.deepEqual(new Uint8Array(publicKey), pair.publicKey);
      using again = await client.decrypt({
        ciphertext: pair.privateKeyCiphertext,
        encryptionContext: CONTEXT,
      });
      assert.deepEqual(again.bytes, pair.privateKey.bytes);
    });
  }

  for (const numberOfBytes of [1, 32, 1024]) {
    test(`generates ${numberOfBytes} random bytes`, async () => {
      using random = await client.generateRandom({ numberOfBytes });
      assert.equal(random.length, numberOfBytes);
      using other = await client.generateRandom({ numberOfBytes: 1024 });
      assert.ok(new Set(other.bytes).size > 200, "1024 random bytes have about 251 of the 256 values");
    });
  }

  test("derives the secret that the peer derives", async () => {
    const key = await enclave.simulator.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    const peer = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const publicKey = new Uint8Array(peer.publicKey.export({ format: "der", type: "spki" }));
    using secret = await client.deriveSharedSecret({ keyId: key.keyId, publicKey });
    assert.ok(key.publicKey);
    const kmsKey = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
    const expected = diffieHellman({ privateKey: peer.privateKey, publicKey: kmsKey });
    assert.deepEqual(secret.bytes, new Uint8Array(expected));
  });

  for (const bits of [224, 256, 384, 512] as const) {
    test(`makes the MAC of HMAC_SHA_${bits} that node:crypto makes, without a Recipient`, async () => {
      const key = await enclave.simulator.createKey({ spec: `HMAC_${bits}` });
      const message = new Uint8Array(randomBytes(4096));
      const { keyId } = key;
      const { mac, keyId: arn } = await client.generateMac({
        keyId,
        message,
        macAlgorithm: `HMAC_SHA_${bits}`,
      });
      assert.equal(arn, key.arn);
      const expected = createHmac(`sha${bits}`, key.secretKey).update(message).digest();
      assert.deepEqual(mac, new Uint8Array(expected));
      await client.dryRun("generateMac", { keyId, message, macAlgorithm: `HMAC_SHA_${bits}` });
      const other = bits === 256 ? "HMAC_SHA_512" : "HMAC_SHA_256";
      await assert.rejects(
        client.generateMac({ keyId, message, macAlgorithm: other }),
        isRefusal("InvalidKeyUsageException"),
      );
    });
  }

  for (const [spec, signingAlgorithm] of SIGNATURES) {
    test(`signs with ${signingAlgorithm} under ${spec}, and knows its signature again`, async () => {
      const { simulator } = enclave;
      const { arn: keyId, publicKey } = await simulator.createKey({ spec, usage: "SIGN_VERIFY" });
      const message = new Uint8Array(randomBytes(4096));
      const request = { keyId, message, signingAlgorithm };
      const { signature } = await client.sign(request);
      assert.deepEqual(await client.verify({ ...request, signature }), { keyId });
      await client.dryRun("sign", request);
      await client.dryRun("verify", { ...request, signature });
      const told = await client.getPublicKey({ keyId });
      assert.deepEqual([told.publicKey, told.keySpec, told.keyUsage], [publicKey, spec, "SIGN_VERIFY"]);
      assert.ok(told.algorithms.includes(signingAlgorithm));
      const key = createPublicKey({ key: Buffer.from(told.publicKey), format: "der", type: "spki" });
      const hashName = spec === "ECC_NIST_EDWARDS25519" ? null : `sha${signingAlgorithm.slice(-3)}`;
      const padding = signingAlgorithm.startsWith("RSASSA_PSS")
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : {};
      assert.ok(verify(hashName, message, { key, ...padding }, signature));
      const invalid = isRefusal("KMSInvalidSignatureException");
      await assert.rejects(client.verify({ ...request, message: message.subarray(1), signature }), invalid);
      await assert.rejects(client.dryRun("verify", { ...request, signature: Uint8Array.of(1) }), invalid);
    });
  }

  test("signs a digest: the signature is the message's", async () => {
    const { arn: keyId } = await enclave.simulator.createKey({
      spec: "ECC_NIST_P384",
      usage: "SIGN_VERIFY",
    });
    const message = new Uint8Array(randomBytes(4096));
    const digest = createHash("sha384").update(message).digest();
    const common = { keyId, signingAlgorithm: "ECDSA_SHA_384" } as const;
    const { signature } = await client.sign({ ...common, message: digest, messageType: "DIGEST" });
    assert.deepEqual(await client.verify({ ...common, message, signature }), { keyId });
  });

  test("a MAC that is not the message's is an error, as is one of another key", async () => {
    const { simulator } = enclave;
    const { arn: keyId } = await simulator.createKey({ spec: "HMAC_256" });
    const request = { keyId, message: Uint8Array.of(1), macAlgorithm: "HMAC_SHA_256" } as const;
    const { mac } = await client.generateMac(request);
    assert.deepEqual(await client.verifyMac({ ...request, mac }), { keyId });
    const invalid = isRefusal("KMSInvalidMacException");
    await assert.rejects(client.verifyMac({ ...request, message: Uint8Array.of(2), mac }), invalid);
    const { arn: other } = await simulator.createKey({ spec: "HMAC_256" });
    await assert.rejects(client.verifyMac({ ...request, keyId: other, mac }), invalid);
  });

  test("an attested key policy lets nobody sign, the enclave neither: KMS takes no document for it", async () => {
    const { simulator } = enclave;
    const condition = { StringEquals: { "kms:RecipientAttestation:PCR0": simulator.nsm.pcr(0) } };
    const { keyId } = await simulator.createKey({
      spec: "ECC_NIST_P256",
      usage: "SIGN_VERIFY",
      policy: { Statement: [{ Effect: "Allow", Action: "kms:Sign", Condition: condition }] },
    });
    const request = { keyId, message: Uint8Array.of(1), signingAlgorithm: "ECDSA_SHA_256" } as const;
    await assert.rejects(client.sign(request), isRefusal("AccessDeniedException"));
  });

  for (const length of [1, 32, 33, 34, 4096]) {
    test(`encrypts ${length} bytes, which decrypt again`, async () => {
      const { keyId, arn } = await attestedKey();
      const plaintext = new Uint8Array(randomBytes(length));
      const encrypted = await client.encrypt({ keyId, plaintext, encryptionContext: CONTEXT });
      assert.equal(encrypted.keyId, arn);
      using again = await client.decrypt({ ciphertext: encrypted.ciphertext, encryptionContext: CONTEXT });
      assert.deepEqual(again.bytes, plaintext);
    });
  }

  test("encrypts SecretBytes, which stay the caller's", async () => {
    const { keyId } = await attestedKey();
    using plaintext = new SecretBytes(new Uint8Array([1, 2, 3]));
    const { ciphertext } = await client.encrypt({ keyId, plaintext });
    using again = await client.decrypt({ ciphertext });
    assert.deepEqual(again.bytes, plaintext.bytes);
  });

  test("a policy that names another PCR0 lets it generate nothing", async () => {
    const { keyId } = await enclave.simulator.createKey({
      policy: attestedKeyPolicy({ 0: "ab".repeat(48) }),
    });
    const refused = isRefusal("AccessDeniedException");
    await assert.rejects(client.generateDataKey({ keyId }), refused);
    await assert.rejects(client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" }), refused);
  });

  test("a grant's token opens what the policy does not", async () => {
    const { simulator } = enclave;
    const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: "ab".repeat(48) }) });
    const { grantToken } = simulator.kms.createGrant({ keyId, operations: ["GenerateDataKey", "Decrypt"] });
    using dataKey = await client.generateDataKey({ keyId, grantTokens: [grantToken] });
    using again = await client.decrypt({ ciphertext: dataKey.ciphertext, grantTokens: [grantToken] });
    assert.deepEqual(again.bytes, dataKey.plaintext.bytes);
    await assert.rejects(client.generateDataKey({ keyId }), isRefusal("AccessDeniedException"));
    await assert.rejects(
      client.generateDataKey({ keyId, grantTokens: ["no such token"] }),
      isRefusal("InvalidGrantTokenException"),
    );
  });

  test("a dry run says whether KMS would, and does nothing", async () => {
    const key = await attestedKey();
    const { keyId } = key;
    const ciphertext = await enclave.simulator.encrypt({ keyId, plaintext: "x" });
    const peer = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const publicKey = new Uint8Array(peer.publicKey.export({ format: "der", type: "spki" }));
    const agreement = await enclave.simulator.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    await client.dryRun("decrypt", { ciphertext });
    await client.dryRun("encrypt", { keyId, plaintext: new Uint8Array(1) });
    await client.dryRun("generateDataKey", { keyId });
    await client.dryRun("generateDataKeyPair", { keyId, keyPairSpec: "RSA_2048" });
    await client.dryRun("deriveSharedSecret", { keyId: agreement.keyId, publicKey });
    key.state = "Disabled";
    await assert.rejects(client.dryRun("decrypt", { ciphertext }), isRefusal("DisabledException"));
    await assert.rejects(client.dryRun("generateDataKey", { keyId }), isRefusal("DisabledException"));
    const unknown = "toString" as "decrypt";
    await assert.rejects(client.dryRun(unknown, { ciphertext }), { name: "TypeError" });
  });

  test("an answer for another key is refused, by ARN and by key id", async () => {
    const { keyId, arn } = await attestedKey();
    await enclave.simulator.kms.injectFault({ kind: "wrongKeyId" });
    for (const pinned of [keyId, arn]) {
      const expected = (error: unknown) =>
        error instanceof ProtocolError && /KeyId is not the key/.test(error.message);
      await assert.rejects(client.generateDataKey({ keyId: pinned }), expected);
      await assert.rejects(
        client.generateDataKeyPair({ keyId: pinned, keyPairSpec: "ECC_NIST_P256" }),
        expected,
      );
      await assert.rejects(client.encrypt({ keyId: pinned, plaintext: new Uint8Array(1) }), expected);
    }
  });
}

/** The C client has calls for some operations, takes fewer options, and does not say why KMS refused. */
function cClient(engineCase: EngineCase): void {
  let enclave: Enclave;
  let client: KmsClient;
  let keyId: string;

  beforeAll(async () => {
    enclave = await startEnclave();
    client = await KmsClient.open(enclave.optionsFor(engineCase));
    const { simulator } = enclave;
    const policy = attestedKeyPolicy({ 0: simulator.nsm.pcr(0) });
    keyId = (await simulator.createKey({ policy })).keyId;
  });
  afterAll(async () => {
    await client.close();
    await enclave[Symbol.asyncDispose]();
  });

  test("generates data keys, which decrypt again", async () => {
    for (const [keySpec, length] of [["AES_256", 32], ["AES_128", 16]] as const) {
      using dataKey = await client.generateDataKey({ keyId, keySpec });
      assert.deepEqual([dataKey.plaintext.length, dataKey.keyId], [length, keyId]);
      using again = await client.decrypt({ ciphertext: dataKey.ciphertext });
      assert.deepEqual(again.bytes, dataKey.plaintext.bytes);
    }
  });

  test("generates random bytes", async () => {
    for (const numberOfBytes of [1, 1024]) {
      using random = await client.generateRandom({ numberOfBytes });
      assert.equal(random.length, numberOfBytes);
    }
  });

  test("encrypts with an encryption context, and decrypts again", async () => {
    const plaintext = new Uint8Array(randomBytes(100));
    for (const encryptionContext of [CONTEXT, undefined]) {
      const { ciphertext } = await client.encrypt({ keyId, plaintext, encryptionContext });
      using again = await client.decrypt({ ciphertext, encryptionContext });
      assert.deepEqual(again.bytes, plaintext);
    }
  });

  test("a refusal of KMS is an error without a reason", async () => {
    const { simulator } = enclave;
    const policy = attestedKeyPolicy({ 0: "ab".repeat(48) });
    const forbidden = (await simulator.createKey({ policy })).keyId;
    await assert.rejects(client.generateDataKey({ keyId: forbidden }), { code: "ERR_SDK_KMS_REQUEST" });
    await simulator.kms.injectFault({ kind: "throttled" });
    await assert.rejects(client.generateRandom({ numberOfBytes: 1 }), SdkKmsRequestError);
    await simulator.kms.clearFaults();
    using random = await client.generateRandom({ numberOfBytes: 1 });
    assert.equal(random.length, 1);
  });

  test("refuses what C has no call for before anything is sent, and goes on", async () => {
    const ciphertext = await enclave.simulator.encrypt({ keyId, plaintext: "x" });
    const requests = enclave.simulator.kms.requests.length;
    const plaintext = new Uint8Array(1);
    const grantTokens = ["token"];
    const refused = [
      () => client.deriveSharedSecret({ keyId, publicKey: new Uint8Array([1]) }),
      () => client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" }),
      () => client.generateDataKey({ keyId, encryptionContext: CONTEXT }),
      () => client.generateDataKey({ keyId, numberOfBytes: 32 }),
      () => client.generateDataKey({ keyId, grantTokens }),
      () => client.encrypt({ keyId, plaintext, encryptionAlgorithm: "RSAES_OAEP_SHA_256" }),
      () => client.encrypt({ keyId, plaintext, grantTokens }),
      () => client.decrypt({ ciphertext, grantTokens }),
      () => client.dryRun("decrypt", { ciphertext }),
    ];
    for (const ask of refused) await assert.rejects(ask(), UnsupportedOperationError, ask.toString());
    assert.equal(enclave.simulator.kms.requests.length, requests);
    using plain = await client.decrypt({ ciphertext });
    assert.equal(plain.length, 1);
  });
}

function isRefusal(kmsCode: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof KmsError, String(error));
    assert.equal(error.kmsCode, kmsCode);
    return true;
  };
}
