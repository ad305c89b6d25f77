import assert from "node:assert/strict";
import { describe, test } from "#test";
import type { SigningAlgorithm } from "../../../../mod.ts";
import { ProtocolError } from "../../../../lib/core/errors.ts";
import { GENERATE_MAC } from "../../../../lib/kms/operations/generate_mac.ts";
import { GET_PUBLIC_KEY } from "../../../../lib/kms/operations/get_public_key.ts";
import { KmsReply } from "../../../../lib/kms/operations/kms_reply.ts";
import { SIGN } from "../../../../lib/kms/operations/sign.ts";
import { SIGNING_ALGORITHMS } from "../../../../lib/kms/operations/signing.ts";
import { VERIFY } from "../../../../lib/kms/operations/verify.ts";
import { VERIFY_MAC } from "../../../../lib/kms/operations/verify_mac.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234-abcd";
const MESSAGE = Uint8Array.of(1, 2, 3);

/** Forms of a message that each algorithm signs, and the length of a digest in bytes, as KMS documents them. */
const MESSAGES: Readonly<Record<SigningAlgorithm, readonly [types: readonly string[], digestBytes: number]>> =
  {
    RSASSA_PSS_SHA_256: [["RAW", "DIGEST"], 32],
    RSASSA_PSS_SHA_384: [["RAW", "DIGEST"], 48],
    RSASSA_PSS_SHA_512: [["RAW", "DIGEST"], 64],
    RSASSA_PKCS1_V1_5_SHA_256: [["RAW", "DIGEST"], 32],
    RSASSA_PKCS1_V1_5_SHA_384: [["RAW", "DIGEST"], 48],
    RSASSA_PKCS1_V1_5_SHA_512: [["RAW", "DIGEST"], 64],
    ECDSA_SHA_256: [["RAW", "DIGEST"], 32],
    ECDSA_SHA_384: [["RAW", "DIGEST"], 48],
    ECDSA_SHA_512: [["RAW", "DIGEST"], 64],
    ED25519_SHA_512: [["RAW"], 64],
    ED25519_PH_SHA_512: [["DIGEST"], 64],
    ML_DSA_SHAKE_256: [["RAW", "EXTERNAL_MU"], 64],
    SM2DSA: [["RAW", "DIGEST"], 32],
  };

const good = { keyId: ARN, message: MESSAGE, signingAlgorithm: "ECDSA_SHA_256" } as const;

const sign = (fields: object) => () => SIGN.check({ ...good, ...fields } as never);

describe("SIGN.check()", () => {
  test("takes every algorithm of KMS", () => {
    assert.deepEqual(SIGNING_ALGORITHMS.toSorted(), Object.keys(MESSAGES).toSorted());
  });

  for (const [signingAlgorithm, [types, digestBytes]] of Object.entries(MESSAGES)) {
    test(`takes ${types.join(" and ")} for ${signingAlgorithm}, and a digest of ${digestBytes} bytes`, () => {
      for (const messageType of ["RAW", "DIGEST", "EXTERNAL_MU"]) {
        const check = (length: number) =>
          sign({ signingAlgorithm, messageType, message: new Uint8Array(length) });
        if (!types.includes(messageType)) {
          const message = `messageType must be ${types.join(" or ")} for ${signingAlgorithm}`;
          assert.throws(check(digestBytes), { name: "TypeError", message });
          continue;
        }
        assert.equal(check(digestBytes)().message.length, digestBytes);
        for (const length of [1, digestBytes - 1, digestBytes + 1, 4096]) {
          if (messageType === "RAW") assert.equal(check(length)().message.length, length);
          else {
            const message =
              `message must have ${digestBytes} bytes as ${messageType} for ${signingAlgorithm}, not ${length}`;
            assert.throws(check(length), { name: "RangeError", message });
          }
        }
      }
    });
  }

  test("copies the message, and takes it for raw", () => {
    const checked = sign({})();
    assert.deepEqual(checked, { ...good, messageType: "RAW", grantTokens: undefined, dryRun: false });
    assert.notEqual(checked.message.buffer, MESSAGE.buffer);
  });

  test("refuses what is no such request", () => {
    for (const signingAlgorithm of [undefined, "", "ECDSA", "toString", 7, ["ECDSA_SHA_256"]]) {
      const message = `signingAlgorithm must be one of ${SIGNING_ALGORITHMS.join(", ")}`;
      assert.throws(sign({ signingAlgorithm }), { name: "TypeError", message });
    }
    for (const messageType of ["", "HASH", "raw", 7, null]) {
      const message = "messageType must be one of RAW, DIGEST, EXTERNAL_MU";
      assert.throws(sign({ messageType }), { name: "TypeError", message });
    }
    for (const message of [undefined, null, "AQID", 7, [1, 2], new Uint8Array(1).buffer]) {
      assert.throws(sign({ message }), { name: "TypeError", message: "message must be a Uint8Array" });
    }
    for (const length of [0, 4097]) {
      const message = `message must have 1 to 4096 bytes, not ${length}`;
      assert.throws(sign({ message: new Uint8Array(length) }), { name: "RangeError", message });
    }
    assert.throws(sign({ encryptionContext: {} }), /^TypeError: The signing request has no field/);
    assert.throws(sign({ keyId: undefined }), TypeError);
  });

  test("takes base64 from a JSON body only", () => {
    assert.deepEqual(SIGN.checkJson?.({ ...good, message: "AQID" }), sign({})());
    assert.throws(() => SIGN.checkJson?.({ ...good, message: "?" }), TypeError);
    const message = "AAAA".repeat(1366);
    assert.throws(() => SIGN.checkJson?.({ ...good, message }), { name: "RangeError" });
  });
});

describe("VERIFY.check() and VERIFY_MAC.check()", () => {
  const mac = { keyId: ARN, message: MESSAGE, macAlgorithm: "HMAC_SHA_256" } as const;

  test("take a signature and a code as bytes or base64, 1 to 6144 bytes", () => {
    for (const given of [Uint8Array.of(1, 2, 3), "AQID"]) {
      assert.deepEqual(VERIFY.check({ ...good, signature: given }).signature, MESSAGE);
      assert.deepEqual(VERIFY_MAC.check({ ...mac, mac: given }).mac, MESSAGE);
    }
    const most = new Uint8Array(6144);
    assert.equal(VERIFY.check({ ...good, signature: most }).signature.length, 6144);
    for (const length of [0, 6145]) {
      const signature = new Uint8Array(length);
      const bounds = (name: string) => ({
        name: "RangeError",
        message: `${name} must have 1 to 6144 bytes, not ${length}`,
      });
      assert.throws(() => VERIFY.check({ ...good, signature }), bounds("signature"));
      assert.throws(() => VERIFY_MAC.check({ ...mac, mac: signature }), bounds("mac"));
    }
    for (const signature of [undefined, null, 7, {}]) {
      assert.throws(() => VERIFY.check({ ...good, signature } as never), {
        name: "TypeError",
        message: "signature must be a Uint8Array or base64",
      });
    }
  });

  test("take base64 for the message from a JSON body only", () => {
    assert.throws(() => VERIFY.check({ ...good, message: "AQID", signature: "AQID" } as never), TypeError);
    assert.throws(() => VERIFY_MAC.check({ ...mac, message: "AQID", mac: "AQID" } as never), TypeError);
    assert.deepEqual(
      VERIFY.checkJson?.({ ...good, message: "AQID", signature: "AQID" }).message,
      MESSAGE,
    );
    assert.deepEqual(VERIFY_MAC.checkJson?.({ ...mac, message: "AQID", mac: "AQID" }).message, MESSAGE);
  });

  test("have no other fields", () => {
    const extra = { signature: "AQID", mac: "AQID" };
    assert.throws(() => VERIFY.check({ ...good, ...extra } as never), /has no field `mac`/);
    assert.throws(() => VERIFY_MAC.check({ ...mac, ...extra } as never), /has no field `signature`/);
    assert.throws(() => SIGN.check({ ...good, signature: "AQID" } as never), /has no field `signature`/);
  });
});

describe("GET_PUBLIC_KEY.check()", () => {
  test("takes the name of a key, and has no dry run", () => {
    assert.deepEqual(GET_PUBLIC_KEY.check({ keyId: "alias/a", grantTokens: ["t"] }), {
      keyId: "alias/a",
      grantTokens: ["t"],
      dryRun: false,
    });
    assert.equal(GET_PUBLIC_KEY.hasDryRun, false);
    assert.throws(() => GET_PUBLIC_KEY.check({} as never), TypeError);
    assert.throws(() => GET_PUBLIC_KEY.check({ keyId: "a", dryRun: true } as never), TypeError);
  });
});

describe("answers about signatures", () => {
  const reply = (members: object) =>
    new KmsReply("Test", new TextEncoder().encode(JSON.stringify(members)), () => {
      throw new Error("there is nothing to open");
    });
  const refuses = (what: string, read: () => unknown) =>
    assert.throws(read, (error) => {
      assert.ok(error instanceof ProtocolError);
      assert.equal(error.message, `Cannot use KMS's answer to Test: ${what}`);
      return true;
    });
  const verification = { ...VERIFY.check({ ...good, signature: "AQID" }) };
  const mac = VERIFY_MAC.check({ keyId: ARN, message: MESSAGE, macAlgorithm: "HMAC_SHA_224", mac: "AQID" });

  test("a signature is of the key and the algorithm that were asked for", () => {
    const answer = { KeyId: ARN, Signature: "AQID", SigningAlgorithm: "ECDSA_SHA_256" };
    const result = (members: object) => SIGN.result(reply({ ...answer, ...members }), verification);
    assert.deepEqual(result({}), { signature: MESSAGE, keyId: ARN });
    refuses(
      "SigningAlgorithm is not what was asked for",
      () => result({ SigningAlgorithm: "ECDSA_SHA_384" }),
    );
    refuses("KeyId is not the key that was asked for", () => result({ KeyId: `${ARN}x` }));
    for (const Signature of [undefined, null, "", 7]) refuses("no Signature", () => result({ Signature }));
  });

  test("a verification says yes in so many words, or it is none", () => {
    const answer = { KeyId: ARN, SignatureValid: true, SigningAlgorithm: "ECDSA_SHA_256" };
    const result = (members: object) => VERIFY.result(reply({ ...answer, ...members }), verification);
    assert.deepEqual(result({}), { keyId: ARN });
    const macAnswer = { KeyId: ARN, MacValid: true, MacAlgorithm: "HMAC_SHA_224" };
    const macResult = (members: object) => VERIFY_MAC.result(reply({ ...macAnswer, ...members }), mac);
    assert.deepEqual(macResult({}), { keyId: ARN });
    for (const no of [undefined, null, false, 0, 1, "", "true", [true], {}]) {
      refuses("SignatureValid is not what was asked for", () => result({ SignatureValid: no }));
      refuses("MacValid is not what was asked for", () => macResult({ MacValid: no }));
    }
    refuses("SigningAlgorithm is not what was asked for", () => result({ SigningAlgorithm: undefined }));
    refuses("MacAlgorithm is not what was asked for", () => macResult({ MacAlgorithm: "HMAC_SHA_256" }));
    refuses("KeyId is not the key that was asked for", () => result({ KeyId: `${ARN}x` }));
    refuses("KeyId is not the key that was asked for", () => macResult({ KeyId: `${ARN}x` }));
  });

  test("a MAC has the length of its algorithm", () => {
    const result = (length: number) =>
      GENERATE_MAC.result(
        reply({ KeyId: ARN, Mac: btoa("x".repeat(length)), MacAlgorithm: "HMAC_SHA_224" }),
        mac,
      );
    assert.equal(result(28).mac.length, 28);
    for (const length of [27, 29, 32]) {
      refuses("Mac is not as long as was asked for", () => result(length));
    }
  });

  test("a public key comes with names that are KMS's, and nothing else", () => {
    const answer = { KeyId: ARN, PublicKey: "AQID", KeySpec: "RSA_2048", KeyUsage: "SIGN_VERIFY" };
    const request = GET_PUBLIC_KEY.check({ keyId: ARN });
    const result = (members: object) => GET_PUBLIC_KEY.result(reply({ ...answer, ...members }), request);
    const told = { publicKey: MESSAGE, keyId: ARN, keySpec: "RSA_2048", keyUsage: "SIGN_VERIFY" };
    assert.deepEqual(result({}), { ...told, algorithms: [] });
    for (
      const name of [
        "EncryptionAlgorithms",
        "SigningAlgorithms",
        "KeyAgreementAlgorithms",
        "EncapsulationAlgorithms",
      ]
    ) {
      assert.deepEqual(result({ [name]: ["A_1", "B"] }), { ...told, algorithms: ["A_1", "B"] });
      for (const wrong of ["A", {}, 7, [7], ["a"], [""], ["A\n"], new Array(65).fill("A"), [["A"]]]) {
        refuses(`${name} is not a list of names of KMS's`, () => result({ [name]: wrong }));
      }
    }
    for (const wrong of [undefined, null, "", "a", "A B", "A\n", "A".repeat(65), 7, ["A"]]) {
      refuses("KeySpec is not a name of KMS's", () => result({ KeySpec: wrong }));
      refuses("KeyUsage is not a name of KMS's", () => result({ KeyUsage: wrong }));
    }
    refuses("no PublicKey", () => result({ PublicKey: "" }));
  });
});
