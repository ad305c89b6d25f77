import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, test } from "#test";
import type { EngineName } from "../../../mod.ts";
import { doublePath, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";

const CHILD = fileURLToPath(new URL("../../support/trust_child.ts", import.meta.url));
const IS_DENO = "Deno" in globalThis;
const NOWHERE = "/nonexistent/ca.pem";

/** Whatever this machine trusts besides must not count. */
const VARIABLES = [
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  "NODE_OPTIONS",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
];

/** Opens a client without certificates in a process of its own, and returns the outcome. */
async function open(
  engine: EngineName,
  variables: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !VARIABLES.includes(name)));
  const options = JSON.stringify({ engine, library: engine === "direct" ? undefined : doublePath });
  const command = IS_DENO ? ["run", "--quiet", "--no-prompt", "--no-check", "-A"] : flags;
  const { stdout } = await promisify(execFile)(process.execPath, [...command, CHILD, options], {
    env: { ...env, ...variables },
  });
  return stdout.trim();
}

for (const engine of ["direct", "sdk"] as const) {
  const skip = engine === "sdk" && doublePath === undefined;
  describe.skipIf(skip)(
    `without certificates of its own, engine ${engine}${skip ? WITHOUT_DOUBLE : ""}`,
    () => {
      test("trusts the authorities that the runtime brings along, whatever the system has", async () => {
        const nothing = { SSL_CERT_FILE: NOWHERE, SSL_CERT_DIR: NOWHERE };
        assert.equal(await open(engine, nothing), `opened ${engine}`);
      });

      test("does not open when the runtime has none, and says so", async () => {
        const nothing = { SSL_CERT_FILE: NOWHERE, SSL_CERT_DIR: NOWHERE };
        const output = IS_DENO
          ? await open(engine, { ...nothing, DENO_TLS_CA_STORE: "system" })
          : await open(engine, nothing, ["--use-openssl-ca"]);
        assert.match(
          output,
          /^ERR_CERTIFICATE: Cannot trust KMS: the runtime has no certificate authorities: .* \(Is --use-openssl-ca/,
        );
      });
    },
  );
}

describe.skipIf(doublePath === undefined)(`without certificates, engine sdk-client${WITHOUT_DOUBLE}`, () => {
  test("does not open when SSL_CERT_FILE names nothing, and says so", async () => {
    assert.match(
      await open("sdk-client", { SSL_CERT_FILE: NOWHERE }),
      /^ERR_CERTIFICATE: Cannot trust KMS: .*: SSL_CERT_FILE names \/nonexistent\/ca\.pem, which cannot be read \(ENOENT\) \(Put/,
    );
    assert.match(
      await open("sdk-client", { SSL_CERT_FILE: CHILD }),
      /: SSL_CERT_FILE names \S+, which holds no certificate \(/,
    );
  });
});
