import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe } from "#test";
import { KmsClient, type KmsClientOptions } from "../../../mod.ts";
import { type Enclave, type EngineCase, startEnclave, WIRE_CASES } from "../../support/engines.ts";
import { Proxy } from "../../support/proxy.ts";
import { shareKeyOfDouble } from "../../support/sdk_double.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

/** A key pair takes Deno up to a second, and longer on a busy machine. */
const PATIENCE_MS = 30_000;

/** Longer than all waits of three tries together. */
const ABSENCE_MS = 300;

shareKeyOfDouble();

for (const engineCase of WIRE_CASES.filter(({ speaksHttps }) => speaksHttps)) {
  describe.skipIf(engineCase.skip)(`connections of engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let proxy: Proxy;
  let client: KmsClient;
  let keyId: string;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    enclave = await startEnclave();
    keyId = (await enclave.simulator.createKey()).keyId;
    ciphertext = await enclave.simulator.encrypt({ keyId, plaintext: "hello" });
    proxy = new Proxy(enclave.simulator.endpoint);
    await proxy.start();
    client = await open();
  });
  beforeEach(async () => {
    await proxy.stop();
    await proxy.start();
    proxy.accepted = 0;
    proxy.isCutOff = false;
  });
  afterAll(async () => {
    await client.close();
    await proxy[Symbol.asyncDispose]();
    await enclave[Symbol.asyncDispose]();
  });

  function open(options: Partial<KmsClientOptions> = {}): Promise<KmsClient> {
    return KmsClient.open({
      ...enclave.optionsFor(engineCase),
      endpoint: proxy.endpoint,
      timeoutMs: PATIENCE_MS,
      ...options,
    });
  }

  async function decrypt(timeoutMs: number = PATIENCE_MS, signal?: AbortSignal): Promise<void> {
    using plaintext = await client.decrypt({ ciphertext, timeoutMs, signal });
    assert.equal(plaintext.length, 5);
  }

  const operations: readonly (readonly [name: string, run: () => Promise<Disposable>])[] = [
    ["decrypt", () => client.decrypt({ ciphertext })],
    ["generateDataKey", () => client.generateDataKey({ keyId })],
    ["generateRandom", () => client.generateRandom({ numberOfBytes: 16 })],
  ];
  for (const [name, run] of operations) {
    test(`${name} waits for a proxy that is away for ${ABSENCE_MS} ms`, async () => {
      await proxy.restart(ABSENCE_MS);
      using _result = await run();
    });
  }

  test("come back after a restart that broke the idle ones, for all calls at once", async () => {
    await Promise.all(Array.from({ length: 4 }, () => decrypt()));
    await proxy.restart(ABSENCE_MS);
    await Promise.all(Array.from({ length: 4 }, () => decrypt()));
  });

  test("come back when the proxy is there and cannot reach KMS for a while", async () => {
    proxy.isCutOff = true;
    setTimeout(() => (proxy.isCutOff = false), ABSENCE_MS);
    await proxy.stop();
    await proxy.start();
    await decrypt();
    assert.ok(proxy.accepted > 1);
  });

  test("are tried more than maxAttempts times, until the deadline, which reports why", async () => {
    proxy.isCutOff = true;
    await proxy.stop();
    await proxy.start();
    await assert.rejects(decrypt(2500), { code: "ERR_CONNECTION", message: /^Cannot connect to KMS/ });
    assert.ok(proxy.accepted > 3, `${proxy.accepted} connections`);
  });

  test("are not tried any more once the caller aborts", async () => {
    await proxy.stop();
    const controller = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), ABSENCE_MS);
    await assert.rejects(decrypt(PATIENCE_MS, controller.signal), reason);
  });

  test("are tried once with maxAttempts 1", async () => {
    await using once = await open({ maxAttempts: 1 });
    proxy.isCutOff = true;
    await assert.rejects(once.decrypt({ ciphertext }), { code: "ERR_CONNECTION" });
    assert.equal(proxy.accepted, 1);
  });

  test("are at most maxConnections at once", async () => {
    await using two = await open({ maxConnections: 2 });
    const calls = Array.from({ length: 9 }, () => two.decrypt({ ciphertext }));
    for (const plaintext of await Promise.all(calls)) plaintext[Symbol.dispose]();
    assert.equal(proxy.accepted, 2);
  });
}
