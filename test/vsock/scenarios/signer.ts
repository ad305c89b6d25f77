/**
 * examples/signer, the file that an image has, in a process of its own with the defaults of an enclave: HTTP and the
 * control listener over vsock, KMS through the proxy on the parent, and `/dev/nsm`.
 *
 * A guest's connections to itself come from CID 1, and control takes those of the parent's only, CID 3. So it runs from a
 * copy of the sources in which the parent is CID 1.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { ENCRYPTION_CONTEXT } from "../../../examples/signer/signer.ts";
import { sealedFetch } from "../../../lib/channel/mod.ts";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { attestedKeyPolicy } from "../../../sim/mod.ts";
import { startEnclave } from "../../support/engines.ts";
import { TestIssuer } from "../../support/tokens.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID } from "../guest_addresses.ts";
import { startKmsProxy } from "../kms_proxy.ts";
import { ServerProcess } from "../server_process.ts";

const HTTP_PORT = 8080;
const CONTROL_PORT = 7099;

/** The guest is emulated, and compiles the sources first. */
const PATIENCE_MS = 150_000;
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** All that the example imports, but for packages. */
const SOURCES = ["package.json", "deno.json", "mod.ts", "lib", "ffi", "enclave", "examples/signer"];
const MAIN = "examples/signer/main.ts";
const PARENT = /(?<=const PARENT_CID = )3;/;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-signer-"));
await using enclave = await startEnclave();
const { simulator } = enclave;
const pcr0 = simulator.nsm.pcr(0);
const key = await simulator.createKey({ policy: attestedKeyPolicy({ 0: pcr0 }) });
const plaintext = secp256k1.utils.randomSecretKey();
const issuer = await TestIssuer.create();
const environment = await writeImage();
await using _proxy = await startKmsProxy(simulator.endpoint);

const clear = createFetch({ transport: "vsock", cid: GUEST_CID, port: HTTP_PORT });
const control = createFetch({ transport: "vsock", cid: GUEST_CID, port: CONTROL_PORT });
const sealed = sealedFetch("http://enclave/", { pcrs: { 0: pcr0 }, root: simulator.nsm.root, fetch: clear });

await using signer = await ServerProcess.start(environment, [], copyWithParent(LOOPBACK_CID), PATIENCE_MS);

await check("the parent's credentials come over vsock, on the control listener alone", async () => {
  assert.equal((await clear("http://enclave/v1/credentials", { method: "POST" })).status, 404);
  assert.equal((await sealed("/v1/key")).status, 503);
  assert.equal((await pushCredentials()).status, 204);
  for (;;) {
    if ((await clear("http://enclave/v1/key")).status === 200) break;
  }
  const { status, body } = await told(await clear("http://enclave/readyz"));
  assert.deepEqual([status, body["clock"]], [200, true]);
});

await check("a signer's transaction is signed, over a sealed channel", async () => {
  const { publicKey } = (await told(await sealed("/v1/key"))).body;
  assert.equal(publicKey, encodeBase64(secp256k1.getPublicKey(plaintext)));
  const { status, body } = await sign(["signer"]);
  assert.equal(status, 200);
  const transaction = new TextEncoder().encode("pay 1 to Alice");
  assert.ok(
    secp256k1.verify(decodeBase64(String(body["signature"])), transaction, decodeBase64(String(publicKey))),
  );
});

await check("and nobody else's, and none in the clear", async () => {
  for (
    const [seen, expected] of [
      [await sign(["reader"]), [403, "ERR_POLICY_DENIED"]],
      [await sign(undefined), [403, "ERR_POLICY_DENIED"]],
      [await sign(undefined, clear), [403, "ERR_CHANNEL"]],
      [await sign(["signer"], clear), [401, "ERR_TOKEN"]],
    ] as const
  ) assert.deepEqual([seen.status, seen.body["code"]], expected);
});

await check("the parent ends it, and it ends well", async () => {
  assert.ok((await control("http://enclave/v1/shutdown", { method: "POST" })).ok);
  assert.equal(await signer.exitCode(), 0, signer.output);
  assert.ok(!/eyJ[\w-]+\.eyJ/.test(signer.output), "its log has no token");
});

rmSync(folder, { recursive: true });

/** Writes what an image has, and names it in its environment. */
async function writeImage(): Promise<Record<string, string>> {
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const tokens = [issuer.config({ audience: "signer" })];
  return {
    ENV_SETUP: "NITRO",
    ENCLAVE_KMS_CONFIG: file("config.json", JSON.stringify({ tokens })),
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: file("ca.pem", simulator.trustedCertificates),
    ENCLAVE_KMS_POLICY_FILE: join(ROOT, "examples/signer/policy.cedar"),
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "30000",
    SIGNER_KEY_FILE: file(
      "key.bin",
      await simulator.encrypt({ keyId: key.keyId, plaintext, encryptionContext: ENCRYPTION_CONTEXT }),
    ),
    SIGNER_KEY_ARN: key.arn,
  };
}

/** Copies the sources, with another CID for the parent. */
function copyWithParent(cid: number): string {
  const copy = join(folder, "copy");
  mkdirSync(copy);
  for (const name of SOURCES) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const endpoint = join(copy, "lib/core/endpoint.ts");
  const source = readFileSync(endpoint, "utf8");
  assert.match(source, PARENT);
  writeFileSync(endpoint, source.replace(PARENT, `${cid};`));
  return join(copy, MAIN);
}

function pushCredentials(): Promise<Response> {
  return control("http://enclave/v1/credentials", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(simulator.credentials),
  });
}

async function sign(roles: readonly string[] | undefined, fetch: typeof clear | typeof sealed = sealed) {
  const token = roles && await issuer.sign({ aud: "signer", roles }, {}, Date.now());
  const transaction = encodeBase64(new TextEncoder().encode("pay 1 to Alice"));
  const answer = await fetch("http://enclave/v1/transactions/sign", {
    method: "POST",
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ transaction }),
  });
  return await told(answer);
}

async function told(answer: Response) {
  return { status: answer.status, body: await answer.json() as Record<string, unknown> };
}
