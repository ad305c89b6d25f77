/**
 * What a user of the packed package runs: decrypts with the engine named, and compares what comes back. It
 * disposes by hand, as Node.js 22 has no `using`.
 *
 * Arguments: the engine; for the engines of the C SDK, its path, and where to answer for /dev/nsm.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { DisposedError, KmsClient, kmsDecrypt, KmsError, SdkKmsDecryptError, SecretBytes } from "enclave-kms";
import { attestedKeyPolicy, startSimulator } from "enclave-kms/sim";

const [engine = "direct", library, sockets] = process.argv.slice(2);
const encryptionContext = { tenant: "a" };

const enclave = await startSimulator();
const device = sockets && await enclave.nsm.listen(join(sockets, `nsm-${process.pid}.sock`));
const { nsm, ...common } = enclave.clientOptions;
const options = { ...common, engine, ...(library ? { library } : { nsm }) };
const { keyId } = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn", encryptionContext });

try {
  await decryptOnce();
  await decryptWithClient();
} finally {
  await (device || undefined)?.[Symbol.asyncDispose]();
  await enclave.close();
}
await assert.rejects(
  () => enclave.nsm.exchange(new Uint8Array(1)),
  DisposedError,
  "the simulator and the library share their errors",
);
console.log("attack at dawn");

async function decryptOnce() {
  const plaintext = await kmsDecrypt({ ...options, ciphertext, keyId, encryptionContext });
  assert.ok(plaintext instanceof SecretBytes);
  const { bytes } = plaintext;
  assert.equal(new TextDecoder().decode(bytes), "attack at dawn");
  plaintext[Symbol.dispose]();
  assert.ok(bytes.every((byte) => byte === 0), "wiped");
}

async function decryptWithClient() {
  const client = await KmsClient.open(options);
  try {
    assert.equal(client.engine, engine);
    const plaintext = await client.decrypt({ ciphertext, encryptionContext, timeoutMs: 5000 });
    plaintext[Symbol.dispose]();
    await assert.rejects(
      () => client.decrypt({ ciphertext, encryptionContext: { tenant: "b" } }),
      engine === "sdk-client" ? SdkKmsDecryptError : KmsError,
    );
  } finally {
    await client.close();
  }
}
