import assert from "node:assert/strict";
import { describe, test } from "#test";
import { KmsClient } from "../../../../mod.ts";
import { ENGINE_CASES, startEnclave } from "../../../support/engines.ts";

/** A key pair takes Deno up to a second, and longer on a busy machine. */
const PATIENCE_MS = 60_000;

for (const engineCase of ENGINE_CASES.filter(({ speaksHttps }) => speaksHttps)) {
  describe.skipIf(engineCase.skip)(`key pairs of engine ${engineCase.label}`, () => {
    test("are replaced while calls run, and none of them fails", async () => {
      await using enclave = await startEnclave();
      const { nsm, kms } = enclave.simulator;
      const ciphertext = await enclave.encryptUnderNewKey("hello");
      await using client = await KmsClient.open({
        ...enclave.optionsFor(engineCase),
        keyPairMaxUses: 3,
        timeoutMs: PATIENCE_MS,
      });
      const questions = nsm.requestCount;
      const until = performance.now() + PATIENCE_MS;
      // One document for each key pair, since they are used again for a minute.
      while (nsm.requestCount - questions < 3 && performance.now() < until) {
        const calls = Array.from({ length: 4 }, () => client.decrypt({ ciphertext }));
        for (const plaintext of await Promise.all(calls)) {
          assert.equal(plaintext.length, 5);
          plaintext[Symbol.dispose]();
        }
      }
      assert.ok(nsm.requestCount - questions >= 3, "the key pair was replaced less than twice");
      assert.ok(kms.requests.every(({ refusedWith }) => refusedWith === undefined));
    }, 2 * PATIENCE_MS);
  });
}
