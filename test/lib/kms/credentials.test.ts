import assert from "node:assert/strict";
import { afterAll, afterEach, beforeAll, beforeEach, describe } from "#test";
import { type Credentials, type CredentialsProvider, KmsClient } from "../../../mod.ts";
import { type Enclave, type EngineCase, startEnclave, WIRE_CASES } from "../../support/engines.ts";
import { shareKeyOfDouble } from "../../support/sdk_double.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

shareKeyOfDouble();

for (const engineCase of WIRE_CASES) {
  describe.skipIf(engineCase.skip)(`credentials of engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    enclave = await startEnclave();
    ciphertext = await enclave.encryptUnderNewKey("hello");
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  /** Makes a provider that keeps the credentials it returned. */
  function issuing(options: { expiration: boolean }): { issued: Credentials[]; provider: () => Credentials } {
    const issued: Credentials[] = [];
    const provider = () => {
      const { accessKeyId, secretAccessKey, sessionToken } = enclave.simulator.kms.issueCredentials();
      const expiration = options.expiration ? Date.now() + HOUR_MS : undefined;
      const credentials = { accessKeyId, secretAccessKey, sessionToken, expiration };
      issued.push(credentials);
      return credentials;
    };
    return { issued, provider };
  }

  function open(
    credentials: CredentialsProvider,
    expiredCredentials?: "use" | "refuse",
  ): Promise<KmsClient> {
    const options = enclave.optionsFor(engineCase);
    return KmsClient.open({ ...options, credentials, expiredCredentials, timeoutMs: 60_000 });
  }

  async function decrypt(client: KmsClient): Promise<void> {
    using plaintext = await client.decrypt({ ciphertext });
    assert.equal(plaintext.length, 5);
  }

  test("asks a provider once for credentials that say when they expire, and else every time", async () => {
    for (const expiration of [true, false]) {
      const { issued, provider } = issuing({ expiration });
      await using client = await open(provider);
      for (let round = 0; round < 3; round++) await decrypt(client);
      assert.equal(issued.length, expiration ? 1 : 3);
    }
  });

  test("goes on with credentials past their expiration while their source is down, until KMS refuses", async () => {
    const { kms } = enclave.simulator;
    const { accessKeyId, secretAccessKey, sessionToken } = kms.issueCredentials();
    const past = { accessKeyId, secretAccessKey, sessionToken, expiration: Date.now() - MINUTE_MS };
    let asked = 0;
    const once = () => {
      if (++asked > 1) throw new Error("the source is down");
      return past;
    };
    for (const credentials of [past, once]) {
      await using client = await open(credentials);
      for (let round = 0; round < 3; round++) await decrypt(client);
    }
    await using client = await open(past);
    kms.expireCredentials({ accessKeyId });
    await assert.rejects(
      decrypt(client),
      engineCase.speaksHttps
        ? { kmsCode: "ExpiredTokenException", credentialsRefused: true }
        : { code: "ERR_SDK_KMS_DECRYPT" },
    );
  });

  test.skipIf(!engineCase.speaksHttps)("does not wait for a source that hangs", async () => {
    let asked = 0;
    const { issued, provider } = issuing({ expiration: true });
    await using client = await open(() => {
      if (++asked > 1) return new Promise<never>(() => {});
      return { ...provider(), expiration: Date.now() - MINUTE_MS };
    });
    for (let round = 0; round < 3; round++) await decrypt(client);
    assert.equal(issued.length, 1);
  });

  test("asks a provider once for a hundred first calls", async () => {
    const { issued, provider } = issuing({ expiration: true });
    await using client = await open(async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      return provider();
    });
    const aborted = client.decrypt({ ciphertext, signal: AbortSignal.timeout(1) });
    const calls = engineCase.speaksHttps ? 99 : 3; // C's client serves one at a time, a new one for each
    await Promise.all([
      assert.rejects(aborted, { name: "TimeoutError" }),
      ...Array.from({ length: calls }, () => decrypt(client)),
    ]);
    assert.equal(issued.length, 1);
  });

  test("signs nothing with expired credentials that are to be refused, and asks for the time once", async () => {
    const { kms } = enclave.simulator;
    const expiration = new Date(Date.now() - MINUTE_MS);
    const { accessKeyId, secretAccessKey, sessionToken } = kms.issueCredentials();
    const expired = { accessKeyId, secretAccessKey, sessionToken, expiration };
    for (const credentials of [expired, () => expired]) {
      await using client = await open(credentials, "refuse");
      const { requestCount } = kms;
      for (let round = 0; round < 2; round++) {
        await assert.rejects(decrypt(client), {
          name: "CredentialsError",
          message: `Cannot sign the request: the credentials expired at ${expiration.toISOString()}`,
          hint: engineCase.speaksHttps ? /By KMS's clock it is / : /By this machine's clock, .* it is /,
        });
      }
      assert.equal(kms.requestCount - requestCount, engineCase.speaksHttps ? 1 : 0);
      if (engineCase.speaksHttps) {
        assert.equal(kms.requests.at(-1)?.refusedWith, "MissingAuthenticationTokenException");
      }
    }
  });

  describe.skipIf(!engineCase.speaksHttps)("by a clock that is two hours ahead", () => {
    beforeEach(() => {
      enclave.simulator.kms.clockOffsetMs = -2 * HOUR_MS;
    });
    afterEach(() => {
      enclave.simulator.kms.clockOffsetMs = 0;
    });

    function issue(expiresInMs: number): Credentials {
      const { accessKeyId, secretAccessKey, sessionToken } = enclave.simulator.kms.issueCredentials();
      return { accessKeyId, secretAccessKey, sessionToken, expiration: Date.now() + expiresInMs };
    }

    test("uses good ones that look expired, once KMS has shown its time", async () => {
      const good = issue(-HOUR_MS);
      for (const credentials of [good, () => good]) {
        await using client = await open(credentials, "refuse");
        const { requestCount } = enclave.simulator.kms;
        await decrypt(client);
        assert.equal(enclave.simulator.kms.requestCount - requestCount, 3);
        await decrypt(client);
        assert.equal(enclave.simulator.kms.requestCount - requestCount, 4);
      }
    });

    test("refuses those that expired by KMS's clock, and at once when that is known", async () => {
      const { kms } = enclave.simulator;
      const first = issue(-HOUR_MS);
      let current = first;
      await using client = await open(() => ({ ...current }), "refuse");
      await decrypt(client);
      current = issue(-3 * HOUR_MS);
      kms.expireCredentials({ accessKeyId: String(first.accessKeyId) });
      const { requestCount } = kms;
      await assert.rejects(decrypt(client), { name: "CredentialsError", hint: /By KMS's clock it is / });
      assert.ok(kms.requestCount - requestCount <= 1);
    });
  });

  for (const end of ["expireCredentials", "revokeCredentials"] as const) {
    test.skipIf(!engineCase.speaksHttps)(`gets others once when KMS does ${end} early`, async () => {
      const { kms } = enclave.simulator;
      const { issued, provider } = issuing({ expiration: true });
      await using client = await open(provider);
      await decrypt(client);
      kms[end]({ accessKeyId: String(issued[0]?.accessKeyId) });
      const { requestCount } = kms;
      await Promise.all([decrypt(client), decrypt(client), decrypt(client)]);
      assert.equal(issued.length, 2);
      await decrypt(client);
      assert.ok(kms.requestCount - requestCount <= 7);
    });
  }

  test.skipIf(!engineCase.speaksHttps)("gets others when the secret is another's", async () => {
    const { issued, provider } = issuing({ expiration: true });
    const { secretAccessKey } = enclave.simulator.kms.issueCredentials();
    let asked = 0;
    await using client = await open(() => ++asked > 1 ? provider() : { ...provider(), secretAccessKey });
    await decrypt(client);
    await decrypt(client);
    assert.equal(issued.length, 2);
  });
}
