/**
 * `npm start`: the server in a simulated enclave on 127.0.0.1, with credentials set and something to decrypt.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readConfig } from "../server/config.ts";
import { createLogger } from "../enclave/telemetry/log.ts";
import { type Server, startServer } from "../server/server.ts";
import { handleSignals } from "../enclave/signals.ts";
import { createFetch } from "../lib/transport/create_fetch.ts";
import { STDOUT, tryWriteAll } from "../lib/core/write_all.ts";
import { attestedKeyPolicy, type Simulator, startSimulator } from "./mod.ts";

const MESSAGE = "The launch code is 00000000.";
const ENCRYPTION_CONTEXT = { tenant: "a" };

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** Settings for a laptop. The environment takes precedence. */
const SETTINGS: Readonly<Record<string, string>> = {
  ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:8080",
  ENCLAVE_KMS_KMSTOOL: "tcp:127.0.0.1:3000",
  ENCLAVE_KMS_CONTROL: `unix:${join(folder, "control.sock")}`,
  ENCLAVE_KMS_POLICY_FILE: fileURLToPath(new URL("./serve.cedar", import.meta.url)),
  // On hardware every caller has this CID.
  ENCLAVE_KMS_DEVELOPMENT_CID: "3",
};

const enclave = await startSimulator();
const { endpoint, region, nsm, trustedCertificates } = enclave;
const settings = readConfig({ ...SETTINGS, ...process.env, ENCLAVE_KMS_REGION: region });
const config = { ...settings, kms: endpoint, engine: "direct", callers: { "3": { tenant: "a" } } } as const;
const server = await startServer(config, { logger: createLogger(config.logLevel), nsm, trustedCertificates });
handleSignals(server, () => enclave.close());

const url = urlOf(server);
await sendCredentials(server, enclave);
const ciphertext = await encrypt(enclave);
// The server serves on when this cannot be written.
tryWriteAll(
  STDOUT,
  `
The server runs in a simulated enclave (process ${process.pid}). In another terminal:

  curl -s ${url}/v1/decrypt -H 'content-type: application/json' \\
    -d '{"ciphertext":"${ciphertext}","encryptionContext":${JSON.stringify(ENCRYPTION_CONTEXT)}}'

  curl -s '${url}/v1/attestation?nonce=AQIDBA=='   curl -s ${url}/readyz   curl -s ${url}/metrics

The policy is sim/serve.cedar: change it, then \`kill -HUP ${process.pid}\`. Ctrl-C ends the server.

`,
);

/** Makes a key that only this enclave can use, and encrypts under it, as its owner would. */
async function encrypt(enclave: Simulator): Promise<string> {
  const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
  const request = { keyId, plaintext: MESSAGE, encryptionContext: ENCRYPTION_CONTEXT };
  return Buffer.from(await enclave.encrypt(request)).toString("base64");
}

/** Sends credentials to the server, as the parent does with those of its instance role. */
async function sendCredentials({ controlEndpoint }: Server, { credentials }: Simulator): Promise<void> {
  if (controlEndpoint === undefined) throw new Error("npm start needs ENCLAVE_KMS_CONTROL=unix:<path>");
  const answer = await createFetch(controlEndpoint)("http://enclave/v1/credentials", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(credentials),
  });
  if (answer.status !== 204) throw new Error(`Cannot set credentials: the server answered ${answer.status}`);
}

function urlOf({ httpEndpoint }: Server): string {
  if (httpEndpoint?.transport === "tcp") return `http://${httpEndpoint.host}:${httpEndpoint.port}`;
  throw new Error("npm start needs ENCLAVE_KMS_HTTP=tcp:<host>:<port>");
}
