import assert from "node:assert/strict";
import { describe, test } from "#test";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { startSimulator } from "../../../sim/simulator.ts";
import { agentFor, call } from "./caller.ts";
import { CONTEXT, KmsFixture, plaintextOf, SECRET } from "./kms_fixture.ts";

const kms = KmsFixture.use();

describe("the endpoint", () => {
  test("logs each request without secrets", async () => {
    const before = kms.enclave.kms.requestCount;
    const good = await kms.decrypt();
    const bad = await kms.decrypt({ KeyId: "alias/none" });
    assert.equal(kms.enclave.kms.requestCount, before + 2);
    assert.deepEqual(kms.enclave.kms.requests.slice(-2), [
      {
        operation: "Decrypt",
        keyArn: kms.key.arn,
        requestId: good.headers["x-amzn-requestid"],
        refusedWith: undefined,
        fault: undefined,
      },
      {
        operation: "Decrypt",
        keyArn: undefined,
        requestId: bad.headers["x-amzn-requestid"],
        refusedWith: "NotFoundException",
        fault: undefined,
      },
    ]);
    const log = JSON.stringify(kms.enclave.kms.requests);
    for (
      const secret of [
        kms.enclave.credentials.secretAccessKey,
        kms.enclave.credentials.sessionToken,
        kms.ciphertext,
      ]
    ) {
      assert.ok(!log.includes(secret));
    }
  });

  test("keeps connections alive, and many at once", async () => {
    const agent = agentFor(kms.enclave, kms.enclave.endpoint, true);
    const before = kms.enclave.kms.connectionCount;
    for (let i = 0; i < 5; i++) assert.equal((await kms.decrypt({}, { agent })).status, 200);
    assert.equal(kms.enclave.kms.connectionCount, before + 1);
    const replies = await Promise.all(Array.from({ length: 20 }, () => kms.decrypt({}, { agent })));
    assert.ok(replies.every((reply) => plaintextOf(reply) === SECRET));
    agent.destroy();
  });

  test("answers with the clock it was given", async () => {
    const now = Date.now() + 3 * 60_000;
    await using other = await startSimulator({ now: () => now, region: "eu-central-1" });
    const { headers } = await call(other, "Decrypt", {});
    assert.equal(headers["date"], new Date(now).toUTCString());
    assert.equal(other.hostName, "kms.eu-central-1.amazonaws.com");
  });

  test("call() runs an operation in process", async () => {
    const output = await kms.enclave.kms.call("Decrypt", {
      CiphertextBlob: kms.ciphertext,
      EncryptionContext: CONTEXT,
    });
    assert.equal(output["Plaintext"], encodeBase64(new TextEncoder().encode(SECRET)));
    await assert.rejects(kms.enclave.kms.call("Nothing", {}), { kmsCode: "UnknownOperationException" });
  });
});
