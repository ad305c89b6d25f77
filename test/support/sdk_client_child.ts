/**
 * A process that decrypts with the real C client until it has done so often enough, or the C client crashes
 * or stalls it. Prints one line per decrypt.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { KmsClient } from "../../mod.ts";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { startSimulator } from "../../sim/mod.ts";

const [library = "", rounds = "1"] = process.argv.slice(2);
const sockets = process.env[SUPERVISED_VARIABLE] ?? "";
const encryptionContext = { tenant: "a" };

await using enclave = await startSimulator();
await using _device = await enclave.nsm.listen(join(sockets, `nsm-${process.pid}.sock`));
const { nsm: _, ...options } = enclave.clientOptions;
const { keyId } = await enclave.createKey();
const ciphertext = await enclave.encrypt({ keyId, plaintext: "right", encryptionContext });
await using client = await KmsClient.open({ ...options, engine: "sdk-client", library });

for (let round = 0; round < Number(rounds); round++) {
  try {
    using plaintext = await client.decrypt({ ciphertext, keyId, encryptionContext, timeoutMs: 5000 });
    console.log(new TextDecoder().decode(plaintext.bytes) === "right" ? "right" : "wrong");
  } catch (error) {
    console.log((error as { code?: string }).code ?? String(error));
    break;
  }
}
process.exit(0);
