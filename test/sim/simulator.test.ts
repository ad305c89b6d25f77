import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { DisposedError } from "../../lib/core/errors.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { call } from "./kms/caller.ts";

async function decrypts(enclave: Simulator): Promise<boolean> {
  const { keyId } = await enclave.createKey();
  const CiphertextBlob = encodeBase64(await enclave.encrypt({ keyId, plaintext: "hello" }));
  const { members } = await call(enclave, "Decrypt", { CiphertextBlob });
  return members["Plaintext"] === encodeBase64(new TextEncoder().encode("hello"));
}

describe("startSimulator()", () => {
  test("starts with everything a client needs", async () => {
    await using enclave = await startSimulator();
    assert.deepEqual(Object.keys(enclave.clientOptions).sort(), [
      "credentials",
      "endpoint",
      "nsm",
      "region",
      "trustedCertificates",
    ]);
    assert.equal(enclave.hostName, "kms.us-east-1.amazonaws.com");
    assert.match(enclave.credentials.accessKeyId, /^ASIA[A-Z2-7]{16}$/);
    assert.equal(enclave.credentials.secretAccessKey.length, 40);
    assert.ok(await decrypts(enclave));
  });

  test("simulators do not know each other's keys, credentials or certificates", async () => {
    await using one = await startSimulator();
    await using other = await startSimulator();
    const credentials = one.credentials;
    assert.equal(
      (await call(other, "Decrypt", {}, { credentials })).members["__type"],
      "UnrecognizedClientException",
    );
    await assert.rejects(call(one, "Decrypt", {}, { address: other.endpoint }));
    const { keyId } = await one.createKey();
    await assert.rejects(other.encrypt({ keyId, plaintext: "x" }), { kmsCode: "NotFoundException" });
  });

  test("speaks for regions of every partition", async () => {
    const partitions = {
      "cn-north-1": "aws-cn",
      "us-gov-west-1": "aws-us-gov",
      "us-iso-east-1": "aws-iso",
      "us-isob-east-1": "aws-iso-b",
      "eusc-de-east-1": "aws-eusc",
      "eu-west-1": "aws",
    };
    for (const [region, partition] of Object.entries(partitions)) {
      await using enclave = await startSimulator({ region });
      assert.ok((await enclave.createKey()).arn.startsWith(`arn:${partition}:kms:${region}:`));
      assert.ok(await decrypts(enclave));
    }
  });

  test("refuses a malformed region", async () => {
    await assert.rejects(startSimulator({ region: "nowhere" }), TypeError);
  });

  test("listens on a unix socket, and removes it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
    const path = join(folder, "kms.sock");
    {
      await using enclave = await startSimulator({ listen: { transport: "unix", path } });
      assert.deepEqual(enclave.endpoint, { transport: "unix", path });
      assert.ok(await decrypts(enclave));
      await enclave.kms.injectFault({ kind: "refuse" });
      await assert.rejects(call(enclave, "Decrypt", {}));
      await enclave.kms.clearFaults();
      assert.ok(await decrypts(enclave));
      await enclave.kms.injectFault({ kind: "resetAtByte", byte: 20 }, { times: 1 });
      await assert.rejects(call(enclave, "Decrypt", {}));
      const tcp = await enclave.kms.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
      assert.equal((await call(enclave, "Decrypt", {}, { address: tcp })).status, 400);
    }
    assert.equal(existsSync(path), false);
    rmSync(folder, { recursive: true });
  });

  test("close() twice is harmless; afterwards nothing answers", async () => {
    const enclave = await startSimulator();
    await enclave.close();
    await enclave.close();
    await assert.rejects(call(enclave, "Decrypt", {}));
    await assert.rejects(enclave.nsm.attest(), DisposedError);
  });
});
