import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import { MAX_NSM_CALLS } from "../../../../lib/native/blocking_calls.ts";
import { KmsClient, type KmsClientOptions, TimeoutError } from "../../../../mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../../support/engines.ts";
import { doublePath, SdkDouble, shareKeyOfDouble } from "../../../support/sdk_double.ts";
import { until } from "../../../support/until.ts";

/** For what must happen at once: far less than the time-out of the call, far more than a busy machine. */
const GIVES_UP_AFTER_MS = 50;
/** The library and the key pair. */
const HELD_BY_CLIENT = 2;

shareKeyOfDouble();

for (const engineCase of ENGINE_CASES.filter(({ label }) => label.startsWith("sdk over double"))) {
  describe.skipIf(engineCase.skip)(`stalled C on engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let double: SdkDouble;
  let options: KmsClientOptions;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    double = new SdkDouble(doublePath ?? "");
    enclave = await startEnclave();
    options = enclave.optionsFor(engineCase);
    ciphertext = await enclave.encryptUnderNewKey("hello");
  });
  beforeEach(() => double.reset());
  afterAll(async () => {
    double.reset();
    await enclave[Symbol.asyncDispose]();
  });

  test("aws_attestation_request: a time-out; others work on; the key pair goes when C returns", async () => {
    const client = await KmsClient.open(options);
    double.stall("aws_attestation_request");
    await assert.rejects(client.decrypt({ ciphertext, timeoutMs: GIVES_UP_AFTER_MS }), isTimeout);
    await until(() => double.stalled() === 1);
    await client.close();
    assert.equal(double.live(), HELD_BY_CLIENT);

    await using other = await KmsClient.open({ ...options, engine: "direct" });
    using plaintext = await other.decrypt({ ciphertext });
    assert.equal(plaintext.length, 5);

    double.releaseStalls();
    await until(() => double.live() === 0);
    assert.deepEqual(double.log().slice(-2), [
      "release aws_attestation_rsa_keypair_destroy #2",
      "release aws_nitro_enclaves_library_clean_up #1",
    ]);
    assert.deepEqual(double.violations(), []);
  });

  test("aws_attestation_request returns late: the client serves again", async () => {
    await using client = await KmsClient.open(options);
    double.stall("aws_attestation_request");
    await assert.rejects(client.decrypt({ ciphertext, timeoutMs: GIVES_UP_AFTER_MS }), isTimeout);
    await until(() => double.stalled() === 1);
    double.releaseStalls();
    using plaintext = await client.decrypt({ ciphertext });
    assert.equal(plaintext.length, 5);
    assert.deepEqual(double.violations(), []);
  });

  test("aws_attestation_rsa_keypair_new: open() times out; the key pair goes when C returns", async () => {
    double.stall("aws_attestation_rsa_keypair_new");
    await assert.rejects(KmsClient.open({ ...options, timeoutMs: GIVES_UP_AFTER_MS }), isTimeout);
    await until(() => double.stalled() === 1);
    assert.equal(double.live(), 1);
    double.releaseStalls();
    await until(() => double.live() === 0);
    assert.deepEqual(double.log().slice(-2), [
      "release aws_attestation_rsa_keypair_destroy #2",
      "release aws_nitro_enclaves_library_clean_up #1",
    ]);
  });

  test("aws_attestation_request is not called a second time while it is stalled", async () => {
    await using client = await KmsClient.open(options);
    double.stall("aws_attestation_request");
    for (let call = 0; call < 3; call++) {
      await assert.rejects(client.decrypt({ ciphertext, timeoutMs: GIVES_UP_AFTER_MS }), isTimeout);
      await until(() => double.stalled() === 1);
    }
    double.releaseStalls();
    using plaintext = await client.decrypt({ ciphertext });
    assert.equal(plaintext.length, 5);
    assert.deepEqual(double.violations(), []);
  });

  test("as many stalled calls as may be in flight: the next only waits, and key pairs are made as ever", async () => {
    const clients: KmsClient[] = [];
    for (let opened = 0; opened <= MAX_NSM_CALLS; opened++) clients.push(await KmsClient.open(options));
    double.stall("aws_attestation_request");
    for (const [index, client] of clients.entries()) {
      await assert.rejects(client.decrypt({ ciphertext, timeoutMs: GIVES_UP_AFTER_MS }), isTimeout);
      await until(() => double.stalled() === Math.min(index + 1, MAX_NSM_CALLS));
    }
    await using other = await KmsClient.open(options);
    assert.equal(other.engine, "sdk");
    await other.close();

    double.releaseStalls();
    for (const client of clients) {
      using plaintext = await client.decrypt({ ciphertext });
      assert.equal(plaintext.length, 5);
      await client.close();
    }
    await until(() => double.live() === 0);
    assert.deepEqual(double.violations(), []);
  });
}

function isTimeout(error: unknown): boolean {
  assert.ok(error instanceof TimeoutError, String(error));
  assert.equal(error.code, "ERR_TIMEOUT");
  return true;
}
