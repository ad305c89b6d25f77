/** The decrypt server in a simulated enclave on a unix socket, and its caller. */
import { Buffer } from "node:buffer";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readConfig, startServer } from "enclave-kms/server";
import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";
import { EnclaveClient } from "./enclave_client.ts";

const folder = await mkdtemp(join(tmpdir(), "typed-client-"));
try {
  await using enclave = await startSimulator();
  const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
  const encryptionContext = { tenant: "a" };
  const encrypted = await enclave.encrypt({ keyId, plaintext: "hello", encryptionContext });
  const ciphertext = Buffer.from(encrypted).toString("base64");

  const [socket, controlSocket] = [join(folder, "http.sock"), join(folder, "control.sock")];
  const settings = readConfig({
    ENCLAVE_KMS_REGION: enclave.region,
    ENCLAVE_KMS_HTTP: `unix:${socket}`,
    ENCLAVE_KMS_KMSTOOL: "off",
    ENCLAVE_KMS_CONTROL: `unix:${controlSocket}`, // whose peer is taken for the parent
    ENCLAVE_KMS_DEVELOPMENT_CID: "3", // a unix socket has no CID: on hardware every caller has this one
    ENCLAVE_KMS_POLICY_FILE: fileURLToPath(new URL("policy.cedar", import.meta.url)),
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_LOG_LEVEL: "silent",
  });
  const { nsm, trustedCertificates, endpoint: kms } = enclave;
  await using _server = await startServer({ ...settings, kms }, { nsm, trustedCertificates });

  // In production, on the parent: { transport: "vsock", cid: 16, port: 8080 }, and port 7099
  const client = new EnclaveClient({ transport: "unix", path: socket }, {
    transport: "unix",
    path: controlSocket,
  });
  const { accessKeyId, secretAccessKey, sessionToken } = enclave.credentials;
  await client.setCredentials({ accessKeyId, secretAccessKey, sessionToken });
  const plaintext = await client.decrypt(ciphertext, encryptionContext);
  console.log(`tenant a: ${new TextDecoder().decode(plaintext)}`);
  plaintext.fill(0);
  console.log(`tenant b: ${await client.decrypt(ciphertext, { tenant: "b" }).catch(({ code }) => code)}`);
} finally {
  await rm(folder, { recursive: true });
}
