/**
 * Credentials both ways: what the parent pushes for the SDK's clients, and the SDK's providers for ours.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GenerateRandomCommand, KMSClient } from "@aws-sdk/client-kms";
import { fromIni, fromNodeProviderChain } from "@aws-sdk/credential-providers";
import { describe, test } from "#test";
import { credentialsFromParent, recipientPlugin, vsockRequestHandler } from "../../aws_sdk/mod.ts";
import { type Enclave, enclaveApp, startEnclave } from "../../enclave/mod.ts";
import { KmsClient } from "../../mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { PATIENCE_MS, PATIENT } from "./fake_services.ts";

const ENVIRONMENT = {
  ENV_SETUP: "SIM",
  ENCLAVE_PORT: "0",
  CONTROL_PORT: "0",
  ENCLAVE_KMS_LOG_LEVEL: "silent",
};

function start(simulator: Simulator): Promise<Enclave> {
  const nsm = {
    exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
    [Symbol.dispose]() {},
  };
  const options = { name: "test", environment: ENVIRONMENT, signals: false, nsm };
  return startEnclave(enclaveApp(), options);
}

/** Pushes as the parent does. */
function push(enclave: Enclave, { credentials }: Simulator, expiration?: Date): void {
  enclave.kms.updateCredentials({ ...credentials, ...(expiration && { expiration }) });
}

describe("credentialsFromParent()", () => {
  test("gives what was pushed last, and rejects before", async () => {
    await using simulator = await startSimulator();
    await using enclave = await start(simulator);
    const provide = credentialsFromParent(enclave);
    await assert.rejects(provide(), { code: "ERR_CREDENTIALS" });
    for (let round = 0; round < 2; round++) {
      const { accessKeyId, secretAccessKey, sessionToken } = simulator.rotateCredentials();
      push(enclave, simulator);
      const { expiration: _, ...given } = await provide();
      assert.deepEqual(given, { accessKeyId, secretAccessKey, sessionToken });
    }
  });

  test("has the SDK ask again soon, and never later than they expire", async () => {
    await using simulator = await startSimulator();
    await using enclave = await start(simulator);
    const provide = credentialsFromParent(enclave);
    push(enclave, simulator, new Date(Date.now() + 3_600_000));
    const before = Date.now();
    const given = (await provide()).expiration?.getTime() ?? 0;
    // The SDK asks when less than five minutes are left.
    assert.ok(given >= before + 360_000 && given <= Date.now() + 360_000);
    const soon = new Date(Date.now() + 60_000);
    enclave.kms.updateCredentials({ ...simulator.credentials, expiration: soon }, { force: true });
    assert.equal((await provide()).expiration?.getTime(), soon.getTime());
  });

  test("signs the requests of a client, with the next ones after the first were revoked", async () => {
    await using simulator = await startSimulator();
    await using enclave = await start(simulator);
    // So near their end that the SDK asks each time.
    push(enclave, simulator, new Date(Date.now() + 240_000));
    const { region, endpoint, trustedCertificates, nsm } = simulator.clientOptions;
    const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates, ...PATIENT });
    const credentials = credentialsFromParent(enclave);
    const client = new KMSClient({ region, credentials, requestHandler, maxAttempts: 1 });
    using recipient = recipientPlugin({ nsm, engine: "direct", timeoutMs: PATIENCE_MS });
    client.middlewareStack.use(recipient);
    const ask = async () =>
      (await client.send(new GenerateRandomCommand({ NumberOfBytes: 8 }))).Plaintext?.length;
    assert.equal(await ask(), 8);
    simulator.rotateCredentials({ old: "revoke" });
    await assert.rejects(ask(), { name: "UnrecognizedClientException" });
    push(enclave, simulator, new Date(Date.now() + 250_000));
    assert.equal(await ask(), 8);
    client.destroy();
  });

  test("refuses what is no running enclave, and rejects once it has ended", async () => {
    await using simulator = await startSimulator();
    const enclave = await start(simulator);
    push(enclave, simulator);
    const provide = credentialsFromParent(enclave);
    await enclave.close();
    await assert.rejects(provide(), { code: "ERR_CREDENTIALS" });
    assert.throws(() => credentialsFromParent({} as Enclave), { name: "TypeError" });
  });

  test("the SDK's own providers serve our client", async () => {
    await using simulator = await startSimulator();
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-ini-"));
    const filepath = join(folder, "credentials");
    const { accessKeyId, secretAccessKey, sessionToken } = simulator.credentials;
    const lines = { aws_access_key_id: accessKeyId, aws_secret_access_key: secretAccessKey };
    const all = Object.entries({ ...lines, aws_session_token: sessionToken, aws_account_id: "111122223333" });
    writeFileSync(filepath, `[enclave]\n${all.map(([name, value]) => `${name} = ${value}`).join("\n")}\n`);
    try {
      const files = { filepath, configFilepath: join(folder, "config"), profile: "enclave" };
      for (const credentials of [fromIni(files), fromNodeProviderChain(files)]) {
        await using client = await KmsClient.open({
          ...simulator.clientOptions,
          credentials,
          timeoutMs: PATIENCE_MS,
        });
        using random = await client.generateRandom({ numberOfBytes: 8 });
        assert.equal(random.length, 8);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
