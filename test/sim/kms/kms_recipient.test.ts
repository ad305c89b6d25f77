import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "#test";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { startSimulator } from "../../../sim/simulator.ts";
import { call } from "./caller.ts";
import {
  amzDate,
  assertRefused,
  KmsFixture,
  openedByOpenssl,
  recipient,
  recipientKeys,
  SECRET,
} from "./kms_fixture.ts";
import { HAS_OPENSSL, NO_OPENSSL } from "../tls/openssl.ts";

const kms = KmsFixture.use();

const { privateKey, publicKey } = recipientKeys();

describe("recipients", () => {
  test("get an envelope in both shapes and no plaintext", async () => {
    const shapes = [];
    for (let i = 0; i < 2; i++) {
      const { members } = await kms.decrypt({ Recipient: await recipient(kms.enclave.nsm, publicKey) });
      assert.equal(members["Plaintext"], "");
      assert.equal(members["KeyId"], kms.key.arn);
      const envelope = decodeBase64(String(members["CiphertextForRecipient"]));
      shapes.push(envelope.length);
      if (HAS_OPENSSL) assert.equal(opened(envelope), SECRET);
    }
    assert.notEqual(shapes[0], shapes[1]);
  });

  test.skipIf(!HAS_OPENSSL)(`open 4096 bytes in each shape with openssl${NO_OPENSSL}`, async () => {
    for (const envelopeShape of ["constructed", "definite"] as const) {
      await using other = await startSimulator({ envelopeShape, plaintextBesideEnvelope: "null" });
      const plaintext = "x".repeat(4096);
      const { keyId } = await other.createKey();
      const CiphertextBlob = encodeBase64(await other.encrypt({ keyId, plaintext }));
      const { members } = await call(other, "Decrypt", {
        CiphertextBlob,
        Recipient: await recipient(other.nsm, publicKey),
      });
      assert.equal(members["Plaintext"], null);
      assert.equal(opened(decodeBase64(String(members["CiphertextForRecipient"]))), plaintext);
    }
  });

  const faults: readonly (readonly [what: string, kind: "wrongKey" | "expiredLeaf" | "stale"])[] = [
    ["signed by another key", "wrongKey"],
    ["with an expired certificate", "expiredLeaf"],
    ["more than five minutes old", "stale"],
  ];
  for (const [what, kind] of faults) {
    test(`a document ${what}: ValidationException`, async () => {
      using _fault = kms.enclave.nsm.injectFault({ kind });
      assertRefused(
        await kms.decrypt({ Recipient: await recipient(kms.enclave.nsm, publicKey) }),
        "ValidationException",
        /attestation document/,
      );
    });
  }

  test("a document of another module's root: ValidationException", async () => {
    using other = await SoftwareNsm.create();
    assertRefused(await kms.decrypt({ Recipient: await recipient(other, publicKey) }), "ValidationException");
  });

  test("a document that was good once is refused when it is old", async () => {
    let now = Date.now();
    await using other = await startSimulator({ now: () => now });
    const { keyId } = await other.createKey();
    const CiphertextBlob = encodeBase64(await other.encrypt({ keyId, plaintext: SECRET }));
    const Recipient = await recipient(other.nsm, publicKey);
    const attempt = () => call(other, "Decrypt", { CiphertextBlob, Recipient }, { datetime: amzDate(now) });
    assert.equal((await attempt()).status, 200);
    now += 6 * 60_000;
    assertRefused(await attempt(), "ValidationException", /five minutes/);
  });

  test("documents and recipients of a wrong form: ValidationException", async () => {
    const good = await recipient(kms.enclave.nsm, publicKey);
    const noKey = encodeBase64(await kms.enclave.nsm.attest());
    const ecKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
      type: "spki",
      format: "der",
    });
    const wrong = [
      { ...good, KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_1" },
      { ...good, KeyEncryptionAlgorithm: undefined },
      { ...good, AttestationDocument: "AAAA" },
      { ...good, AttestationDocument: undefined },
      { ...good, AttestationDocument: noKey },
      await recipient(kms.enclave.nsm, new Uint8Array(ecKey)),
      await recipient(kms.enclave.nsm, Uint8Array.of(1, 2, 3)),
    ];
    for (const Recipient of wrong) assertRefused(await kms.decrypt({ Recipient }), "ValidationException");
  });
});

function opened(envelope: Uint8Array): string {
  return new TextDecoder().decode(openedByOpenssl(envelope, privateKey));
}
