/**
 * The start in an enclave: the signing key is decrypted once, and callers on the parent reach vsock port 5000.
 * `/etc/credentials.json` is what the parent handed over, as IMDS writes it.
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { KmsClient } from "enclave-kms";
import { NsmClient, seedKernelEntropy } from "enclave-kms/nsm";
import { loadPolicyFile } from "enclave-kms/policy";
import { serve } from "enclave-kms/vsock";
import { ACTIONS, createApp } from "./app.ts";

const { REGION: region = "eu-central-1", SIGNING_KEY: path = "/etc/signing-key" } = process.env;
const credentials = async () => JSON.parse(await readFile("/etc/credentials.json", "utf8"));

{
  using nsm = NsmClient.open();
  await seedKernelEntropy(nsm);
}
const policy = loadPolicyFile("/etc/policy.cedar", { actions: ACTIONS });
await using client = await KmsClient.open({ region, credentials });
const ciphertext = (await readFile(path, "utf8")).trim();
using key = await client.decrypt({ ciphertext, encryptionContext: { purpose: "signing" } });

await using server = await serve(createApp({ key, policy, region }).fetch, { port: 5000 });
await new Promise((resolve) => process.once("SIGTERM", resolve));
await server.close();
