/** The same work on a laptop: a simulated enclave, a key that only it can use, and a file as its owner makes it. */
import { Buffer } from "node:buffer";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KmsClient } from "enclave-kms";
import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";
import { decryptSettings } from "./settings.ts";

const folder = await mkdtemp(join(tmpdir(), "settings-"));
try {
  await using enclave = await startSimulator();
  const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
  const encrypt = async (setting: string, plaintext: string) =>
    Buffer.from(await enclave.encrypt({ keyId, plaintext, encryptionContext: { setting } })).toString(
      "base64",
    );
  const path = join(folder, "settings.json");
  const databasePassword = await encrypt("databasePassword", "swordfish");
  const signingKey = await encrypt("signingKey", "00112233");
  await writeFile(path, JSON.stringify({ databasePassword, signingKey }));

  await using client = await KmsClient.open(enclave.clientOptions);
  const settings = await decryptSettings(client, path);
  for (const [setting, secret] of settings) {
    console.log(`${setting}: ${secret.length} bytes`);
    secret[Symbol.dispose]();
  }

  await writeFile(path, JSON.stringify({ databasePassword: signingKey, signingKey: databasePassword }));
  const refusal = await decryptSettings(client, path).catch((error) => error);
  console.log(`swapped: ${refusal.kmsCode}`);
} finally {
  await rm(folder, { recursive: true });
}
