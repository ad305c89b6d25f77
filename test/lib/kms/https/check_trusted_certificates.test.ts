import assert from "node:assert/strict";
import tls from "node:tls";
import { beforeAll, describe, test } from "#test";
import {
  checkRuntimeTrust,
  checkTrustedCertificates,
} from "../../../../lib/kms/https/check_trusted_certificates.ts";
import { CertificateError } from "../../../../lib/core/errors.ts";
import { TlsAuthority } from "../../../../sim/mod.ts";

const check = (value: unknown) => checkTrustedCertificates(value as string);
const refuses = (value: unknown, reason: string) =>
  assert.throws(() => check(value), {
    name: "TypeError",
    message: `Cannot use trustedCertificates: ${reason}`,
  });

describe("checkTrustedCertificates()", () => {
  let pem: string;

  beforeAll(async () => {
    pem = (await TlsAuthority.create("localhost", Date.now)).trustedCertificates.trim();
  });

  test("finds every certificate, in one text or in many, among other lines", () => {
    assert.deepEqual(check(pem), [pem]);
    assert.deepEqual(check([pem, `# first\n${pem}\n# second\n${pem}\n`]), [pem, pem, pem]);
  });

  test("refuses what holds none", () => {
    for (const value of [[], undefined, 7, {}, null]) refuses(value, "expected PEM text or a list of it");
    for (const text of ["", "MIIB", "a/b", "see /etc/ssl", "/etc/ssl certs", "file: x", "/", 7]) {
      refuses([text], "text 0 holds no PEM certificate");
    }
    refuses([pem, ""], "text 1 holds no PEM certificate");
  });

  test("suspects a path where a text looks like one", () => {
    const path = ": it looks like a file name; give the text of the file";
    for (const text of ["/etc/ssl/cert.pem", "./cert.pem", "../cert.pem", "file:///cert.pem"]) {
      refuses([text], `text 0 holds no PEM certificate${path}`);
    }
  });

  test("says which certificate cannot be read", () => {
    const broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    refuses(broken, "certificate 0 of text 0 cannot be read");
    refuses([pem, `${pem}\n${broken}`], "certificate 1 of text 1 cannot be read");
  });
});

/** Tests of a runtime without certificates run in processes of their own (trust.test.ts). */
describe("checkRuntimeTrust()", () => {
  /** With another answer of the runtime's to what it trusts. */
  function withStore(getCACertificates: unknown, run: () => void): void {
    const before = tls.getCACertificates;
    Object.assign(tls, { getCACertificates });
    try {
      run();
    } finally {
      Object.assign(tls, { getCACertificates: before });
    }
  }

  test("takes the runtime that has authorities, or cannot be asked", () => {
    checkRuntimeTrust();
    const asked: unknown[] = [];
    withStore((type: unknown) => {
      asked.push(type);
      return ["PEM"];
    }, checkRuntimeTrust);
    assert.deepEqual(asked, ["default"]);
    withStore(undefined, checkRuntimeTrust);
  });

  test("refuses the one that has none, and says why", () => {
    const unreadable = (thrown: unknown) => () => {
      throw thrown;
    };
    for (
      const [store, reason] of [
        [() => [], "its store is empty"],
        [unreadable(new RangeError("no such file")), "no such file"],
        [unreadable("a text"), "its store cannot be read"],
      ] as const
    ) {
      withStore(store, () =>
        assert.throws(checkRuntimeTrust, (error) => {
          assert.ok(error instanceof CertificateError);
          assert.equal(
            error.message,
            `Cannot trust KMS: the runtime has no certificate authorities: ${reason}`,
          );
          assert.match(
            error.hint,
            /^Is --use-openssl-ca or DENO_TLS_CA_STORE set, and no certificate where SSL_.* point\? Unset it, give/,
          );
          return true;
        }));
    }
  });
});
