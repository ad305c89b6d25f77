import assert from "node:assert/strict";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { KmsClient } from "../../mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { Exchange } from "../../bench/exchange.ts";
import { ReplayingKms } from "../../bench/replay.ts";
import { describe, test } from "#test";

async function startReplaying(enclave: Simulator) {
  const authority = await TlsAuthority.create(enclave.hostName);
  const kms = await ReplayingKms.start(await authority.certificate("valid"), verifying(enclave));
  const { trustedCertificates } = authority;
  return {
    options: { ...enclave.clientOptions, endpoint: kms.endpoint, trustedCertificates },
    [Symbol.asyncDispose]: () => kms[Symbol.asyncDispose](),
  };
}

function verifying({ endpoint, trustedCertificates, hostName }: Simulator) {
  return { ...(endpoint as TcpEndpoint), ca: trustedCertificates, servername: hostName };
}

describe("a KMS that replays", () => {
  test("asks the verifying one once for each ciphertext and document", async () => {
    await using enclave = await startSimulator();
    await using replaying = await startReplaying(enclave);
    const { keyId } = await enclave.createKey();
    const [first, second] = [
      await enclave.encrypt({ keyId, plaintext: "first" }),
      await enclave.encrypt({ keyId, plaintext: "second" }),
    ];
    const decryptAll = async (client: KmsClient) => {
      const texts: string[] = [];
      for (const ciphertext of [first, second, first, second]) {
        using plaintext = await client.decrypt({ ciphertext });
        texts.push(new TextDecoder().decode(plaintext.bytes));
      }
      return texts;
    };
    const before = enclave.kms.requestCount;
    await using client = await KmsClient.open(replaying.options);
    assert.deepEqual(await decryptAll(client), ["first", "second", "first", "second"]);
    assert.equal(enclave.kms.requestCount - before, 2);
    await using other = await KmsClient.open(replaying.options);
    assert.deepEqual(await decryptAll(other), ["first", "second", "first", "second"]);
    assert.equal(enclave.kms.requestCount - before, 4, "another key pair, another answer");
  });

  test("keeps no answer that KMS did not give", async () => {
    await using enclave = await startSimulator();
    await using replaying = await startReplaying(enclave);
    const { keyId } = await enclave.createKey();
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "first" });
    await using client = await KmsClient.open(replaying.options);
    await enclave.kms.injectFault({ kind: "refusal", kmsCode: "AccessDeniedException" });
    await assert.rejects(client.decrypt({ ciphertext }));
    await enclave.kms.clearFaults();
    using plaintext = await client.decrypt({ ciphertext });
    assert.equal(new TextDecoder().decode(plaintext.bytes), "first");
  });

  test("is refused by a client that trusts the verifying one's authority only", async () => {
    await using enclave = await startSimulator();
    await using replaying = await startReplaying(enclave);
    const { host, port } = replaying.options.endpoint;
    await assert.rejects(Exchange.open({ ...verifying(enclave), host, port }));
  });
});
