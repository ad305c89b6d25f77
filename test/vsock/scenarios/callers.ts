/**
 * The bundled server behind the policy of examples/policies, as on real hardware: all peers have one CID, and tokens
 * tell who calls. Credentials come over the control listener.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { attestedKeyPolicy } from "../../../sim/mod.ts";
import { startEnclave } from "../../support/engines.ts";
import { AUDIENCE, ISSUER, TestIssuer } from "../../support/tokens.ts";
import { check } from "../check.ts";
import { startKmsProxy } from "../kms_proxy.ts";
import { askHttp, KmstoolClient } from "../server_client.ts";
import { ServerProcess } from "../server_process.ts";

const HTTP_PORT = 8080;
const KMSTOOL_PORT = 3000;
const PLAINTEXT = "attack at dawn";
const EXAMPLE = new URL("../../../examples/policies/tenants.cedar", import.meta.url);

/** Key that the example names. */
const EXAMPLE_KEY = /arn:aws:kms:eu-central-1:111122223333:key\/[\w-]+/g;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-callers-"));
const control = { transport: "unix", path: join(folder, "control.sock") } as const;
await using enclave = await startEnclave();
const { simulator } = enclave;
const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
const [own, foreign] = await Promise.all([TestIssuer.create(ISSUER), TestIssuer.create(ISSUER)]);
await using _proxy = await startKmsProxy(simulator.endpoint);
await using server = await ServerProcess.start(settings(), [`--allow-write=${folder}`]);

await check("the parent alone sets credentials, over the control listener", async () => {
  assert.equal((await askHttp(HTTP_PORT, "/v1/credentials", simulator.credentials)).status, 404);
  const { accessKeyId, secretAccessKey, sessionToken } = simulator.credentials;
  using kmstool = await KmstoolClient.connect(KMSTOOL_PORT);
  const message = {
    Operation: "SetClient",
    AwsAccessKeyId: accessKeyId,
    AwsSecretAccessKey: secretAccessKey,
    AwsSessionToken: sessionToken,
  };
  assert.equal((await kmstool.ask(message)).Status, "Error", "these peers are not CID 3");
  const taken = await createFetch(control)("http://enclave/v1/credentials", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(simulator.credentials),
  });
  assert.equal(taken.status, 204);
  const { status, body } = await askHttp(HTTP_PORT, "/readyz");
  assert.deepEqual([status, JSON.parse(body).clock], [200, true], body);
});

await check("a tenant decrypts its own, by its token's subject, and no other tenant's", async () => {
  for (const tenant of ["a", "b"]) {
    for (const subject of ["a", "b"]) {
      const { status, body } = await decrypt(tenant, await own.sign({ sub: subject }, {}, Date.now()));
      assert.equal(status, tenant === subject ? 200 : 403, `${subject} asks for ${tenant}'s: ${body}`);
      if (tenant === subject) assert.equal(JSON.parse(body).plaintext, encoded(PLAINTEXT));
    }
  }
});

await check(
  "nobody decrypts, whatever they call themselves, and anybody may ask who the enclave is",
  async () => {
    assert.equal((await decrypt("a")).status, 403);
    const now = Date.now();
    const wrong = [
      await foreign.sign({ sub: "a" }, {}, now),
      await own.sign({ sub: "a", aud: "other" }, {}, now),
      await own.sign({ sub: "a", exp: Math.floor(now / 1000) - 1 }, {}, now),
      "a.b.c",
    ];
    for (const token of wrong) assert.equal((await decrypt("a", token)).status, 401);
    assert.equal((await decrypt("a", await own.sign({ sub: "3" }, {}, now))).status, 403);
    assert.equal((await askHttp(HTTP_PORT, "/v1/attestation?nonce=AAAAAAAAAAAAAAAAAAAAAA==")).status, 200);
  },
);

await check("its log has callers' issuers, and no token", () => {
  const tokens = server.logged("request").filter(({ caller }) => caller !== undefined);
  assert.ok(tokens.some(({ caller }) => (caller as { issuer?: string }).issuer === ISSUER));
  assert.ok(!/eyJ[\w-]+\.eyJ/.test(server.output));
  return Promise.resolve(`${tokens.length} requests of known callers`);
});

rmSync(folder, { recursive: true });

function settings(): Record<string, string> {
  const policyFile = join(folder, "tenants.cedar");
  writeFileSync(policyFile, readFileSync(EXAMPLE, "utf8").replaceAll(EXAMPLE_KEY, keyId));
  writeFileSync(join(folder, "ca.pem"), simulator.trustedCertificates);
  const tokens = [own.config({ audience: AUDIENCE })];
  // Over vsock and in the clear: the channels have scenarios of their own.
  writeFileSync(join(folder, "config.json"), JSON.stringify({ tokens, clearTokens: true }));
  return {
    ENCLAVE_KMS_CONFIG: join(folder, "config.json"),
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_CONTROL: `unix:${control.path}`,
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(folder, "ca.pem"),
    ENCLAVE_KMS_POLICY_FILE: policyFile,
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "30000",
  };
}

async function decrypt(tenant: string, token?: string) {
  const encryptionContext = { tenant };
  const bytes = await simulator.encrypt({ keyId, plaintext: PLAINTEXT, encryptionContext });
  const body = { ciphertext: encoded(bytes), encryptionContext, keyId };
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return await askHttp(HTTP_PORT, "/v1/decrypt", body, headers);
}

function encoded(data: string | Uint8Array): string {
  return Buffer.from(data as string).toString("base64");
}
