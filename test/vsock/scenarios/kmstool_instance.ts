/**
 * The parent's connector and the other side of kmstool with the bundled server, over AF_VSOCK: readiness, attestation, and
 * decrypts by kmstoolDecrypt() and `enclave-kms kmstool-instance`. KMS is behind CID 3, port 8000.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KmstoolError, NotReadyError } from "../../../lib/core/errors.ts";
import { HttpConnector } from "../../../parent/connector/http_connector.ts";
import { kmstoolDecrypt } from "../../../parent/mod.ts";
import { runChild } from "../../cli/child.ts";
import { startEnclave } from "../../support/engines.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";
import { startKmsProxy } from "../kms_proxy.ts";
import { ServerProcess } from "../server_process.ts";

const PATIENCE_MS = 120_000;

const isDeno = "Deno" in globalThis;
const DENO = ["deno", "run", "--quiet", "--no-prompt", "--no-check", "--allow-env", "--allow-read"].concat(
  ["--allow-net", "--allow-ffi", "--unstable-vsock"],
);

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-connector-"));
await using enclave = await startEnclave();
const { simulator } = enclave;
const { credentials, nsm } = simulator;
const encryptionContext = { tenant: "a" };
const { keyId } = await simulator.createKey();
const sealed = await simulator.encrypt({ keyId, plaintext: "attack at dawn", encryptionContext });
const ciphertext = Buffer.from(sealed).toString("base64");
await using _proxy = await startKmsProxy(simulator.endpoint);
await using _server = await ServerProcess.start(settings(), [], undefined, PATIENCE_MS);
// NitroConnector refuses CID 3, the parent's, which this guest has.
await using connector = new HttpConnector({ transport: "vsock", cid: GUEST_CID, port: 8080 }, {
  timeoutMs: PATIENCE_MS,
  reconnectMs: PATIENCE_MS,
});

await check(
  "waitForEnclave() says that credentials are missing, and resolves when they are there",
  async () => {
    const wait = { maxRetries: 1, intervalMs: 10, timeoutMs: PATIENCE_MS };
    const error = await connector.waitForEnclave(wait).catch((error) => error);
    assert.ok(error instanceof NotReadyError, String(error));
    assert.deepEqual(error.missing, ["credentials"]);
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const body = { accessKeyId, secretAccessKey, sessionToken };
    assert.equal((await connector.sendRequest({ path: "/v1/credentials", body })).status, 204);
    await connector.waitForEnclave({ ...wait, maxRetries: 100 });
  },
);

await check("getAttestation() verifies the enclave's document", async () => {
  const verify = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
  const { isChecked, boot } = await connector.getAttestation({ verify });
  assert.ok(isChecked);
  return `boot ${boot.bootId}`;
});

const way = { endpoint: { transport: "vsock", cid: GUEST_CID, port: 3000 }, timeoutMs: PATIENCE_MS } as const;

await check("kmstoolDecrypt() sets the client, and decrypts; another context is refused", async () => {
  using plaintext = await kmstoolDecrypt({ ...way, credentials, ciphertext, encryptionContext });
  assert.equal(new TextDecoder().decode(plaintext.bytes), "attack at dawn");
  const foreign = { ...way, credentials, ciphertext, encryptionContext: { tenant: "b" } };
  await assert.rejects(kmstoolDecrypt(foreign), KmstoolError);
});

await check("enclave-kms kmstool-instance prints the plaintext", async () => {
  const env = {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken ?? "",
  };
  const { code, stdout, stderr } = await runChild(
    ["kmstool-instance", "--endpoint", `vsock:${GUEST_CID}:3000`, "--timeout-ms", String(PATIENCE_MS)].concat(
      ["-e", "tenant=a", ciphertext],
    ),
    { env, command: isDeno ? DENO : ["node"] },
  );
  assert.deepEqual([code, stdout], [0, "attack at dawn\n"], stderr);
});

rmSync(folder, { recursive: true });

/** As in an enclave, but for the authority of the simulated KMS. */
function settings(): Record<string, string> {
  const actions = ["Decrypt", "GetAttestation", "SetCredentials", "SetOwnCredentials"];
  writeFileSync(
    join(folder, "policy.cedar"),
    `permit(principal, action in [${actions.map((name) => `Action::"${name}"`).join(", ")}], resource);`,
  );
  writeFileSync(join(folder, "ca.pem"), simulator.trustedCertificates);
  writeFileSync(join(folder, "config.json"), JSON.stringify({ credentialSetters: "policy" }));
  return {
    ENCLAVE_KMS_CONFIG: join(folder, "config.json"),
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(folder, "ca.pem"),
    ENCLAVE_KMS_POLICY_FILE: join(folder, "policy.cedar"),
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "30000",
  };
}
