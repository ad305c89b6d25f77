import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { Buffer } from "node:buffer";
import { fromBER } from "asn1js";
import { ContentInfo, EnvelopedData, KeyTransRecipientInfo } from "pkijs";
import { describe, test } from "#test";
import {
  ENVELOPE_VARIANTS,
  type EnvelopeShape,
  type EnvelopeVariant,
  sealEnvelope,
} from "../../../sim/kms/cms_envelope.ts";
import { HAS_VECTORS, readVector, SKIPPED } from "../../lib/attestation/vectors.ts";
import { HAS_OPENSSL, NO_OPENSSL, openssl } from "../tls/openssl.ts";

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
const key = privateKey.export({ type: "pkcs8", format: "pem" });
const SHAPES: readonly EnvelopeShape[] = ["constructed", "definite"];

function open(envelope: Uint8Array): Uint8Array {
  const args = ["cms", "-decrypt", "-inform", "DER", "-in", "envelope", "-inkey", "key"];
  return new Uint8Array(openssl(args, { envelope, key }));
}

/** Parses an envelope with pkijs. */
function parse(envelope: Uint8Array): EnvelopedData {
  const { result, offset } = fromBER(new Uint8Array(envelope).buffer);
  assert.equal(offset, envelope.length, "nothing is left over");
  return new EnvelopedData({ schema: new ContentInfo({ schema: result }).content });
}

describe("sealEnvelope()", () => {
  for (const shape of SHAPES) {
    test.skipIf(!HAS_OPENSSL)(`openssl opens the ${shape} shape at any length${NO_OPENSSL}`, () => {
      for (const length of [1, 15, 16, 32, 4079, 4080, 4096]) {
        const plaintext = new Uint8Array(length).map((_, i) => i);
        assert.deepEqual(open(sealEnvelope(plaintext, spki, shape)), plaintext, `${length} bytes`);
      }
    });

    test(`pkijs reads the ${shape} shape: one recipient, OAEP with SHA-256, AES-256-CBC`, () => {
      const data = parse(sealEnvelope(new Uint8Array(32), spki, shape));
      assert.equal(data.recipientInfos.length, 1);
      const info: unknown = data.recipientInfos[0]?.value;
      assert.ok(info instanceof KeyTransRecipientInfo);
      assert.equal(info.keyEncryptionAlgorithm.algorithmId, "1.2.840.113549.1.1.7");
      assert.equal(info.encryptedKey.valueBlock.valueHexView.length, 256);
      assert.equal(
        data.encryptedContentInfo.contentEncryptionAlgorithm.algorithmId,
        "2.16.840.1.101.3.4.1.42",
      );
    });
  }

  test("4096 bytes come in two segments or in one piece", () => {
    const [constructed, definite] = SHAPES.map((shape) =>
      Buffer.from(sealEnvelope(new Uint8Array(4096), spki, shape))
    );
    assert.ok(constructed?.includes(Buffer.from([0xa0, 0x80, 0x04, 0x82, 0x10, 0x00])), "4096 bytes");
    assert.equal(constructed?.at(-10 - 18), 0x04, "and 16 more");
    assert.ok(definite?.includes(Buffer.from([0x80, 0x82, 0x10, 0x10])), "4112 bytes");
  });

  test.skipIf(!HAS_VECTORS)(`32 bytes look like the genuine sample, octet by octet${SKIPPED}`, () => {
    const genuine = readVector("kms-ciphertext-for-recipient.ber");
    const own = sealEnvelope(new Uint8Array(32), spki, "constructed");
    assert.equal(own.length, genuine.length);
    const secret = secretRanges(own);
    const shown = (bytes: Uint8Array) =>
      bytes.map((byte, i) => secret.some(([a, b]) => i >= a && i < b) ? 0 : byte);
    assert.deepEqual(shown(own), shown(genuine));
  });

  for (const variant of ENVELOPE_VARIANTS) {
    test.skipIf(!HAS_OPENSSL)(`openssl agrees on what ${variant} does${NO_OPENSSL}`, () => {
      const plaintext = new TextEncoder().encode("attack at dawn");
      const envelope = sealEnvelope(plaintext, spki, "constructed", variant);
      if (READABLE.includes(variant)) assert.deepEqual(open(envelope), plaintext);
      else assert.notDeepEqual(tryToOpen(envelope), plaintext);
    });
  }
});

/** Wrong for KMS, and still a good envelope to a reader that takes anything. */
const READABLE: readonly EnvelopeVariant[] = [
  "twoRecipients",
  "tripleDes",
  "aes128",
  "pkcs1",
  "oaepSha1",
  "trailingByte",
];

function tryToOpen(envelope: Uint8Array): Uint8Array | undefined {
  try {
    return open(envelope);
  } catch {
    return undefined;
  }
}

/** Finds the ranges of key identifier, wrapped key, IV and content in an envelope of 32 bytes. */
function secretRanges(envelope: Uint8Array): readonly (readonly [start: number, end: number])[] {
  const after = (...marker: number[]) => Buffer.from(envelope).indexOf(Buffer.from(marker)) + marker.length;
  const keyId = after(0x80, 0x20);
  const wrapped = after(0x04, 0x82, 0x01, 0x00);
  const iv = after(0x01, 0x2a, 0x04, 0x10);
  const content = after(0xa0, 0x80, 0x04, 0x30);
  return [[keyId, keyId + 32], [wrapped, wrapped + 256], [iv, iv + 16], [content, content + 48]];
}
