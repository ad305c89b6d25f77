import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { constants, createPublicKey, hash, randomBytes, sign, verify } from "node:crypto";
import { ed25519ph } from "@noble/curves/ed25519.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { describe, test as onBoth } from "#test";
import { encodeBase64 } from "../../../../lib/core/encoding.ts";
import type { SimulatedKey } from "../../../../sim/kms/keys/simulated_key.ts";
import type { KeySpec } from "../../../../sim/mod.ts";
import type { Reply } from "../caller.ts";
import { assertRefused, bytesOf, KmsFixture } from "../kms_fixture.ts";
import { divideTests, isDivided } from "../../../support/share.ts";

const test = divideTests("Deno");
/** Deno takes several seconds to make one of the largest keys: where the runtimes share, they are Node's. */
const onNode = onBoth.skipIf(isDivided && "Deno" in globalThis);

const kms = KmsFixture.use();

const RSA = [
  ...[256, 384, 512].map((bits) => `RSASSA_PKCS1_V1_5_SHA_${bits}`),
  ...[256, 384, 512].map((bits) => `RSASSA_PSS_SHA_${bits}`),
];

/** Algorithms that sign messages as well as digests, by the kind of key. */
const ALGORITHMS: Readonly<Partial<Record<KeySpec, readonly string[]>>> = {
  RSA_2048: RSA,
  RSA_3072: RSA,
  RSA_4096: RSA,
  ECC_NIST_P256: ["ECDSA_SHA_256"],
  ECC_NIST_P384: ["ECDSA_SHA_384"],
  ECC_NIST_P521: ["ECDSA_SHA_512"],
  ECC_SECG_P256K1: ["ECDSA_SHA_256"],
};

const made = new Map<string, Promise<SimulatedKey>>();

/** Makes one key of a kind for all tests: RSA keys take their time. */
function keyOf(spec: KeySpec): Promise<SimulatedKey> {
  const key = made.get(spec) ?? kms.enclave.createKey({ spec, usage: "SIGN_VERIFY" });
  made.set(spec, key);
  return key;
}

const MESSAGE = randomBytes(4096);

const shaOf = (algorithm: string) => `sha${algorithm.slice(-3)}`;

const digestOf = (algorithm: string, message: Uint8Array = MESSAGE) =>
  hash(shaOf(algorithm), message, "buffer");

function ask(
  operation: "Sign" | "Verify",
  key: SimulatedKey,
  SigningAlgorithm: string,
  members: Readonly<Record<string, unknown>> = {},
): Promise<Reply> {
  const Message = encodeBase64(MESSAGE);
  return kms.call(operation, { KeyId: key.arn, Message, SigningAlgorithm, ...members });
}

/** Options of node:crypto beside the key. */
function paddingOf(algorithm: string): object {
  if (!algorithm.startsWith("RSASSA_PSS")) return {};
  return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
}

/**
 * Verifies a signature of a whole message with node:crypto; on secp256k1 with @noble/curves, for Deno's node:crypto
 * refuses every other signature there: those whose s is in the upper half, which KMS makes too.
 */
function isValid(key: SimulatedKey, algorithm: string, signature: Uint8Array): boolean {
  assert.ok(key.publicKey !== undefined);
  if (key.spec === "ECC_SECG_P256K1") {
    return secp256k1.verify(signature, MESSAGE, key.publicKey.slice(-65), { format: "der", lowS: false });
  }
  const publicKey = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
  return verify(shaOf(algorithm), MESSAGE, { key: publicKey, ...paddingOf(algorithm) }, signature);
}

for (const [spec, algorithms] of Object.entries(ALGORITHMS) as [KeySpec, readonly string[]][]) {
  const testKey = spec === "RSA_4096" ? onNode : test;
  for (const algorithm of algorithms) {
    describe(`${algorithm} under ${spec}`, () => {
      testKey("signs messages and digests as others verify them", async () => {
        const key = await keyOf(spec);
        const digest = { MessageType: "DIGEST", Message: encodeBase64(digestOf(algorithm)) };
        for (const members of [{}, { MessageType: "RAW" }, digest]) {
          const reply = await ask("Sign", key, algorithm, members);
          assert.equal(reply.status, 200, reply.text);
          const { Signature: _, ...others } = reply.members;
          assert.deepEqual(others, { KeyId: key.arn, SigningAlgorithm: algorithm });
          assert.ok(isValid(key, algorithm, bytesOf(reply, "Signature")), JSON.stringify(members));
        }
      });

      testKey("verifies what node:crypto signs, whichever form of the message it is given", async () => {
        const key = await keyOf(spec);
        const { privateKey } = key.keyPair;
        const signature = sign(shaOf(algorithm), MESSAGE, { key: privateKey, ...paddingOf(algorithm) });
        const Signature = encodeBase64(signature);
        const digest = { MessageType: "DIGEST", Message: encodeBase64(digestOf(algorithm)) };
        for (const members of [{}, digest]) {
          const reply = await ask("Verify", key, algorithm, { ...members, Signature });
          assert.deepEqual(reply.members, {
            KeyId: key.arn,
            SignatureValid: true,
            SigningAlgorithm: algorithm,
          });
        }
      });

      testKey("refuses every signature that is another: KMSInvalidSignatureException", async () => {
        const key = await keyOf(spec);
        const signature = bytesOf(await ask("Sign", key, algorithm), "Signature");
        const flipped = [0, 1, 5, signature.length >> 1, signature.length - 1].map((index) =>
          signature.with(index, (signature[index] ?? 0) ^ 1)
        );
        const none = [
          signature.subarray(1),
          signature.subarray(0, -1),
          Buffer.concat([signature, Uint8Array.of(0)]),
          new Uint8Array(signature.length),
          new Uint8Array(signature.length).fill(0xff),
          Uint8Array.of(0x30),
          Uint8Array.of(0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01),
          Uint8Array.of(0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00),
        ];
        for (const wrong of [...flipped, ...none]) {
          const reply = await ask("Verify", key, algorithm, { Signature: encodeBase64(wrong) });
          assertRefused(reply, "KMSInvalidSignatureException", null);
        }
        const Message = encodeBase64(MESSAGE.subarray(1));
        const other = await ask("Verify", key, algorithm, { Signature: encodeBase64(signature), Message });
        assertRefused(other, "KMSInvalidSignatureException", null);
      });

      testKey("a digest of another length: ValidationException, in KMS's words", async () => {
        const key = await keyOf(spec);
        const length = digestOf(algorithm).length;
        for (const wrong of [1, length - 1, length + 1, 65, 4096]) {
          const members = { MessageType: "DIGEST", Message: encodeBase64(new Uint8Array(wrong)) };
          const text = new RegExp(`^Digest is invalid length for algorithm ${algorithm}\\.$`);
          assertRefused(await ask("Sign", key, algorithm, members), "ValidationException", text);
          const Signature = "AAAA";
          assertRefused(
            await ask("Verify", key, algorithm, { ...members, Signature }),
            "ValidationException",
            text,
          );
        }
      });
    });
  }
}

describe("signatures under ECC_NIST_EDWARDS25519", () => {
  const digest = digestOf("ED25519_PH_SHA_512");

  /** Public key as RFC 8032 encodes it: the last bytes of the SubjectPublicKeyInfo. */
  const point = ({ publicKey }: SimulatedKey) => publicKey!.slice(-32);

  test("ED25519_SHA_512 signs messages as node:crypto does", async () => {
    const key = await keyOf("ECC_NIST_EDWARDS25519");
    const signature = bytesOf(await ask("Sign", key, "ED25519_SHA_512"), "Signature");
    assert.deepEqual(Buffer.from(signature), sign(null, MESSAGE, key.keyPair.privateKey));
    const good = await ask("Verify", key, "ED25519_SHA_512", { Signature: encodeBase64(signature) });
    assert.equal(good.members["SignatureValid"], true);
    const bad = { Signature: encodeBase64(signature.with(0, (signature[0] ?? 0) ^ 1)) };
    assertRefused(await ask("Verify", key, "ED25519_SHA_512", bad), "KMSInvalidSignatureException", null);
  });

  test("ED25519_PH_SHA_512 signs digests as @noble/curves does, which hashes them once more", async () => {
    const key = await keyOf("ECC_NIST_EDWARDS25519");
    for (let round = 0; round < 10; round++) {
      const message = randomBytes(64);
      const members = { MessageType: "DIGEST", Message: encodeBase64(message) };
      const signature = bytesOf(await ask("Sign", key, "ED25519_PH_SHA_512", members), "Signature");
      const { d = "" } = key.keyPair.privateKey.export({ format: "jwk" });
      assert.deepEqual(signature, ed25519ph.sign(message, Buffer.from(d, "base64url")));
      assert.ok(ed25519ph.verify(signature, message, point(key)));
      const good = await ask("Verify", key, "ED25519_PH_SHA_512", {
        ...members,
        Signature: encodeBase64(signature),
      });
      assert.equal(good.members["SignatureValid"], true);
      for (const index of [0, 31, 32, 63]) {
        const Signature = encodeBase64(signature.with(index, (signature[index] ?? 0) ^ 1));
        const bad = await ask("Verify", key, "ED25519_PH_SHA_512", { ...members, Signature });
        assertRefused(bad, "KMSInvalidSignatureException", null);
      }
    }
  });

  test("each takes one form of message, and the second a digest of 64 bytes", async () => {
    const key = await keyOf("ECC_NIST_EDWARDS25519");
    const Message = encodeBase64(digest);
    const wrong = [
      [
        "ED25519_SHA_512",
        { MessageType: "DIGEST", Message },
        /^Message type DIGEST .* algorithm ED25519_SHA/,
      ],
      ["ED25519_PH_SHA_512", {}, /^Message type RAW is incompatible with algorithm ED25519_PH_SHA_512\.$/],
      [
        "ED25519_PH_SHA_512",
        { MessageType: "EXTERNAL_MU" },
        /^Message type EXTERNAL_MU .* key spec ECC_NIST_ED/,
      ],
      ["ED25519_PH_SHA_512", { MessageType: "DIGEST", Message: "AAAA" }, /^Digest is invalid length/],
    ] as const;
    for (const [algorithm, members, text] of wrong) {
      assertRefused(await ask("Sign", key, algorithm, members), "ValidationException", text);
    }
  });
});

describe("Sign and Verify", () => {
  test("an algorithm of another kind of key: InvalidKeyUsageException", async () => {
    for (
      const [spec, algorithm] of [
        ["RSA_2048", "ECDSA_SHA_256"],
        ["ECC_NIST_P256", "ECDSA_SHA_384"],
        ["ECC_NIST_P256", "RSASSA_PSS_SHA_256"],
        ["ECC_NIST_EDWARDS25519", "ECDSA_SHA_512"],
        ["ECC_NIST_P521", "ED25519_SHA_512"],
        ["ECC_NIST_P256", "SM2DSA"],
        ["RSA_2048", "ML_DSA_SHAKE_256"],
      ] as const
    ) {
      const key = await keyOf(spec);
      const text = new RegExp(`^Algorithm ${algorithm} is incompatible with key spec ${spec}\\.$`);
      assertRefused(await ask("Sign", key, algorithm), "InvalidKeyUsageException", text);
      assertRefused(
        await ask("Verify", key, algorithm, { Signature: "AAAA" }),
        "InvalidKeyUsageException",
        text,
      );
    }
  });

  test("keys that are for something else: InvalidKeyUsageException", async () => {
    const agreement = await kms.enclave.createKey({ spec: "ECC_NIST_P256" });
    const rsa = await kms.enclave.createKey({ spec: "RSA_2048" });
    for (const key of [kms.key, agreement, rsa]) {
      for (const operation of ["Sign", "Verify"] as const) {
        const reply = await ask(operation, key, "ECDSA_SHA_256", { Signature: "AAAA" });
        assertRefused(reply, "InvalidKeyUsageException");
        const message = `${key.arn} key usage is ${key.usage} which is not valid for ${operation}.`;
        assert.equal(reply.members["message"], message);
      }
    }
  });

  test("another key's signature: KMSInvalidSignatureException", async () => {
    const key = await keyOf("ECC_NIST_P256");
    const other = await kms.enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const { Signature } = (await ask("Sign", other, "ECDSA_SHA_256")).members;
    assertRefused(
      await ask("Verify", key, "ECDSA_SHA_256", { Signature }),
      "KMSInvalidSignatureException",
      null,
    );
    const dry = await ask("Verify", key, "ECDSA_SHA_256", { Signature, DryRun: true });
    assertRefused(dry, "KMSInvalidSignatureException", null);
  });

  test("members that are missing, unknown or too long: ValidationException", async () => {
    const key = await keyOf("ECC_NIST_P256");
    const wrong = [
      [{ SigningAlgorithm: "ECDSA_SHA_1" }, /'ECDSA_SHA_1' at 'signingAlgorithm'.*enum value set/],
      [{ SigningAlgorithm: undefined }, /at 'signingAlgorithm'.*must not be null$/],
      [{ MessageType: "HASH" }, /'HASH' at 'messageType'.*\[RAW, DIGEST, EXTERNAL_MU\]$/],
      [
        { MessageType: "EXTERNAL_MU" },
        /^Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256/,
      ],
      [{ Message: undefined }, /at 'message'.*must not be null$/],
      [{ Message: "" }, /at 'message'.*greater than or equal to 1$/],
      [{ Message: encodeBase64(new Uint8Array(4097)) }, /at 'message'.*less than or equal to 4096$/],
      [{ KeyId: undefined }, /at 'keyId'.*must not be null$/],
    ] as const;
    for (const [members, message] of wrong) {
      assertRefused(await ask("Sign", key, "ECDSA_SHA_256", members), "ValidationException", message);
    }
    for (
      const [Signature, message] of [
        [undefined, /at 'signature'.*must not be null$/],
        ["", /at 'signature'.*greater than or equal to 1$/],
        [encodeBase64(new Uint8Array(6145)), /at 'signature'.*less than or equal to 6144$/],
      ] as const
    ) {
      const reply = await ask("Verify", key, "ECDSA_SHA_256", { Signature });
      assertRefused(reply, "ValidationException", message);
    }
  });
});
