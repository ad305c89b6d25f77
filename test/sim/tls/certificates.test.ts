import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "#test";
import { type CertificateKind, TlsAuthority } from "../../../sim/tls/tls_certificates.ts";
import { HAS_OPENSSL, NO_OPENSSL, openssl } from "./openssl.ts";

const HOST_NAME = "kms.us-east-1.amazonaws.com";

/** Verifies a certificate as that of KMS's host with openssl, and returns its words. */
async function verify(authority: TlsAuthority, kind: CertificateKind): Promise<string> {
  const { cert } = await authority.certificate(kind);
  const files = { ca: authority.trustedCertificates, cert };
  const args = [
    "verify",
    "-x509_strict",
    "-purpose",
    "sslserver",
    "-verify_hostname",
    HOST_NAME,
    "-CAfile",
    "ca",
    "cert",
  ];
  try {
    return openssl(args, files).toString();
  } catch (error) {
    return String(error);
  }
}

describe("TlsAuthority", () => {
  const expected: Readonly<Record<CertificateKind, RegExp>> = {
    valid: /^cert: OK/,
    expired: /certificate has expired/,
    notYetValid: /certificate is not yet valid/,
    wrongName: /hostname mismatch/i,
    unknownCa: /unable to get local issuer certificate|certificate signature failure/,
  };
  for (const [kind, outcome] of Object.entries(expected) as [CertificateKind, RegExp][]) {
    test.skipIf(!HAS_OPENSSL)(
      `openssl finds the ${kind} certificate as it should be${NO_OPENSSL}`,
      async () => {
        assert.match(await verify(await TlsAuthority.create(HOST_NAME), kind), outcome);
      },
    );
  }

  test("makes each certificate once", async () => {
    const authority = await TlsAuthority.create(HOST_NAME);
    assert.equal(await authority.certificate("valid"), await authority.certificate("valid"));
    assert.notEqual(await authority.certificate("valid"), await authority.certificate("expired"));
  });

  test("names the host in the extension, not only in the subject", async () => {
    const { cert } = await (await TlsAuthority.create("kms.cn-north-1.amazonaws.com.cn")).certificate(
      "valid",
    );
    assert.equal(new X509Certificate(cert).subjectAltName, "DNS:kms.cn-north-1.amazonaws.com.cn");
  });
});
