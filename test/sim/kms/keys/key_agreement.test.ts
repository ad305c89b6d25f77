import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, test } from "#test";
import { encodeBase64 } from "../../../../lib/core/encoding.ts";
import type { SimulatedKey } from "../../../../sim/kms/keys/simulated_key.ts";
import type { Reply } from "../caller.ts";
import {
  assertRefused,
  bytesOf,
  KmsFixture,
  openedByOpenssl,
  recipient,
  recipientKeys,
} from "../kms_fixture.ts";
import { HAS_OPENSSL, NO_OPENSSL, openssl } from "../../tls/openssl.ts";

const kms = KmsFixture.use();

/** The curves, by KMS's names: node:crypto's name, and the length of a coordinate in bytes. */
const CURVES = {
  ECC_NIST_P256: ["P-256", 32],
  ECC_NIST_P384: ["P-384", 48],
  ECC_NIST_P521: ["P-521", 66],
} as const;
type Curve = keyof typeof CURVES;
const SPECS = Object.keys(CURVES) as readonly Curve[];

/** Makes a peer outside of KMS. */
function peerOn(namedCurve: string): { privateKey: KeyObject; spki: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
  return { privateKey, spki: encodeBase64(publicKey.export({ type: "spki", format: "der" })) };
}

function derive(key: SimulatedKey, members: Readonly<Record<string, unknown>>): Promise<Reply> {
  return kms.call("DeriveSharedSecret", { KeyId: key.arn, KeyAgreementAlgorithm: "ECDH", ...members });
}

function spkiOf(key: SimulatedKey): Uint8Array<ArrayBuffer> {
  assert.ok(key.publicKey !== undefined);
  return key.publicKey;
}

describe("DeriveSharedSecret", () => {
  for (const spec of SPECS) {
    test(`derives on ${spec} what node:crypto derives`, async () => {
      const [namedCurve, length] = CURVES[spec];
      const key = await kms.enclave.createKey({ spec });
      const peer = peerOn(namedCurve);
      const reply = await derive(key, { PublicKey: peer.spki });
      assert.equal(reply.status, 200, reply.text);
      const { SharedSecret: _, ...others } = reply.members;
      assert.deepEqual(others, { KeyAgreementAlgorithm: "ECDH", KeyId: key.arn, KeyOrigin: "AWS_KMS" });
      const publicKey = createPublicKey({ key: Buffer.from(spkiOf(key)), format: "der", type: "spki" });
      const expected = new Uint8Array(diffieHellman({ privateKey: peer.privateKey, publicKey }));
      assert.deepEqual(bytesOf(reply, "SharedSecret"), expected);
      assert.equal(expected.length, length);
    });

    test.skipIf(!HAS_OPENSSL)(`derives on ${spec} what openssl derives${NO_OPENSSL}`, async () => {
      const key = await kms.enclave.createKey({ spec });
      const peer = peerOn(CURVES[spec][0]);
      const reply = await derive(key, { PublicKey: peer.spki });
      const own = peer.privateKey.export({ type: "pkcs8", format: "pem" });
      const args = ["pkeyutl", "-derive", "-inkey", "own", "-peerform", "DER", "-peerkey", "peer"];
      assert.deepEqual(
        bytesOf(reply, "SharedSecret"),
        new Uint8Array(openssl(args, { own, peer: spkiOf(key) })),
      );
    });
  }

  test("two keys of KMS derive the same secret, and a third another one", async () => {
    const keys = await Promise.all([1, 2, 3].map(() => kms.enclave.createKey({ spec: "ECC_NIST_P384" })));
    const [a, b, c] = keys as [SimulatedKey, SimulatedKey, SimulatedKey];
    const secrets = [];
    for (const [key, other] of [[a, b], [b, a], [c, a]] as const) {
      secrets.push((await derive(key, { PublicKey: encodeBase64(spkiOf(other)) })).members["SharedSecret"]);
    }
    assert.equal(secrets[0], secrets[1]);
    assert.notEqual(secrets[0], secrets[2]);
  });

  test.skipIf(!HAS_OPENSSL)(`gives a recipient an envelope${NO_OPENSSL}`, async () => {
    const { privateKey, publicKey } = recipientKeys();
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P521", origin: "EXTERNAL" });
    const { spki: PublicKey } = peerOn("P-521");
    const clear = await derive(key, { PublicKey });
    const reply = await derive(key, { PublicKey, Recipient: await recipient(kms.enclave.nsm, publicKey) });
    assert.equal(reply.members["SharedSecret"], "");
    assert.equal(reply.members["KeyOrigin"], "EXTERNAL");
    const opened = openedByOpenssl(bytesOf(reply, "CiphertextForRecipient"), privateKey);
    assert.deepEqual(opened, bytesOf(clear, "SharedSecret"));
  });

  test("other public keys: ValidationException without a text, as KMS has it", async () => {
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const { publicKey: ed25519 } = generateKeyPairSync("ed25519");
    const wrong = [
      encodeBase64(new TextEncoder().encode("InvalidPublicKey")),
      peerOn("P-384").spki,
      peerOn("secp256k1").spki,
      encodeBase64(ed25519.export({ type: "spki", format: "der" })),
      encodeBase64(recipientKeys().publicKey),
      encodeBase64(offTheCurve()),
    ];
    for (const PublicKey of wrong) {
      assertRefused(await derive(key, { PublicKey }), "ValidationException", null);
    }
  });

  test("members that are missing, unknown or too long: ValidationException", async () => {
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const PublicKey = peerOn("P-256").spki;
    const wrong = [
      [{ PublicKey, KeyAgreementAlgorithm: "X25519" }, /'X25519' at 'keyAgreementAlgorithm'.*\[ECDH\]$/],
      [{ PublicKey, KeyAgreementAlgorithm: undefined }, /at 'keyAgreementAlgorithm'.*must not be null$/],
      [{ PublicKey: undefined }, /at 'publicKey'.*must not be null$/],
      [{ PublicKey: "" }, /at 'publicKey'.*greater than or equal to 1$/],
      [{ PublicKey: encodeBase64(new Uint8Array(8193)) }, /at 'publicKey'.*less than or equal to 8192$/],
      [{ PublicKey, KeyId: undefined }, /at 'keyId'.*must not be null$/],
    ] as const;
    for (const [members, message] of wrong) {
      assertRefused(await derive(key, members), "ValidationException", message);
    }
  });

  test("keys that are for something else: InvalidKeyUsageException", async () => {
    const PublicKey = peerOn("P-256").spki;
    const signing = await kms.enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    for (const key of [kms.key, signing]) {
      const message = `${key.arn} key usage is ${key.usage} which is not valid for DeriveSharedSecret.`;
      const reply = await derive(key, { PublicKey });
      assertRefused(reply, "InvalidKeyUsageException");
      assert.equal(reply.members["message"], message);
    }
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    for (
      const [operation, members] of [
        ["Encrypt", { Plaintext: "AAAA" }],
        ["Decrypt", { CiphertextBlob: "AAAA", EncryptionAlgorithm: "RSAES_OAEP_SHA_256" }],
      ] as const
    ) {
      const reply = await kms.call(operation, { ...members, KeyId: agreement.arn });
      assertRefused(reply, "InvalidKeyUsageException", /key usage is KEY_AGREEMENT which is not valid for/);
    }
  });

  test("a disabled key: DisabledException", async () => {
    const key = await kms.enclave.createKey({ spec: "ECC_NIST_P256", state: "Disabled" });
    assertRefused(await derive(key, { PublicKey: peerOn("P-256").spki }), "DisabledException");
  });
});

describe("createKey()", () => {
  test("makes no key that KMS has not, in KMS's words", async () => {
    for (
      const [spec, usage] of [
        ["RSA_2048", "KEY_AGREEMENT"],
        ["SYMMETRIC_DEFAULT", "SIGN_VERIFY"],
        ["ECC_NIST_P256", "ENCRYPT_DECRYPT"],
      ] as const
    ) {
      await assert.rejects(kms.enclave.createKey({ spec, usage }), {
        name: "TypeError",
        message: `KeyUsage ${usage} is not compatible with KeySpec ${spec}`,
      });
    }
  });

  test("shows the public key of an asymmetric key only", async () => {
    assert.equal(kms.key.publicKey, undefined);
    assert.equal(spkiOf(await kms.enclave.createKey({ spec: "ECC_NIST_P256" })).length, 91);
  });
});

/** Makes a public key of P-256 with a point that is not on the curve. */
function offTheCurve(): Uint8Array {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
  return spki.with(-1, (spki.at(-1) ?? 0) ^ 1);
}
