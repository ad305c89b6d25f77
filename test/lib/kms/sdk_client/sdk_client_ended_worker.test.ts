import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { describe, test } from "#test";
import { KmsClient } from "../../../../mod.ts";
import type { DecryptingTask } from "../../../support/decrypting_worker.ts";
import { ENGINE_CASES, startEnclave } from "../../../support/engines.ts";
import { doublePath, SdkDouble } from "../../../support/sdk_double.ts";
import { until } from "../../../support/until.ts";

const onNode = !("Deno" in globalThis);
const PATIENCE_MS = 30_000;
const TWO_CLIENTS = "aws_nitro_enclaves_kms_client_new: two clients live at once";

/**
 * Limits that cannot be lifted: a JavaScript thread has one C client, and a thread that is ended inside C
 * never gives its client back. The double bears a second one beside it; the real C client may crash.
 */
for (const engineCase of ENGINE_CASES.filter(({ label }) => label.startsWith("sdk-client over double"))) {
  describe.skipIf(engineCase.skip)(`a worker ended inside C, engine ${engineCase.label}`, () => {
    test(
      onNode
        ? "ends once C returns, and leaves its C client behind"
        : "ends at once, and its C client is released when C returns",
      async () => {
        await using enclave = await startEnclave();
        const ciphertext = await enclave.encryptUnderNewKey("hello");
        const options = enclave.optionsFor(engineCase);
        const double = new SdkDouble(doublePath ?? "");
        double.reset();
        double.stall("aws_kms_decrypt_blocking");
        const workerData: DecryptingTask = { options, ciphertext };
        const worker = new Worker(new URL("../../../support/decrypting_worker.ts", import.meta.url), {
          workerData,
        });
        await until(() => double.stalled() === 1);

        let isEnded = false;
        const ended = worker.terminate().then(() => (isEnded = true));
        if (!onNode) await ended;
        await sleep(100);
        assert.equal(isEnded, !onNode);
        double.releaseStalls();
        await ended;
        if (!onNode) await until(() => double.live() <= 1);
        assert.equal(double.live() > 1, onNode, double.log().join("\n"));

        await using client = await KmsClient.open(options);
        using plaintext = await client.decrypt({ ciphertext, timeoutMs: PATIENCE_MS });
        assert.equal(new TextDecoder().decode(plaintext.bytes), "hello");
        assert.deepEqual(double.violations(), onNode ? [TWO_CLIENTS] : []);
      },
      2 * PATIENCE_MS,
    );
  });
}
