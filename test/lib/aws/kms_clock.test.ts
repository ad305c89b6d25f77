import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient } from "../../../mod.ts";
import { type Enclave, type EngineCase, startEnclave, WIRE_CASES } from "../../support/engines.ts";
import { shareKeyOfDouble } from "../../support/sdk_double.ts";

const TEN_MINUTES_MS = 600_000;
const DAY_MS = 86_400_000;

/** The header's second, and what a busy machine takes between the header and the reading of it. */
const TOLERANCE_MS = 60_000;

shareKeyOfDouble();

for (const engineCase of WIRE_CASES.filter(({ speaksHttps }) => speaksHttps)) {
  describe.skipIf(engineCase.skip)(`clock of engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    enclave = await startEnclave();
    ciphertext = await enclave.encryptUnderNewKey("hello");
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  /** Counts the requests that KMS gets for so many calls at once. */
  async function requestsFor(client: KmsClient, calls = 1): Promise<number> {
    const { kms } = enclave.simulator;
    const before = kms.requestCount;
    await Promise.all(Array.from({ length: calls }, async () => {
      using plaintext = await client.decrypt({ ciphertext, timeoutMs: 60_000 });
      assert.equal(plaintext.length, 5);
    }));
    return kms.requestCount - before;
  }

  function assertOffset(client: KmsClient, offsetMs: number): void {
    const { clockOffsetMs } = client;
    assert.ok(Math.abs(clockOffsetMs - offsetMs) < TOLERANCE_MS, `${clockOffsetMs} is not about ${offsetMs}`);
  }

  for (const offsetMs of [TEN_MINUTES_MS, -TEN_MINUTES_MS]) {
    test(`works with KMS's clock ${offsetMs} ms ahead, at the cost of one request`, async () => {
      enclave.simulator.kms.clockOffsetMs = offsetMs;
      await using client = await KmsClient.open(enclave.optionsFor(engineCase));
      assert.equal(client.clockOffsetMs, 0);
      assert.deepEqual([await requestsFor(client), await requestsFor(client)], [2, 1]);
      assertOffset(client, offsetMs);
    });
  }

  test("sends each of several requests at once no more than twice", async () => {
    enclave.simulator.kms.clockOffsetMs = TEN_MINUTES_MS;
    await using client = await KmsClient.open(enclave.optionsFor(engineCase));
    const requests = await requestsFor(client, 8);
    assert.ok(requests > 8 && requests <= 16, `${requests} requests`);
    assert.equal(await requestsFor(client, 8), 8);
    assertOffset(client, TEN_MINUTES_MS);
  });

  test("follows when the difference changes", async () => {
    enclave.simulator.kms.clockOffsetMs = TEN_MINUTES_MS;
    // Documents of the time before would be refused as too young or too old.
    await using client = await KmsClient.open({
      ...enclave.optionsFor(engineCase),
      attestationMaxAgeMs: 0,
    });
    await requestsFor(client);
    enclave.simulator.kms.clockOffsetMs = 0;
    assert.deepEqual([await requestsFor(client), await requestsFor(client)], [2, 1]);
    assertOffset(client, 0);
  });

  test("reports a difference of more than a day, and does not make up for it", async () => {
    enclave.simulator.kms.clockOffsetMs = DAY_MS + TEN_MINUTES_MS;
    await using client = await KmsClient.open(enclave.optionsFor(engineCase));
    const { requestCount } = enclave.simulator.kms;
    await assert.rejects(client.decrypt({ ciphertext, timeoutMs: 60_000 }), {
      name: "KmsError",
      kmsCode: "InvalidSignatureException",
      hint: /clock right/,
    });
    assert.deepEqual([enclave.simulator.kms.requestCount - requestCount, client.clockOffsetMs], [1, 0]);
  });
}
