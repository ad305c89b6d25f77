import assert from "node:assert/strict";
import process from "node:process";
import { decode } from "cbor2";
import { afterAll, beforeAll, describe, test } from "#test";
import { NsmClient } from "../../../lib/nsm/nsm_client.ts";
import { sealTo, SessionKey } from "../../../lib/attestation/session_key.ts";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { NsmDevice } from "../../../lib/native/nsm_device.ts";
import { SUPERVISED_VARIABLE } from "../../../sim/instruments.ts";
import { countDescriptors } from "../../support/descriptors.ts";
import { isDisposed } from "../../support/disposed.ts";
import { type Enclave, startEnclave } from "../../support/engines.ts";
import { fixErrno, replaceCalls } from "./replaced_calls.ts";

const unsupervised = process.env[SUPERVISED_VARIABLE] === undefined;
const REASON = unsupervised ? " (skipped: no /dev/nsm: run through npm test, with a C compiler)" : "";

/** The device, and not the sockets by which the simulator answers for it. */
const DEVICES = /nsm/;

describe.skipIf(unsupervised)(`NsmDevice${REASON}`, () => {
  let enclave: Enclave;

  beforeAll(async () => {
    enclave = await startEnclave();
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  test("carries a request through the ioctl, and a document back", async () => {
    using device = NsmDevice.open();
    const publicKey = new Uint8Array(294).fill(9);
    const document = await new NsmClient(device).attest({ publicKey });
    const { root } = enclave.simulator.nsm;
    assert.deepEqual((await verifyAttestation(document, { root })).publicKey, publicKey);
  });

  test("takes many requests at once, each answer to its own", async () => {
    using device = NsmDevice.open();
    const nonces = Array.from({ length: 8 }, (_, index) => new Uint8Array([index]));
    const { root } = enclave.simulator.nsm;
    await Promise.all(nonces.map(async (nonce) => {
      await verifyAttestation(await new NsmClient(device).attest({ nonce }), { root, nonce });
    }));
  });

  test("NsmClient.open() does every operation, and closes the device", async () => {
    const before = countDescriptors(DEVICES);
    {
      using nsm = NsmClient.open();
      assert.equal(countDescriptors(DEVICES), before + 1);
      assert.equal((await nsm.describeNsm()).moduleId, enclave.simulator.nsm.moduleId);
      assert.equal((await nsm.getRandom()).length, 256);
      const value = await nsm.extendPcr(20, new Uint8Array(4068));
      await nsm.lockPcr(20);
      assert.deepEqual(await nsm.describePcr(20), { value, locked: true });
      await assert.rejects(nsm.extendPcr(20, value), { nsmCode: "ReadOnlyIndex" });
      await nsm.lockPcrs(18);
      assert.deepEqual((await nsm.describeNsm()).lockedPcrs.slice(-3), [16, 17, 20]);
      using session = await SessionKey.create(nsm);
      const options = { root: enclave.simulator.nsm.root, pcrs: { 20: value } };
      using secret = await session.open(await sealTo(session.document, value, options));
      assert.deepEqual(secret.bytes, value);
    }
    assert.equal(countDescriptors(DEVICES), before);
  });

  test("refuses a request that the driver would refuse", async () => {
    using device = NsmDevice.open();
    await assert.rejects(device.exchange(new Uint8Array(4097)), {
      name: "RangeError",
      message: "An NSM request has at most 4096 bytes, not 4097",
    });
    // Of zeros, which are no request: that the NSM says so means that it got them.
    assert.deepEqual(decode(await device.exchange(new Uint8Array(4096))), { Error: "InvalidOperation" });
    await assert.rejects(device.exchange(new Uint8Array(0)), RangeError);
  });

  test("disposed while the NSM is silent, it is closed when the NSM answers", async () => {
    const before = countDescriptors(DEVICES);
    const device = NsmDevice.open();
    assert.equal(countDescriptors(DEVICES), before + 1);
    using _fault = enclave.simulator.nsm.injectFault({ kind: "latency", ms: 100 }, { times: 1 });
    const pending = new NsmClient(device).attest({});
    device[Symbol.dispose]();
    device[Symbol.dispose]();
    await assert.rejects(device.exchange(new Uint8Array(1)), isDisposed("NsmDevice"));
    assert.ok((await pending).length > 1000);
    while (countDescriptors(DEVICES) > before) await new Promise((resolve) => setTimeout(resolve, 1));
  });

  test("a device that is not there is an AttestationError", () => {
    assert.throws(() => NsmDevice.open("/dev/no-such-nsm"), (error) => {
      assert.ok(error instanceof AttestationError);
      assert.equal(error.code, "ERR_ATTESTATION_UNAVAILABLE");
      assert.equal(error.message, "Cannot open /dev/no-such-nsm: open failed with ENOENT");
      assert.match(error.hint, /^Is this process inside a Nitro Enclave\?/);
      return true;
    });
    assert.throws(() => NsmDevice.open("/dev/\0nsm"), TypeError);
  });

  test("a device that may not be opened, and one that cannot be, have hints of their own", () => {
    for (
      const [code, name, hint] of [
        [13, "EACCES", /^The device is there, but not for this user: run as root/],
        [1, "EPERM", /^The device is there, but not for this user: run as root/],
        [19, "ENODEV", /^The kernel has no driver behind it/],
        [24, "EMFILE", /^There are no descriptors left/],
        [2, "ENOENT", /^Is this process inside a Nitro Enclave\?/],
      ] as const
    ) {
      using _open = replaceCalls({ open: () => -1 });
      using _errno = fixErrno(code);
      assert.throws(() => NsmDevice.open(), (error) => {
        assert.ok(error instanceof AttestationError);
        assert.equal(error.message, `Cannot open /dev/nsm: open failed with ${name}`);
        assert.match(error.hint, hint);
        return true;
      });
    }
  });
});
