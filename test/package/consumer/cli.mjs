// Runs the package's command line in processes of this runtime, against a simulated enclave in this one.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { startSimulator } from "enclave-kms/sim";

const CLI = "node_modules/enclave-kms/cli.js";
const COMMAND = "Deno" in globalThis ? ["run", "--quiet", "-A", CLI] : [CLI];

async function run(words, env = {}) {
  const { stdout } = await promisify(execFile)(process.execPath, [...COMMAND, ...words], {
    env: { ...process.env, ...env },
  });
  return stdout;
}

const enclave = await startSimulator();
const folder = mkdtempSync(join(tmpdir(), "enclave-kms-cli-"));
const nsm = await enclave.nsm.listen(join(folder, "nsm.sock"));
try {
  const { endpoint: { host, port }, credentials, trustedCertificates } = enclave;
  const certificates = join(folder, "ca.pem");
  writeFileSync(certificates, trustedCertificates);
  writeFileSync(join(folder, "root.der"), enclave.nsm.root);
  const flags = [
    ...["--endpoint", `tcp:${host}:${port}`],
    ...["--trusted-certificates", certificates],
    ...["--nsm", join(folder, "nsm.sock")],
  ];
  const env = {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken,
  };
  const { keyId } = await enclave.createKey();
  const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
  const base64 = Buffer.from(ciphertext).toString("base64");
  const printed = await run(["decrypt", ...flags, "--ciphertext", base64], env);
  const plaintext = /^PLAINTEXT: (\S+)\n$/.exec(printed)?.[1] ?? "";

  const policy = "node_modules/enclave-kms/examples/policies/tenants.cedar";
  assert.equal(await run(["policy", "check", policy]), "ok tenants.cedar\n");
  const diagnosis = await run([
    ...["doctor", "--json", "--timeout-ms", "30000", ...flags],
    ...["--root", join(folder, "root.der"), "--policy", policy],
  ], env);
  assert.equal(JSON.parse(diagnosis).firstBroken, null);
  console.log(Buffer.from(plaintext, "base64").toString());
} finally {
  await nsm[Symbol.asyncDispose]();
  await enclave.close();
  rmSync(folder, { recursive: true });
}
