import assert from "node:assert/strict";
import { describe, test } from "#test";
import { recordSecrets } from "../../../enclave/secrets/record_secrets.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { NsmClient } from "../../../lib/nsm/mod.ts";
import { expectedPcr16 } from "../../../lib/wire/secret_measurement.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";

const TAKEN = [
  { name: "age-key", version: 2, sha256: new Uint8Array(32).fill(1) },
  { name: "key-shares", version: 7, sha256: new Uint8Array(32).fill(2) },
];
const REFUSAL = { code: "ERR_SECRET_RECORD" };

async function withNsm(body: (nsm: NsmClient, software: SoftwareNsm) => Promise<void>): Promise<void> {
  using software = await SoftwareNsm.create();
  await body(new NsmClient(software), software);
}

describe("recordSecrets()", () => {
  test("extends once for each, in order, and locks", () =>
    withNsm(async (nsm) => {
      await recordSecrets(nsm, TAKEN);
      const { value, locked } = await nsm.describePcr(16);
      assert.deepEqual([locked, ...value], [true, ...await expectedPcr16(TAKEN)]);
      await assert.rejects(nsm.extendPcr(16, Uint8Array.of(1)), AttestationError);
    }));

  test("locks zeros where nothing was taken, so that nothing can be added", () =>
    withNsm(async (nsm) => {
      await recordSecrets(nsm, []);
      const { value, locked } = await nsm.describePcr(16);
      assert.deepEqual([locked, ...value], [true, ...new Uint8Array(48)]);
    }));

  test("of a process that starts again takes the same secrets, and no others", () =>
    withNsm(async (nsm) => {
      await recordSecrets(nsm, TAKEN);
      await recordSecrets(nsm, TAKEN);
      await assert.rejects(recordSecrets(nsm, TAKEN.toReversed()), { ...REFUSAL, message: /locked before/ });
      await assert.rejects(recordSecrets(nsm, TAKEN.slice(1)), REFUSAL);
    }));

  test("fails when something else extended the register, and leaves it as it was", () =>
    withNsm(async (nsm) => {
      const value = await nsm.extendPcr(16, Uint8Array.of(1));
      await assert.rejects(recordSecrets(nsm, TAKEN), { ...REFUSAL, message: /extended before/ });
      assert.deepEqual(await nsm.describePcr(16), { value, locked: false });
    }));

  test("fails without a module, and when it refuses or lies", async () => {
    await assert.rejects(recordSecrets(undefined, TAKEN), { ...REFUSAL, message: /no Nitro Secure Module/ });
    const zeros = { value: new Uint8Array(48), locked: false };
    const good = {
      describePcr: () => Promise.resolve(zeros),
      extendPcr: () => Promise.resolve(new Uint8Array(48)),
      lockPcr: () => Promise.resolve(),
    };
    const refuse = () => Promise.reject(new Error("no"));
    for (const wrong of [{ describePcr: refuse }, { extendPcr: refuse }, { lockPcr: refuse }]) {
      await assert.rejects(recordSecrets({ ...good, ...wrong }, TAKEN), { ...REFUSAL, message: /refused/ });
    }
    await assert.rejects(recordSecrets(good, TAKEN), { ...REFUSAL, message: /another value/ });
  });
});
