/** Attested TLS over AF_VSOCK: an application of somebody's own, callers who pin it, and a bridge that reads along. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "node:https";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import { attestedTlsAgent, attestedTlsFetch } from "../../../lib/channel/node/mod.ts";
import { connect } from "../../../lib/transport/connect.ts";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { listen } from "../../../lib/transport/listen.ts";
import { startSimulator } from "../../../sim/mod.ts";
import { pem } from "../../../sim/tls/certificates.ts";
import { makeAuthority, makeClient } from "../../enclave/channels/tls_serving.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";
import { startKmsProxy } from "../kms_proxy.ts";

const TLS_PORT = 8443;
const HTTP_PORT = 8080;
const SECRET = "a secret body";
const LARGE_BYTES = 5_000_000;
const endpoint = { transport: "vsock", cid: GUEST_CID, port: TLS_PORT } as const;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-tls-"));
writeFileSync(
  join(folder, "policy.cedar"),
  'permit(principal, action == Action::"GetAttestation", resource);',
);
const authority = await makeAuthority();
writeFileSync(join(folder, "clients.pem"), pem("CERTIFICATE", authority.certificate));
await using simulator = await startSimulator();
const { nsm } = simulator;
const app = enclaveApp()
  .post(
    "/v1/echo",
    async (c) => c.json({ said: await c.req.text(), caller: c.var.caller.type, on: c.var.channel }),
  )
  .get("/v1/large", () => new Response(new Uint8Array(LARGE_BYTES).fill(65)));
const enclave = await startEnclave(app, {
  name: "tls",
  nsm: { exchange: (bytes) => nsm.exchange(bytes), [Symbol.dispose]() {} },
  trustedCertificates: simulator.trustedCertificates,
  environment: {
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_TLS: `vsock:${TLS_PORT}`,
    ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: join(folder, "clients.pem"),
    ENCLAVE_KMS_POLICY_FILE: join(folder, "policy.cedar"),
    ENCLAVE_KMS_LOG_LEVEL: "silent",
  },
});
const trust = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };

await check("a caller over vsock verifies the enclave, and is nobody without a certificate", async () => {
  const fetch = attestedTlsFetch({ ...trust, endpoint });
  for (let index = 0; index < 20; index++) {
    const answer = await fetch("https://enclave.internal/v1/echo", { method: "POST", body: SECRET });
    assert.deepEqual(await answer.json(), { said: SECRET, caller: "Caller", on: "tls" });
  }
});

await check("a client certificate tells who calls, once KMS has told the time", async () => {
  const { cert, key } = await makeClient(authority);
  const fetch = attestedTlsFetch({ ...trust, endpoint, cert, key });
  const ask = () => fetch("https://enclave.internal/v1/echo", { method: "POST", body: SECRET });
  const early = await ask();
  assert.deepEqual([early.status, (await early.json() as { code: string }).code], [503, "ERR_CLOCK"]);
  await using _proxy = await startKmsProxy(simulator.endpoint);
  const clear = createFetch({ transport: "vsock", cid: GUEST_CID, port: HTTP_PORT });
  for (let isKnown = false; !isKnown;) {
    isKnown = (await (await clear("http://enclave/readyz")).json() as { clock: boolean }).clock;
  }
  const answer = await ask();
  assert.equal((await answer.json() as { caller: string }).caller, "Certificate");
});

await check("an agent keeps its connection, and large answers come whole", async () => {
  const agent = attestedTlsAgent({ ...trust, endpoint });
  for (let index = 0; index < 3; index++) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const sent = request("https://enclave.internal/v1/large", { agent }, (answer) => {
      let length = 0;
      answer.on("data", (chunk: Uint8Array) => length += chunk.length).on("end", () => resolve(length));
    });
    sent.on("error", reject).end();
    assert.equal(await promise, LARGE_BYTES);
  }
  agent.destroy();
});

await check("a bridge on the way reads nothing, and is noticed when it changes a byte", async () => {
  let read = "";
  let isChanging = false;
  await using bridge = await listen(
    { transport: "tcp", host: "127.0.0.1", port: 0 },
    {},
    async ({ stream }) => {
      const inside = await connect(endpoint);
      inside.on("error", () => {});
      stream.on("data", (chunk: Uint8Array) => {
        read += String(chunk);
        if (isChanging) chunk[chunk.length - 1]! ^= 1;
        inside.write(chunk);
      });
      inside.on("data", (chunk: Uint8Array) => stream.write(chunk));
      stream.on("close", () => inside.destroy());
      inside.on("close", () => stream.destroy());
    },
  );
  const fetch = attestedTlsFetch({ ...trust, endpoint: bridge.endpoint });
  const answer = await fetch("https://enclave.internal/v1/echo", { method: "POST", body: SECRET });
  assert.equal((await answer.json() as { said: string }).said, SECRET);
  assert.ok(read.length > 500 && !read.includes(SECRET));
  isChanging = true;
  await assert.rejects(fetch("https://enclave.internal/v1/echo", { method: "POST", body: SECRET }));
});

await check("connections that begin no handshake give way", async () => {
  const silent = await Promise.all(Array.from({ length: 140 }, () => connect(endpoint)));
  for (const stream of silent) stream.on("error", () => {}).resume();
  const fetch = attestedTlsFetch({ ...trust, endpoint, timeoutMs: 100_000 });
  const answer = await fetch("https://enclave.internal/healthz");
  assert.equal(answer.status, 200);
  await until(() => silent.filter(({ destroyed, readableEnded }) => destroyed || readableEnded).length >= 12);
  for (const stream of silent) stream.destroy();
});

await enclave.close();
rmSync(folder, { recursive: true });
