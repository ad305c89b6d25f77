import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import { KmsClient, type KmsClientOptions, SdkKmsClientError, TimeoutError } from "../../../../mod.ts";
import { cString, libc, readCString } from "../../../../lib/native/libc.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../../support/engines.ts";
import { doublePath, SdkDouble, shareKeyOfDouble } from "../../../support/sdk_double.ts";

/** For what must happen at once: far less than the time-out of the call, far more than a busy machine. */
const GIVES_UP_AFTER_MS = 300;

const STALLS = [
  "aws_nitro_enclaves_kms_client_new",
  "aws_kms_decrypt_blocking",
  "aws_nitro_enclaves_kms_client_destroy",
];

shareKeyOfDouble();

for (const engineCase of ENGINE_CASES.filter(({ engine }) => engine === "sdk-client")) {
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
    double.setCanary(new Uint8Array(randomBytes(16)));
    await enclave[Symbol.asyncDispose]();
  });

  for (const cFunction of STALLS) {
    test(`${cFunction}: one time-out, refusals, and all is well when C returns`, async () => {
      double.setCanary(new TextEncoder().encode(enclave.simulator.credentials.secretAccessKey));
      const trustStore = sslCertFile();
      const client = await KmsClient.open(options);
      await using other = await KmsClient.open(options);
      double.stall(cFunction);

      const stalled = client.decrypt({ ciphertext, timeoutMs: GIVES_UP_AFTER_MS });
      const queued = [client, other].map((each) => each.decrypt({ ciphertext }));
      const refused = Promise.all(queued.map(assertRefused));
      await assert.rejects(stalled, isTimeout);
      await refused;
      while (double.stalled() === 0) await turn();
      assert.match(sslCertFile() ?? "", /^\/proc\/self\/fd\/\d+$/);

      await assertRefused(client.decrypt({ ciphertext }));
      await assertRefused(other.decrypt({ ciphertext }));
      await client.close();
      assert.ok(double.live() > 1);

      double.releaseStalls();
      await untilServed(other);
      assert.equal(sslCertFile(), trustStore);
      assert.equal(double.live(), 1);
      await other.close();
      assert.equal(double.live(), 0);
      assert.deepEqual(double.violations(), []);
    });
  }

  test("a caller who aborts learns the reason he gave; those who wait are refused", async () => {
    await using client = await KmsClient.open(options);
    double.stall("aws_kms_decrypt_blocking");
    const aborter = new AbortController();
    const aborted = client.decrypt({ ciphertext, signal: aborter.signal });
    const queued = assertRefused(client.decrypt({ ciphertext }));
    while (double.stalled() === 0) await turn();
    aborter.abort(new RangeError("enough"));
    await assert.rejects(aborted, /^RangeError: enough$/);
    await queued;
    double.releaseStalls();
    await untilServed(client);
  });

  test("one who gives up while he waits for his turn harms nobody", async () => {
    await using client = await KmsClient.open(options);
    double.stall("aws_kms_decrypt_blocking");
    const first = client.decrypt({ ciphertext });
    const impatient = client.decrypt({ ciphertext, timeoutMs: 20 });
    const last = client.decrypt({ ciphertext });
    await assert.rejects(impatient, { code: "ERR_TIMEOUT", stage: "sdk-client-turn" });
    double.releaseStalls();
    for (const decrypted of [first, last]) {
      using plaintext = await decrypted;
      assert.equal(plaintext.length, 5);
    }
  });

  /** C has been let go, but may not have returned yet. */
  async function untilServed(client: KmsClient): Promise<void> {
    for (;;) {
      try {
        using plaintext = await client.decrypt({ ciphertext });
        assert.equal(plaintext.length, 5);
        return;
      } catch (error) {
        if (!(error instanceof SdkKmsClientError)) throw error;
        await turn();
      }
    }
  }
}

function isTimeout(error: unknown): boolean {
  assert.ok(error instanceof TimeoutError, String(error));
  assert.equal(error.code, "ERR_TIMEOUT");
  return true;
}

function assertRefused(decrypted: Promise<unknown>): Promise<void> {
  return assert.rejects(decrypted, (error) => {
    assert.ok(error instanceof SdkKmsClientError, String(error));
    assert.equal(error.message, "Cannot ask KMS: an earlier call into the C client has not returned");
    assert.equal(error.cFunction, "aws_kms_decrypt_blocking");
    assert.match(error.hint, /engine direct or sdk/);
    return true;
  });
}

function sslCertFile(): string | undefined {
  const value = libc().call.getenv(cString("SSL_CERT_FILE"));
  return value === null ? undefined : readCString(value);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
