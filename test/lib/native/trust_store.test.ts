import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { CertificateError } from "../../../lib/errors.ts";
import { checkSystemTrust, type TrustPlaces } from "../../../lib/native/trust_store.ts";

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
