/**
 * A process that runs an application whose answers are secrets, made anew for each request, and prints its endpoint,
 * root and PCR0, so that its memory can be searched for what it answered.
 *
 * @module
 */
import { resolve } from "node:path";
import process from "node:process";
import { enclaveApp, secretAnswer, startEnclave } from "../../enclave/mod.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { SoftwareNsm } from "../../sim/mod.ts";

/** Secrets kept on purpose. */
const kept: Uint8Array[] = [];

/** Makes 96 bytes. They are not what the runtime's generator gave, which keeps its last block on Deno. */
function makeSecret(): SecretBytes {
  const bytes = crypto.getRandomValues(new Uint8Array(new ArrayBuffer(96)));
  bytes.forEach((byte, index) => bytes[index] = byte ^ 0x5a);
  return new SecretBytes(bytes);
}

const app = enclaveApp().post("/secret", async (c) => {
  const keeps = await c.req.text() === "keep";
  using secret = makeSecret();
  if (keeps) kept.push(secret.bytes.slice());
  return secretAnswer<{ secret: string }>(c, ["secret", secret]);
});

const nsm = await SoftwareNsm.create();
const enclave = await startEnclave(app, {
  name: "secret-answers",
  nsm,
  signals: false,
  environment: {
    ENV_SETUP: "SIM",
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
    ENCLAVE_PORT: "0",
    CONTROL_PORT: "0",
    ENCLAVE_KMS_LOG_LEVEL: "silent",
    ENCLAVE_KMS_POLICY_FILE: resolve("examples/policies/attest.cedar"),
  },
});
const { endpoint } = enclave;
process.stdout.write(`${JSON.stringify({ endpoint, root: encodeBase64(nsm.root), pcr0: nsm.pcr(0) })}\n`);
process.stdin.resume();
