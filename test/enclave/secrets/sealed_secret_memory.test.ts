import assert from "node:assert/strict";
import { resolve } from "node:path";
import { describe, test } from "#test";
import { sealedSecret, type SecretDeclaration } from "../../../enclave/mod.ts";
import { sealedFetch } from "../../../lib/channel/mod.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { parseSecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { codeOf, SecretsLab, sha256 } from "./secrets_lab.ts";
import { WaitingProcess } from "./waiting_process.ts";

/** Makes 96 bytes that the runtime's generator, which may keep its last block, did not give. */
function makeSecret(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(96)).map((byte) => byte ^ 0x5a);
}

describe("the memory of an enclave that took a secret past the parent", () => {
  test("holds it once, and none that it refused, and in the end nothing of either", async () => {
    await using lab = await SecretsLab.create();
    const [secret, refused] = [makeSecret(), makeSecret()];
    const secrets: readonly SecretDeclaration[] = [
      { name: "seed", from: sealedSecret(), sha256: encodeHex(sha256(secret)) },
    ];
    await using child = await WaitingProcess.start(lab, secrets, {
      TEST_PRINTS_PORT: "1",
      ENCLAVE_KMS_POLICY_FILE: resolve("examples/policies/attest.cedar"),
    });
    const clear = createFetch({ transport: "tcp", host: "127.0.0.1", port: await child.port() });
    const { nsm } = lab.simulator;
    const sealed = sealedFetch("http://enclave/", { pcrs: { 0: nsm.pcr(0) }, root: nsm.root, fetch: clear });
    const post = async (body: Uint8Array<ArrayBuffer>) => {
      const answer = await sealed("/v1/secrets/seed", { method: "POST", body });
      return codeOf(parseSecretReceipt(new Uint8Array(await answer.arrayBuffer())));
    };
    for (let i = 0; i < 5; i++) assert.equal(await post(refused), "HASH");
    assert.equal(await post(secret), "taken");
    assert.deepEqual(await child.count("collect", { secret, refused }), { secret: 1, refused: 0 });
    assert.deepEqual(await child.count("close", { secret, refused }), { secret: 0, refused: 0 });
  });
});
