/** The same on a laptop: an operator, a parent that is not trusted, and an enclave, in one process. */
import { createHmac, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KmsClient } from "enclave-kms";
import { startEnclave } from "enclave-kms/enclave";
import {
  AgeKeyPair,
  computePcr16,
  importSigningKey,
  sealWithAge,
  sealWithKms,
  signSecret,
} from "enclave-kms/operator";
import { OwnedCredentials, SecretRefusedError, sendCredentials, sendSecret } from "enclave-kms/parent";
import { startSimulator } from "enclave-kms/sim";
import { createFetch } from "enclave-kms/vsock";
import { app, declareSecrets, ENCRYPTION_CONTEXT } from "./app.ts";

const simulationFolder = mkdtempSync(join(tmpdir(), "boot-secrets-"));
await using simulator = await startSimulator();
const { arn: keyArn } = await simulator.createKey();

// The operator: keys of their own, a key for the application, all of it sealed and signed.
const pair = generateKeyPairSync("ed25519");
const publisher = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
const key = await importSigningKey(pair.privateKey.export({ type: "pkcs8", format: "der" }));
using age = await AgeKeyPair.generate();
const applicationKey = randomBytes(32);
const { nsm: _, ...options } = simulator.clientOptions;
await using client = await KmsClient.open({ ...options, recipient: "none" });
const identity = await sealWithKms(client, age.identity, { keyArn, encryptionContext: ENCRYPTION_CONTEXT });
const shares = await sealWithAge(applicationKey, [age.recipient]);
const files = [
  {
    name: "age-key",
    port: 7101,
    content: await signSecret({ name: "age-key", version: 1, sealed: identity, key }),
  },
  {
    name: "key-shares",
    port: 7102,
    content: await signSecret({ name: "key-shares", version: 1, sealed: shares, key }),
  },
];

// The enclave starts, and waits.
const { host, port } = simulator.endpoint as { host: string; port: number };
const starting = startEnclave(app, {
  name: "boot-secrets",
  secrets: declareSecrets({ keyArn, recipient: age.recipient, publisher }),
  nsm: simulator.nsm,
  trustedCertificates: simulator.trustedCertificates,
  environment: {
    ENV_SETUP: "SIM",
    ENCLAVE_PORT: "0",
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_KMS: `tcp:${host}:${port}`,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_LOG_LEVEL: "silent",
    ENCLAVE_KMS_SIMULATION_FOLDER: simulationFolder,
  },
});

// The parent: credentials, a secret of its own making, and then what the operator gave it.
const to = { enclaveCid: 16, simulationFolder };
await sendCredentials({ ...to, credentials: OwnedCredentials.copyOf(simulator.credentials) });
const own = await sealWithKms(client, age.identity, { keyArn, encryptionContext: ENCRYPTION_CONTEXT });
await sendSecret({ ...to, port: 7101, content: own }).catch((error: unknown) => {
  if (!(error instanceof SecretRefusedError)) throw error;
  console.log(`the parent's own: ${error.enclaveCode}`);
});
for (const { name, ...file } of files) console.log(`${name}: ${(await sendSecret({ ...to, ...file })).ok}`);

await using enclave = await starting;
const expected = createHmac("sha256", applicationKey).update("42").digest("hex");
const answer = await createFetch(enclave.endpoint)("http://enclave/v1/code/42");
console.log(`the code: ${answer.status} ${(await answer.text()) === expected}`);
const pcr16 = Buffer.from(await computePcr16(files.map(({ name, content }) => ({ name, content })))).toString(
  "hex",
);
const info = await (await createFetch(enclave.endpoint)("http://enclave/v1/info")).json() as {
  pcrs: Record<string, string>;
};
console.log(`PCR16 as computed: ${info.pcrs["16"] === pcr16}`);
rmSync(simulationFolder, { recursive: true });
