import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { decode } from "cbor2";
import { type ImageSigner, makeSignature, verifySignature } from "../../../deploy/eif/signature.ts";
import { ImageError } from "../../../lib/core/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-eif-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PCR0 = new Uint8Array(randomBytes(48));

/** Makes a key and a certificate by openssl, as AWS's documentation tells people to. */
function makeSigner(name: string, curve = "secp384r1"): ImageSigner & { readonly der: Buffer } {
  const [key, request, certificate] = ["key", "csr", "pem"].map((end) => join(folder, `${name}.${end}`)) as [
    string,
    string,
    string,
  ];
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", key);
  openssl("req", "-new", "-key", key, "-sha384", "-subj", `/CN=${name}`, "-out", request);
  openssl("x509", "-req", "-days", "20", "-in", request, "-sha384", "-signkey", key, "-out", certificate);
  const privateKey: KeyObject = createPrivateKey(readFileSync(key, "utf8"));
  const der = openssl("x509", "-in", certificate, "-outform", "DER");
  return {
    der,
    certificate: readFileSync(certificate, "utf8"),
    sign: (bytes) => Promise.resolve(sign("sha384", bytes, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  };
}

describe("an image's signature", () => {
  const signer = makeSigner("image");

  test("is verified, and measures its certificate", async () => {
    const section = await makeSignature(PCR0, signer);
    const { pcr8, certificate } = await verifySignature(section, PCR0);
    assert.deepEqual(Buffer.from(certificate), signer.der);
    const digest = createHash("sha384").update(signer.der).digest();
    const expected = createHash("sha384").update(Buffer.concat([new Uint8Array(48), digest])).digest();
    assert.deepEqual(Buffer.from(pcr8), expected);
  });

  test("has the form that nitro-cli gives it, as another reader of CBOR sees it", async () => {
    const [entry, ...others] = decode(await makeSignature(PCR0, signer)) as Record<string, number[]>[];
    assert.deepEqual([Object.keys(entry ?? {}), others], [["signing_certificate", "signature"], []]);
    assert.equal(Buffer.from(entry?.["signing_certificate"] ?? []).toString(), signer.certificate);
    const [head, unprotected, payload, signature] = decode(Uint8Array.from(entry?.["signature"] ?? [])) as [
      Uint8Array,
      object,
      Uint8Array,
      Uint8Array,
    ];
    assert.deepEqual(decode(head), new Map([[1, -35]]));
    assert.deepEqual([Object.keys(unprotected), signature.length], [[], 96]);
    assert.deepEqual(decode(payload), { register_index: 0, register_value: [...PCR0] });
  });

  test("of another PCR0 is refused", async () => {
    const section = await makeSignature(PCR0, signer);
    await assert.rejects(verifySignature(section, randomBytes(48)), /its signature is of another PCR0/);
  });

  test("by another key than its certificate's is never made", async () => {
    const other = makeSigner("other");
    const mixed = { certificate: signer.certificate, sign: other.sign };
    await assert.rejects(makeSignature(PCR0, mixed), /is not by the key of its certificate/);
  });

  test("by a key on another curve is never made", async () => {
    const small = makeSigner("small", "prime256v1");
    await assert.rejects(makeSignature(PCR0, small), /not of 96 bytes|not on P-384/);
  });

  test("cut at any byte, or with any byte changed, is refused", async () => {
    const section = await makeSignature(PCR0, signer);
    for (let length = 0; length < section.length; length++) {
      await assert.rejects(
        verifySignature(section.subarray(0, length), PCR0),
        ImageError,
        `cut to ${length}`,
      );
    }
    const { certificate } = await verifySignature(section, PCR0);
    for (let at = 0; at < section.length; at += 3) {
      const changed = section.slice();
      changed[at] = changed[at]! ^ 1;
      const outcome = await verifySignature(changed, PCR0).catch((error: unknown) => error);
      if (outcome instanceof ImageError) continue;
      // The certificate's own signature is not checked, nor are most of its fields: they all go into PCR8.
      assert.notDeepEqual((outcome as { certificate: Uint8Array }).certificate, certificate, `byte ${at}`);
    }
  });
});
