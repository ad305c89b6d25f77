import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificate } from "pkijs";
import { describe, test } from "#test";
import { certificatePem, makeTlsCertificate } from "../../../enclave/channels/tls_certificate.ts";

const BOOT_ID = "00112233445566778899aabbccddeeff";
const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const der = makeTlsCertificate(keys, BOOT_ID);
const spki = new Uint8Array(keys.publicKey.export({ type: "spki", format: "der" }));

describe("makeTlsCertificate()", () => {
  test("makes what the runtime reads as a server's certificate, and no authority's", () => {
    const certificate = new X509Certificate(der);
    assert.equal(certificate.ca, false);
    assert.equal(certificate.subject, `CN=enclave-${BOOT_ID}`);
    assert.equal(certificate.issuer, certificate.subject);
    assert.equal(certificate.subjectAltName, `DNS:enclave.internal, DNS:${BOOT_ID}.enclave.internal`);
    assert.deepEqual(new Uint8Array(certificate.publicKey.export({ type: "spki", format: "der" })), spki);
    assert.ok(certificate.verify(keys.publicKey));
    assert.equal(Date.parse(certificate.validFrom), Date.UTC(2020, 0, 1));
    assert.equal(Date.parse(certificate.validTo), Date.UTC(9999, 11, 31, 23, 59, 59));
  });

  test("makes what pkijs reads: version 3, six extensions, and a serial number of 16 bytes", () => {
    const certificate = Certificate.fromBER(der);
    assert.equal(certificate.version, 2);
    const extensions = certificate.extensions?.map(({ extnID, critical }) => [extnID, critical]);
    assert.deepEqual(extensions, [
      ["2.5.29.19", true],
      ["2.5.29.15", true],
      ["2.5.29.37", false],
      ["2.5.29.17", false],
      ["2.5.29.14", false],
      ["2.5.29.35", false],
    ]);
    assert.deepEqual(new Uint8Array(certificate.toSchema(true).toBER()), der);
    const serials = Array.from({ length: 50 }, () => {
      const { serialNumber } = Certificate.fromBER(makeTlsCertificate(keys, BOOT_ID));
      return new Uint8Array(serialNumber.valueBlock.valueHexView);
    });
    for (const serial of serials) {
      assert.equal(serial.length, 16);
      assert.ok(serial[0]! >= 0x40 && serial[0]! < 0x80, "neither zero nor negative");
    }
    assert.equal(new Set(serials.map(String)).size, 50);
  });

  test("names its key by SHA-256, as subject and as authority", () => {
    const { extensions } = Certificate.fromBER(der);
    const keyId = createHash("sha256").update(spki.subarray(-65)).digest().subarray(0, 20);
    const valueOf = (id: string) =>
      new Uint8Array(
        extensions?.find(({ extnID }) => extnID === id)?.extnValue.valueBlock.valueHexView ?? [],
      );
    assert.deepEqual(valueOf("2.5.29.14"), Uint8Array.from([4, 20, ...keyId]));
    assert.deepEqual(valueOf("2.5.29.35"), Uint8Array.from([0x30, 22, 0x80, 20, ...keyId]));
  });

  const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
  test.skipIf(!hasOpenssl)(
    "makes what openssl verifies strictly as its own authority, and of nothing else",
    () => {
      const folder = mkdtempSync(join(tmpdir(), "enclave-kms-certificate-"));
      try {
        const paths = [der, makeTlsCertificate(keys, BOOT_ID)].map((certificate, index) => {
          const path = join(folder, `${index}.pem`);
          writeFileSync(path, certificatePem(certificate));
          return path;
        });
        const [own = "", other = ""] = paths;
        const verify = (authority: string, name: string) =>
          spawnSync(
            "openssl",
            [
              "verify",
              "-x509_strict",
              "-purpose",
              "sslserver",
              "-verify_hostname",
              name,
              "-CAfile",
              authority,
              own,
            ],
          ).status;
        assert.equal(verify(own, "enclave.internal"), 0);
        assert.equal(verify(own, `${BOOT_ID}.enclave.internal`), 0);
        assert.notEqual(verify(own, "example.com"), 0);
        assert.notEqual(verify(other, "enclave.internal"), 0, "another certificate of the same key and name");
        const { stdout } = spawnSync("openssl", ["x509", "-in", own, "-noout", "-text"], {
          encoding: "utf8",
        });
        for (
          const line of [/CA:FALSE/, /Digital Signature\n/, /TLS Web Server Authentication\n/, /prime256v1/]
        ) {
          assert.match(stdout, line);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
