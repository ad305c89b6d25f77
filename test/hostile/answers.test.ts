import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe } from "#test";
import { KmsClient, KmsError, SdkKmsDecryptError } from "../../mod.ts";
import type { KmsOutput } from "../../sim/mod.ts";
import { type EngineCase, WIRE_CASES } from "../support/engines.ts";
import { Besieged, PLAINTEXT } from "./fixture.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const OTHER_PLAINTEXT = "retreat at dusk, tenant blue";
const ENVELOPE_MESSAGE = "Cannot open CiphertextForRecipient: it is not an envelope for this key pair";

for (const engineCase of WIRE_CASES) {
  describe.skipIf(engineCase.skip)(`a ciphertext that was swapped, engine ${engineCase.label}`, () => {
    swapped(engineCase);
  });
  // The C client crashes its host on most of these, or looks at none of them: KMS_FAULTS in sim/ are not for it.
  if (!engineCase.speaksHttps) continue;
  describe.skipIf(engineCase.skip)(`answers for something else, engine ${engineCase.label}`, () => {
    elsewhere(engineCase);
  });
  describe.skipIf(engineCase.skip)(`secrets in clear, engine ${engineCase.label}`, () => inClear(engineCase));
}

/**
 * A party that stores ciphertexts can hand over another one: KMS decrypts whatever the key and the context
 * allow.
 */
function swapped(engineCase: EngineCase): void {
  let besieged: Besieged;

  beforeAll(async () => {
    besieged = await Besieged.start(engineCase);
  });
  afterAll(() => besieged[Symbol.asyncDispose]());

  async function expectKmsRefusal(call: Promise<unknown>, kmsCode: string): Promise<void> {
    const error = await besieged.expectRefused(call, "ERR_KMS", "ERR_SDK_KMS_DECRYPT");
    if (!engineCase.speaksHttps) return assert.ok(error instanceof SdkKmsDecryptError);
    assert.ok(error instanceof KmsError);
    assert.deepEqual([error.kmsCode, error.retryable], [kmsCode, false]);
  }

  test("for one of the same key is refused where the request pins the encryption context", async () => {
    const { client, keyId, enclave: { simulator } } = besieged;
    const [red, blue] = [{ tenant: "red" }, { tenant: "blue" }];
    const swappedIn = await simulator.encrypt({ keyId, plaintext: OTHER_PLAINTEXT, encryptionContext: blue });
    const pinned = client.decrypt({ ciphertext: swappedIn, keyId, encryptionContext: red });
    await expectKmsRefusal(pinned, "InvalidCiphertextException");
    const withNone = client.decrypt({ ciphertext: besieged.ciphertext, keyId, encryptionContext: red });
    await expectKmsRefusal(withNone, "InvalidCiphertextException");
    await expectKmsRefusal(client.decrypt({ ciphertext: swappedIn, keyId }), "InvalidCiphertextException");
    await besieged.expectServed();
  });

  test("for one of another key is refused where the request pins the key", async () => {
    const { client, keyId, enclave: { simulator } } = besieged;
    const { arn } = await simulator.createKey();
    const swappedIn = await simulator.encrypt({ keyId: arn, plaintext: OTHER_PLAINTEXT });
    await expectKmsRefusal(client.decrypt({ ciphertext: swappedIn, keyId }), "IncorrectKeyException");
    await besieged.expectServed();
  });

  test("is noticed by nobody where the request pins nothing: what SECURITY.md has to say", async () => {
    const { client, keyId, enclave: { simulator } } = besieged;
    const { arn } = await simulator.createKey();
    for (const [key, pin] of [[keyId, keyId], [arn, undefined]] as const) {
      const swappedIn = await simulator.encrypt({ keyId: key, plaintext: OTHER_PLAINTEXT });
      using plaintext = await client.decrypt({ ciphertext: swappedIn, keyId: pin });
      assert.equal(new TextDecoder().decode(plaintext.bytes), OTHER_PLAINTEXT);
    }
  });
}

/** Answers that belong to another request: only KMS, or a thief of its TLS key, could send them. */
function elsewhere(engineCase: EngineCase): void {
  let besieged: Besieged;
  const kms = () => besieged.enclave.simulator.kms;

  beforeAll(async () => {
    besieged = await Besieged.start(engineCase);
  });
  beforeEach(() => kms().clearFaults());
  afterAll(() => besieged[Symbol.asyncDispose]());

  /** Captures the members of the next answer, which goes out unchanged. */
  async function capture(ask: () => Promise<Disposable>): Promise<KmsOutput> {
    let captured: KmsOutput = {};
    kms().tamper((members) => captured = members, { times: 1 });
    (await ask())[Symbol.dispose]();
    assert.notDeepEqual(captured, {});
    return captured;
  }

  test("another key: refused by ARN, by key id and by an alias with its owner", async () => {
    const { client, ciphertext, enclave: { simulator } } = besieged;
    const other = await simulator.createKey();
    const alias = `alias/${engineCase.engine}-${engineCase.label.length}`;
    const { arn, keyId } = await simulator.createKey({ alias });
    const owner = arn.slice(0, arn.indexOf("key/"));
    const elsewhere = [
      other.arn,
      arn.replace("us-east-1", "eu-west-1"),
      arn.replace(/:\d{12}:/, ":999999999999:"),
      arn.replace("arn:aws:", "arn:aws-cn:"),
      `${arn}1`,
      arn.slice(0, -1),
      `${owner}alias/app`,
      keyId,
      "",
      null,
      [arn],
      { toString: arn },
    ];
    for (const KeyId of elsewhere) {
      kms().tamper((members) => ({ ...members, KeyId }));
      for (const pinned of [arn, keyId]) {
        // Only the region, account and partition of a bare key id are KMS's to choose.
        const isSameId = pinned === keyId && typeof KeyId === "string" && KeyId.endsWith(`:key/${keyId}`);
        if (isSameId) continue;
        await besieged.expectRefused(client.generateDataKey({ keyId: pinned }), "ERR_PROTOCOL");
        await besieged.expectRefused(
          client.encrypt({ keyId: pinned, plaintext: Uint8Array.of(1) }),
          "ERR_PROTOCOL",
        );
      }
      await kms().clearFaults();
    }
    for (const KeyId of [arn.replace("us-east-1", "eu-west-1"), arn.replace(/:\d{12}:/, ":999999999999:")]) {
      kms().tamper((members) => ({ ...members, KeyId }), { times: 1 });
      await besieged.expectRefused(client.generateDataKey({ keyId: `${owner}${alias}` }), "ERR_PROTOCOL");
    }
    kms().tamper((members) => ({ ...members, KeyId: other.arn }), { times: 1 });
    await besieged.expectRefused(client.decrypt({ ciphertext, keyId: besieged.keyId }), "ERR_PROTOCOL");
    await besieged.expectServed();
  });

  test("another recipient: an envelope for another client opens nothing", async () => {
    const other = await KmsClient.open(besieged.options);
    const theirs = await capture(() => other.decrypt({ ciphertext: besieged.ciphertext }));
    await other.close();
    kms().tamper(() => theirs, { times: 1 });
    const error = await besieged.expectRefused(besieged.decrypt(), "ERR_PROTOCOL");
    assert.equal(error.message, ENVELOPE_MESSAGE);
    await besieged.expectServed();
  });

  test("an earlier key pair: an envelope from before the client was opened anew opens nothing", async () => {
    const ask = async (client: KmsClient) => await client.decrypt({ ciphertext: besieged.ciphertext });
    const earlier = await capture(async () => {
      await using client = await KmsClient.open(besieged.options);
      return await ask(client);
    });
    await using client = await KmsClient.open(besieged.options);
    kms().tamper(() => earlier, { times: 1 });
    const error = await besieged.expectRefused(ask(client), "ERR_PROTOCOL");
    assert.equal(error.message, ENVELOPE_MESSAGE);
    assert.equal(await besieged.decrypt(client), PLAINTEXT);
  });

  test("an earlier request: only its length, its key and TLS tell that an envelope is not this one's", async () => {
    const { client, keyId } = besieged;
    const short = await capture(() => client.generateRandom({ numberOfBytes: 16 }));
    kms().tamper(() => short, { times: 1 });
    await besieged.expectRefused(client.generateRandom({ numberOfBytes: 32 }), "ERR_PROTOCOL");
    kms().tamper(() => ({ ...short, KeyId: keyId, CiphertextBlob: "AQID" }), { times: 1 });
    await besieged.expectRefused(client.generateDataKey({ keyId }), "ERR_PROTOCOL");

    // Of the same length it opens. KMS binds an envelope to a key pair and to no request: SECURITY.md must say so.
    kms().tamper(() => short, { times: 1 });
    using replayed = await client.generateRandom({ numberOfBytes: 16 });
    assert.equal(replayed.length, 16);
    await besieged.expectServed();
  });

  test("another operation: members that are not the ones asked for are refused", async () => {
    const { client, keyId, enclave: { simulator } } = besieged;
    const decrypted = await capture(() => client.decrypt({ ciphertext: besieged.ciphertext }));
    kms().tamper(() => decrypted);
    const agreement = await simulator.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    const publicKey = somePublicKey();
    const mac = await simulator.createKey({ spec: "HMAC_256" });
    const toMac = { message: Uint8Array.of(1), macAlgorithm: "HMAC_SHA_256" } as const;
    const code = createHmac("sha256", mac.secretKey).update(toMac.message).digest();
    const signing = await simulator.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const toSign = { message: Uint8Array.of(1), signingAlgorithm: "ECDSA_SHA_256" } as const;
    const signature = sign("sha256", toSign.message, signing.keyPair.privateKey);
    for (
      const ask of [
        () => client.generateDataKey({ keyId }),
        () => client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" }),
        () => client.deriveSharedSecret({ keyId: agreement.keyId, publicKey }),
        () => client.encrypt({ keyId, plaintext: Uint8Array.of(1) }),
        () => client.generateMac({ keyId: mac.keyId, ...toMac }),
        () => client.verifyMac({ keyId: mac.keyId, ...toMac, mac: code }),
        () => client.sign({ keyId: signing.keyId, ...toSign }),
        () => client.verify({ keyId: signing.keyId, ...toSign, signature }),
        () => client.getPublicKey({ keyId: signing.keyId }),
      ]
    ) await besieged.expectRefused(ask(), "ERR_PROTOCOL");
    await kms().clearFaults();
    await besieged.expectServed();
  });
}

/** Nothing that is meant for an attested enclave comes in clear: what does was made by something else. */
function inClear(engineCase: EngineCase): void {
  let besieged: Besieged;

  beforeAll(async () => {
    besieged = await Besieged.start(engineCase);
  });
  afterAll(() => besieged[Symbol.asyncDispose]());

  const clear = btoa(OTHER_PLAINTEXT);
  for (const member of ["Plaintext", "PrivateKeyPlaintext", "SharedSecret"] as const) {
    for (
      const [place, envelope] of [["beside", {}], ["instead of", {
        CiphertextForRecipient: undefined,
      }]] as const
    ) {
      test(`${member} ${place} CiphertextForRecipient is refused, and does not show`, async () => {
        const { kms } = besieged.enclave.simulator;
        for (const value of [clear, " ", 0, 7, false, [], [clear], {}, { length: 0 }]) {
          kms.tamper((members) => ({ ...members, ...envelope, [member]: value }));
          for (const ask of await callsFor(member)) {
            const error = await besieged.expectRefused(ask(), "ERR_PROTOCOL");
            assert.ok(!error.message.includes(clear));
            assert.match(error.message, new RegExp(`: it has ${member} unencrypted$`));
          }
          await kms.clearFaults();
        }
        await besieged.expectServed();
      });
    }
  }

  test("an empty or absent envelope is refused, whatever stands for nothing in clear", async () => {
    const { client, ciphertext, enclave: { simulator: { kms } } } = besieged;
    for (const CiphertextForRecipient of [undefined, null, "", "=", "AQ", "@@@@", 1, [], {}]) {
      for (const Plaintext of [undefined, null, ""]) {
        kms.tamper((members) => ({ ...members, CiphertextForRecipient, Plaintext }), { times: 1 });
        await besieged.expectRefused(client.decrypt({ ciphertext }), "ERR_PROTOCOL");
      }
    }
    await besieged.expectServed();
  });

  async function callsFor(
    member: "Plaintext" | "PrivateKeyPlaintext" | "SharedSecret",
  ): Promise<readonly (() => Promise<unknown>)[]> {
    const { client, keyId, ciphertext, enclave: { simulator } } = besieged;
    if (member === "PrivateKeyPlaintext") {
      return [() => client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" })];
    }
    if (member === "SharedSecret") {
      const agreement = await simulator.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
      return [() => client.deriveSharedSecret({ keyId: agreement.keyId, publicKey: somePublicKey() })];
    }
    return [
      () => client.decrypt({ ciphertext }),
      () => client.generateDataKey({ keyId }),
      () => client.generateRandom({ numberOfBytes: 16 }),
    ];
  }
}

function somePublicKey(): Uint8Array {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
}
