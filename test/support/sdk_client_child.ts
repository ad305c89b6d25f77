/**
 * A process that asks one operation of the real C client until it has done so often enough, or the C client
 * crashes or stalls it. Prints one line per call.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import process from "node:process";
import { KmsClient, type KmsClientOptions } from "../../mod.ts";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";

/** Operations of the C client: each asks once, and tells whether the answer is right. */
const OPERATIONS = {
  async decrypt(client: KmsClient, enclave: Simulator, keyId: string): Promise<boolean> {
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "right", encryptionContext });
    using plaintext = await client.decrypt({ ciphertext, keyId, encryptionContext, timeoutMs });
    return new TextDecoder().decode(plaintext.bytes) === "right";
  },
  async encrypt(client: KmsClient, enclave: Simulator, keyId: string): Promise<boolean> {
    const plaintext = new TextEncoder().encode("right");
    const { ciphertext } = await client.encrypt({ keyId, plaintext, encryptionContext, timeoutMs });
    return await opens(enclave, { ciphertext, encryptionContext }, plaintext);
  },
  async generateDataKey(client: KmsClient, enclave: Simulator, keyId: string): Promise<boolean> {
    using key = await client.generateDataKey({ keyId, keySpec: "AES_256", timeoutMs });
    return key.plaintext.length === 32 && await opens(enclave, key, key.plaintext.bytes);
  },
  async generateRandom(client: KmsClient): Promise<boolean> {
    using one = await client.generateRandom({ numberOfBytes: 256, timeoutMs });
    return one.length === 256 && new Set(one.bytes).size > 100;
  },
};

const [library = "", operation = "decrypt", rounds = "1"] = process.argv.slice(2);
const sockets = process.env[SUPERVISED_VARIABLE] ?? "";
const encryptionContext = { tenant: "a" };
const timeoutMs = 5000;

await using enclave = await startSimulator();
await using _device = await enclave.nsm.listen(join(sockets, `nsm-${process.pid}.sock`));
const { keyId } = await enclave.createKey();
const { nsm: _, ...options } = enclave.clientOptions;
await using client = await KmsClient.open({ ...options, engine: "sdk-client", library });

for (let round = 0; round < Number(rounds); round++) {
  try {
    const right = await OPERATIONS[operation as keyof typeof OPERATIONS](client, enclave, keyId);
    console.log(right ? "right" : "wrong");
  } catch (error) {
    console.log((error as { code?: string }).code ?? String(error));
    break;
  }
}
process.exit(0);

/** Tells whether an engine without C opens a ciphertext that C obtained. */
async function opens(
  enclave: Simulator,
  request: { ciphertext: Uint8Array; encryptionContext?: Record<string, string> },
  expected: Uint8Array,
): Promise<boolean> {
  const direct: KmsClientOptions = { ...enclave.clientOptions, engine: "direct" };
  await using witness = await KmsClient.open(direct);
  const { ciphertext } = request;
  using plaintext = await witness.decrypt({ ciphertext, encryptionContext: request.encryptionContext ?? {} });
  return Buffer.compare(plaintext.bytes, expected) === 0;
}
