/** The same on a laptop: a simulated enclave, and a caller over TCP. */
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { encodeBase64, KmsClient } from "enclave-kms";
import { loadPolicyFile } from "enclave-kms/policy";
import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";
import { createFetch, serve } from "enclave-kms/vsock";
import { ACTIONS, createApp } from "./app.ts";

const policyFile = fileURLToPath(new URL("policy.cedar", import.meta.url));

await using enclave = await startSimulator();
const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
const encryptionContext = { purpose: "signing" };
const ciphertext = await enclave.encrypt({ keyId, plaintext: randomBytes(32), encryptionContext });

await using client = await KmsClient.open(enclave.clientOptions);
using key = await client.decrypt({ ciphertext, encryptionContext });
const policy = loadPolicyFile(policyFile, { actions: ACTIONS });
const app = createApp({ key, policy, region: enclave.region });
const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 } as const; // in an enclave: { port: 5000 }
await using server = await serve(app.fetch, { endpoint, developmentCid: 3 });

const fetch = createFetch(server.endpoint); // on the parent: { cid: 16, port: 5000 }
for (const account of ["treasury", "payroll", "treasury", "treasury", "treasury"]) {
  const message = encodeBase64(new TextEncoder().encode("pay 1 to Alice"));
  const body = JSON.stringify({ account, message });
  const answer = await fetch("http://enclave/sign", { method: "POST", body });
  const { signature = "", code } = (await answer.json()) as { signature?: string; code?: string };
  console.log(`${account}: ${answer.status} ${code ?? `${signature.length} characters`}`);
}
