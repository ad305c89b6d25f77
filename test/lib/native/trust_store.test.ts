import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from "#test";
import { CertificateError } from "../../../lib/core/errors.ts";
import { cString, libc, readCString } from "../../../lib/native/libc.ts";
import { checkSystemTrust, type TrustPlaces, TrustStore } from "../../../lib/native/trust_store.ts";

describe("checkSystemTrust()", () => {
  let folder: string;
  const inFolder = (name: string) => join(folder, name);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
    writeFileSync(inFolder("bundle.pem"), "# Some CA\n-----BEGIN CERTIFICATE-----\nMIIB\n");
    writeFileSync(inFolder("empty.pem"), "");
    mkdirSync(inFolder("empty"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const places = (places: Partial<TrustPlaces>) => ({
    namedFile: undefined,
    files: [],
    folders: [],
    ...places,
  });

  test("takes the file that is named, a file or a folder of the system's", () => {
    checkSystemTrust(places({ namedFile: inFolder("bundle.pem") }));
    checkSystemTrust(places({ files: [inFolder("none.pem"), inFolder("bundle.pem")] }));
    checkSystemTrust(places({ files: [inFolder("none.pem")], folders: [inFolder("none"), folder] }));
  });

  test("names what is missing", () => {
    const cases: readonly (readonly [Partial<TrustPlaces>, RegExp])[] = [
      [
        { namedFile: inFolder("none.pem"), files: [inFolder("bundle.pem")] },
        /: SSL_CERT_FILE names \S+none\.pem, which cannot be read \(ENOENT\)$/,
      ],
      [{ namedFile: folder }, /, which cannot be read \(EISDIR\)$/],
      [{ namedFile: inFolder("empty.pem") }, /empty\.pem, which holds no certificate$/],
      [
        {
          files: [inFolder("none.pem"), inFolder("empty.pem")],
          folders: [inFolder("none"), inFolder("empty")],
        },
        /: no CA bundle at \S+none\.pem, \S+empty\.pem$/,
      ],
    ];
    for (const [where, message] of cases) {
      assert.throws(() => checkSystemTrust(places(where)), (error: unknown) => {
        assert.ok(error instanceof CertificateError);
        assert.match(error.message, message);
        assert.match(error.message, /^Cannot trust KMS: the C client has no certificate authorities: /);
        assert.match(error.hint, /trustedCertificates/);
        return true;
      });
    }
  });
});

/** C's own environment, of which the runtime's is a copy. */
function variable(name: string): string | undefined {
  const value = libc().call.getenv(cString(name));
  return value === null ? undefined : readCString(value);
}

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) libc().call.unsetenv(cString(name));
  else libc().call.setenv(cString(name), cString(value), 1);
}

describe("SSL_CERT_FILE and SSL_CERT_DIR", () => {
  const NAMES = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
  const PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n";
  let before: (string | undefined)[];

  beforeEach(() => {
    before = NAMES.map(variable);
    for (const name of NAMES) setVariable(name, undefined);
  });
  afterEach(() => NAMES.forEach((name, index) => setVariable(name, before[index])));

  test("TrustStore names a file with the certificates, and puts back what was there", () => {
    for (const own of [undefined, "/etc/mine.pem"]) {
      setVariable("SSL_CERT_FILE", own);
      {
        using _trust = new TrustStore(PEM);
        const path = variable("SSL_CERT_FILE") ?? "";
        assert.match(path, /^\/proc\/self\/fd\/\d+$/);
        assert.equal(readFileSync(path, "utf8"), PEM);
        checkSystemTrust();
      }
      assert.equal(variable("SSL_CERT_FILE"), own);
    }
  });

  test("the file that is named is looked at, and nothing set is nothing named", () => {
    setVariable("SSL_CERT_FILE", "/nonexistent/ca.pem");
    assert.throws(
      () => checkSystemTrust(),
      /SSL_CERT_FILE names \/nonexistent\/ca\.pem, which cannot be read/,
    );
    setVariable("SSL_CERT_FILE", "");
    setVariable("SSL_CERT_DIR", tmpdir()); // holds something
    checkSystemTrust();
  });

  const bundled = ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ssl/cert.pem"].some((path) =>
    existsSync(path)
  );
  const REASON = bundled ? " (skipped: there is a bundle)" : "";
  test.skipIf(bundled)(`without a bundle, the folder that is named has to hold something${REASON}`, () => {
    for (const folder of [undefined, "", "/nonexistent"]) {
      setVariable("SSL_CERT_DIR", folder);
      assert.throws(() => checkSystemTrust(), /no CA bundle at \/etc\/ssl\/certs\/ca-certificates\.crt, /);
    }
  });
});
