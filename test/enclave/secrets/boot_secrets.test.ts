import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import { BootSecrets } from "../../../enclave/secrets/boot_secrets.ts";
import type { CheckedSecret } from "../../../enclave/secrets/checked_secret.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";

const SECRET: CheckedSecret = {
  name: "a",
  source: { kind: "sealed" },
  port: undefined,
  isOptional: false,
  maxBytes: 1024,
  publisher: undefined,
  sha256: undefined,
  isChosenByParent: true,
  identityOf: undefined,
};

describe("BootSecrets", () => {
  test("records what came before the window was opened once, and not again at its end", async () => {
    let records = 0;
    using secrets = new BootSecrets({
      secrets: [SECRET],
      windowMs: 20,
      decrypt: () => Promise.reject(new Error("not needed")),
      record: () => Promise.resolve(void records++),
      logger: createLogger("silent"),
    });
    await secrets.take("a", Uint8Array.of(1));
    await secrets.begin();
    await sleep(100);
    assert.equal(records, 1);
    assert.deepEqual([...secrets.handedOver.keys()], ["a"]);
  });
});
