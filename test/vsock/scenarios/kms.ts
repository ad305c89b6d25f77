/**
 * The whole path of a decrypt, as in an enclave: the client is given no endpoint and goes to vsock CID 3,
 * port 8000, where a proxy forwards to the simulated KMS; /dev/nsm is answered by the software NSM.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { listen } from "../../../lib/transport/listen.ts";
import type { VsockPeer } from "../../../lib/transport/connection.ts";
import { ConnectionError, KmsClient, kmsDecrypt } from "../../../mod.ts";
import { attestedKeyPolicy, type TcpEndpoint } from "../../../sim/mod.ts";
import { ENGINE_CASES, startEnclave } from "../../support/engines.ts";
import { check } from "../check.ts";
import { LOOPBACK_CID, PARENT } from "../guest_addresses.ts";

const PLAINTEXT = "attack at dawn";
const encryptionContext = { tenant: "a" };

/** Time that the proxy is away during a call, in milliseconds. */
const ABSENCE_MS = 5000;

await using enclave = await startEnclave();
const { simulator } = enclave;
const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
const ciphertext = await simulator.encrypt({ keyId, plaintext: PLAINTEXT, encryptionContext });

let peers: VsockPeer[] = [];
let proxy = await startProxy();

for (const engine of ENGINE_CASES.filter(({ label }) => /\/dev\/nsm|double/.test(label))) {
  const { endpoint: _, ...options } = enclave.optionsFor(engine);
  await check(`decrypts: ${engine.label}`, async () => {
    assert.equal(engine.skip, false, "nothing may be missing here");
    peers = [];
    await using client = await KmsClient.open({ ...options, timeoutMs: 20_000 });
    for (let i = 0; i < 3; i++) {
      using plaintext = await client.decrypt({ ciphertext, keyId, encryptionContext });
      assert.equal(new TextDecoder().decode(plaintext.bytes), PLAINTEXT);
    }
    assert.ok(peers.length > 0 && peers.every(({ cid }) => cid === LOOPBACK_CID));
    return `connections: ${peers.length}`;
  });
}

await check("kmsDecrypt() does it in one go", async () => {
  const { endpoint: _, nsm: __, ...options } = simulator.clientOptions;
  using plaintext = await kmsDecrypt({ ...options, engine: "direct", ciphertext, encryptionContext });
  assert.equal(new TextDecoder().decode(plaintext.bytes), PLAINTEXT);
});

await check("a client outlives its proxy, and says so while there is none", async () => {
  const { endpoint: _, nsm: __, ...options } = simulator.clientOptions;
  await using client = await KmsClient.open({ ...options, engine: "direct" });
  using first = await client.decrypt({ ciphertext, encryptionContext });
  await proxy[Symbol.asyncDispose]();
  const error = await client.decrypt({ ciphertext, encryptionContext, timeoutMs: ABSENCE_MS }).then(
    () => assert.fail("decrypted"),
    (error: ConnectionError) => error,
  );
  assert.ok(error instanceof ConnectionError, String(error));
  assert.match(error.hint, /is the proxy running on the parent\?$/);
  const waiting = client.decrypt({ ciphertext, encryptionContext });
  proxy = await startProxy();
  using second = await waiting;
  assert.deepEqual(second.bytes, first.bytes);
  return error.message;
});

await proxy[Symbol.asyncDispose]();

/** Forwards connections as vsock-proxy does on the parent. */
function startProxy() {
  const { host, port } = simulator.endpoint as TcpEndpoint;
  return listen(PARENT, {}, ({ stream, peer }) => {
    if (peer !== undefined) peers.push(peer);
    const upstream = connect({ host, port, allowHalfOpen: true });
    upstream.on("error", () => stream.destroy());
    upstream.on("close", () => stream.destroy());
    stream.on("close", () => upstream.destroy());
    stream.pipe(upstream).pipe(stream);
  });
}
