import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { readConfig } from "../../server/config.ts";
import { startServer } from "../../server/server.ts";
import { startSimulator } from "../../sim/mod.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-metrics-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the server's metrics", () => {
  test("count KMS's refusals and tries, the policy's time and KMS's clock", async () => {
    await using simulator = await startSimulator();
    const { endpoint, credentials, region, trustedCertificates, nsm } = simulator;
    assert.ok(endpoint.transport === "tcp");
    writeFileSync(join(folder, "ca.pem"), trustedCertificates);
    writeFileSync(join(folder, "policy.cedar"), "permit(principal, action, resource);\n");
    const config = readConfig({
      ENCLAVE_KMS_REGION: region,
      ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_KMSTOOL: "off",
      ENCLAVE_KMS_CONTROL: `unix:${join(folder, "control.sock")}`,
      ENCLAVE_KMS_POLICY_FILE: join(folder, "policy.cedar"),
      ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(folder, "ca.pem"),
    });
    await using server = await startServer(config, { nsm, logger: createLogger("silent") });
    assert.ok(server.httpEndpoint !== undefined && server.controlEndpoint !== undefined);
    const post = async (to: typeof server.httpEndpoint, path: string, body: object) => {
      const headers = { "content-type": "application/json" };
      const init = { method: "POST", headers, body: JSON.stringify(body) };
      const answer = await createFetch(to)(`http://enclave${path}`, init);
      await answer.arrayBuffer();
      return answer.status;
    };
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const given = { accessKeyId, secretAccessKey, sessionToken };
    // A decision, too: that of the control listener's own policy.
    assert.equal(await post(server.controlEndpoint, "/v1/credentials", given), 204);
    const { keyId } = await simulator.createKey();
    const ciphertext = encodeBase64(await simulator.encrypt({ keyId, plaintext: "x" }));
    await simulator.kms.injectFault({ kind: "throttled" }, { times: 1 });
    assert.equal(await post(server.httpEndpoint, "/v1/decrypt", { ciphertext }), 200);
    const other = encodeBase64(new Uint8Array(64));
    assert.equal(await post(server.httpEndpoint, "/v1/decrypt", { ciphertext: other }), 400);
    const text = await (await createFetch(server.httpEndpoint)("http://enclave/metrics")).text();
    const valueOf = (sample: string) => {
      const line = text.split("\n").find((one) => one.startsWith(`enclave_kms_${sample} `));
      return line === undefined ? undefined : Number(line.split(" ")[1]);
    };
    assert.equal(valueOf('kms_errors_total{code="ThrottlingException"}'), 1);
    assert.equal(valueOf('kms_errors_total{code="InvalidCiphertextException"}'), 1);
    assert.equal(valueOf("kms_retries_total"), 1);
    assert.equal(valueOf("policy_seconds_count"), 3);
    assert.equal(valueOf('request_seconds_count{operation="Decrypt"}'), 2);
    assert.ok(Math.abs(valueOf("clock_offset_seconds") ?? NaN) < 3600, "the same clock, in whole seconds");
    assert.ok((valueOf("credentials_age_seconds") ?? -1) >= 0);
  });
});
