import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { type Enclave, enclaveApp, sharedKey, startEnclave } from "../../../enclave/mod.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { KeyLab, MemoryStore, STILL } from "./key_lab.ts";

describe("enclave.sealWith()", () => {
  let lab: KeyLab;
  beforeAll(async () => {
    lab = await KeyLab.open();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  function start(variables: Readonly<Record<string, string>> = {}): Promise<Enclave> {
    const app = enclaveApp().get("/v1/digest", (c) => c.json({ digest: c.var.requestDigest ?? null }));
    const nsm = {
      exchange: (request: Uint8Array<ArrayBuffer>) => lab.simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    const ports = { ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };
    return startEnclave(app, {
      name: "fleet",
      nsm,
      signals: false,
      environment: { ENV_SETUP: "SIM", ...ports, ...variables },
    });
  }

  test("refuses to go without anyEnclave, a key pair, a second key, and an enclave that seals nothing", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    using pair = await lab.load(store, { name: "pair", spec: "ECC_NIST_P256" });
    await using enclave = await start();
    for (const options of [undefined, {}, { anyEnclave: false }, { anyEnclave: true, more: 1 }]) {
      await assert.rejects(enclave.sealWith(key, options as { anyEnclave: true }), TypeError);
    }
    await assert.rejects(enclave.sealWith(pair, { anyEnclave: true }), /AES_256/);
    await enclave.sealWith(key, { anyEnclave: true });
    await assert.rejects(enclave.sealWith(key, { anyEnclave: true }), /one already/);
    await using mute = await start({ ENCLAVE_KMS_SEALED: "off" });
    await assert.rejects(mute.sealWith(key, { anyEnclave: true }), /sealed HTTP is off/);
  });

  test("a request in the clear has no digest", async () => {
    await using enclave = await start();
    const answer = await createFetch(enclave.endpoint)("http://enclave/v1/digest");
    assert.deepEqual(await answer.json(), { digest: null });
  });

  test("ages are by the time of the NSM, whatever clock the parent has set", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    await key.rotate();
    const load = async (aheadMs: number) => {
      const nsm = await SoftwareNsm.create({ now: () => Date.now() + aheadMs });
      const kms = {
        ...lab.kms,
        generateAttestation: ({ nonce }: { nonce: Uint8Array }) => nsm.attest({ nonce }),
      };
      using loaded = await sharedKey(kms, { name: "orders", keyId: lab.keyId, store, ...STILL });
      return [loaded.current.version, loaded.open.length];
    };
    assert.deepEqual(await load(0), [1, 2]);
    assert.deepEqual(await load(STILL.settleMs + 1000), [2, 2]);
    assert.deepEqual(await load(STILL.settleMs + STILL.overlapMs + 1000), [2, 1]);
  });
});
