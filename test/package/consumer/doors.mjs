/** What a user of the packed package runs for the doors beside the client: NSM, envelope, operator, deploy, vsock and server. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hc } from "hono/client";
import * as library from "enclave-kms";
import { verifyAttestation } from "enclave-kms/attestation";
import { bytesSource, describeImage, ImageError, judgePolicy, makeKeyPolicy } from "enclave-kms/deploy";
import { buildImage } from "enclave-kms/deploy/node";
import { decryptStream, encryptStream } from "enclave-kms/envelope";
import { NsmClient } from "enclave-kms/nsm";
import { AgeKeyPair, computePcr16, sealWithAge, splitSecret } from "enclave-kms/operator";
import { readConfig, startServer } from "enclave-kms/server";
import { startSimulator } from "enclave-kms/sim";
import { connect, ConnectionError, createFetch, listen, serve } from "enclave-kms/vsock";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-doors-"));
const socket = (name) => ({ transport: "unix", path: join(folder, name) });
const enclave = await startSimulator();
try {
  await askNsm();
  await encryptAndDecrypt();
  await listenAndConnect();
  await serveAndFetch();
  await runServer();
  await sealSecrets();
  await judgeImages();
} finally {
  await enclave.close();
  rmSync(folder, { recursive: true });
}
console.log("attack at dawn");

async function askNsm() {
  const nsm = new NsmClient(enclave.nsm);
  const document = await nsm.attest({ nonce: new Uint8Array(16) });
  assert.equal((await verifyAttestation(document, { root: enclave.nsm.root })).digest, "SHA384");
}

async function encryptAndDecrypt() {
  const { arn: keyId } = await enclave.createKey();
  const client = await library.KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
  try {
    const encrypted = new Blob(["attack at dawn"]).stream().pipeThrough(encryptStream(client, { keyId }));
    const decrypted = encrypted.pipeThrough(decryptStream(client, { keyId }));
    assert.equal(await new Response(decrypted).text(), "attack at dawn");
  } finally {
    await client.close();
  }
}

async function listenAndConnect() {
  const listener = await listen(socket("echo"), {}, ({ stream }) => void stream.pipe(stream));
  const stream = await connect(listener.endpoint);
  stream.end("hello");
  assert.equal(String(await stream.take(1).toArray()), "hello");
  await listener.close();
  await assert.rejects(connect(socket("none")), ConnectionError);
  await assert.rejects(connect(socket("none")), library.ConnectionError, "entries share their errors");
}

async function serveAndFetch() {
  const server = await serve(
    async (request, { remoteCid }) => Response.json([await request.text(), remoteCid]),
    { endpoint: socket("http"), developmentCid: 16 },
  );
  const answer = await createFetch(server.endpoint)("http://enclave/", { method: "POST", body: "hello" });
  assert.deepEqual(await answer.json(), ["hello", 16]);
  await server.close();
}

async function runServer() {
  const config = readConfig({
    ENCLAVE_KMS_REGION: enclave.clientOptions.region,
    ENCLAVE_KMS_HTTP: `unix:${join(folder, "server")}`,
    ENCLAVE_KMS_KMSTOOL: "off",
    ENCLAVE_KMS_LOG_LEVEL: "silent",
  });
  const server = await startServer(config, { nsm: enclave.clientOptions.nsm });
  const client = hc("http://enclave", { fetch: createFetch(server.httpEndpoint) });
  assert.deepEqual(await (await client.healthz.$get()).json(), { status: "ok" });
  await server.close();
}

async function sealSecrets() {
  const keys = await AgeKeyPair.generate();
  const sealed = await sealWithAge(new Uint8Array(32), [keys.recipient]);
  assert.equal((await computePcr16([{ name: "orders", content: sealed }])).length, 48);
  const recipients = [keys.recipient, keys.recipient];
  const { shares } = await splitSecret({ secret: new Uint8Array(32), threshold: 2, recipients });
  assert.equal(shares.length, 2);
  keys[Symbol.dispose]();
}

async function judgeImages() {
  const role = "arn:aws:iam::111122223333:role/enclave";
  const administrators = ["arn:aws:iam::111122223333:role/key-admin"];
  const policy = makeKeyPolicy({ images: [{ pcr0: "4e".repeat(48) }], role, administrators });
  assert.deepEqual(judgePolicy(policy, { role }), []);
  await assert.rejects(describeImage(bytesSource(new Uint8Array(548))), ImageError);
  const manifest = join(folder, "gone.json");
  await assert.rejects(
    buildImage({ manifest, output: folder }),
    library.EnclaveKmsError,
    "entries share their errors",
  );
}
