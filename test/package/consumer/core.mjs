/** What whoever installs the core alone gets: it decrypts, and other entries name the package that they need. */
import assert from "node:assert/strict";
import { KmsClient, LibraryLoadError } from "enclave-kms";
import { cedarPolicy } from "enclave-kms/policy";
import { startSimulator } from "enclave-kms/sim";
import { createFetch, serve } from "enclave-kms/vsock";

const enclave = await startSimulator();
const client = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
try {
  const { keyId } = await enclave.createKey();
  const ciphertext = await enclave.encrypt({ keyId, plaintext: "attack at dawn" });
  const plaintext = await client.decrypt({ ciphertext });
  console.log(new TextDecoder().decode(plaintext.bytes));
  plaintext[Symbol.dispose]();
} finally {
  await client.close();
  await enclave.close();
}

const endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };
const server = await serve(() => new Response("hello"), { endpoint });
assert.equal(await (await createFetch(server.endpoint)("http://enclave/")).text(), "hello");
await server.close();

assert.throws(
  () => cedarPolicy("permit (principal, action, resource);", { actions: ["Decrypt"] }),
  (error) => {
    assert.ok(error instanceof LibraryLoadError, String(error));
    assert.match(error.hint, /npm install @cedar-policy\/cedar-wasm@\d/);
    return true;
  },
);
await assert.rejects(import("enclave-kms/server"), /(@hono\/node-server|hono|pino|valibot)/);
