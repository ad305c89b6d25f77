import assert from "node:assert/strict";
import { Agent } from "node:https";
import { DecryptCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient } from "../../lib/kms/kms_client.ts";
import { type SimulatorHooks, useSimulator } from "../../sim/mod.ts";

describe("useSimulator()", () => {
  const simulator = useSimulator({ beforeAll, afterAll });

  test("has a simulator within the tests, with keys of their own", async () => {
    const { keyId } = await simulator.current.createKey();
    const ciphertext = await simulator.current.encrypt({ keyId, plaintext: "hello" });
    await using client = await KmsClient.open(simulator.current.clientOptions);
    using secret = await client.decrypt({ ciphertext });
    assert.equal(new TextDecoder().decode(secret.bytes), "hello");
  });

  test("is reached by the AWS SDK at its address, with its certificate checked", async () => {
    const { endpoint, region, credentials, trustedCertificates: ca } = simulator.current;
    assert.ok(endpoint.transport === "tcp");
    const { keyId: KeyId } = await simulator.current.createKey();
    const httpsAgent = new Agent({ ca });
    const client = new KMSClient({
      region,
      credentials,
      endpoint: `https://127.0.0.1:${endpoint.port}`,
      requestHandler: { httpsAgent },
    });
    const { CiphertextBlob } = await client.send(
      new EncryptCommand({ KeyId, Plaintext: new Uint8Array([7]) }),
    );
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob }));
    assert.deepEqual([...Plaintext ?? []], [7]);
    client.destroy();
    httpsAgent.destroy();
  });

  test("takes the hooks of node:test, stops what it has started, and refuses other hooks", async () => {
    const hooks: (() => Promise<void>)[] = [];
    const own = useSimulator({ before: (run) => hooks.push(run), after: (run) => hooks.push(run) });
    assert.throws(() => own.current, /within tests only/);
    await hooks[0]?.();
    const { nsm } = own.current;
    await hooks[1]?.();
    assert.throws(() => own.current, /within tests only/);
    await assert.rejects(nsm.attest(), { code: "ERR_DISPOSED" });
    assert.throws(
      () => useSimulator({} as SimulatorHooks),
      /^TypeError: hooks must have beforeAll and afterAll/,
    );
  });
});
