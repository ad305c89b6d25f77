import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import { KmsClient, kmsDecrypt } from "../../../mod.ts";
import {
  DisposedError,
  KmsError,
  ProtocolError,
  UnsupportedOperationError,
} from "../../../lib/core/errors.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { KmsCalls } from "../../../lib/kms/kms_calls.ts";
import { SdkClientEngine } from "../../../lib/kms/sdk_client/sdk_client_engine.ts";
import { HELD_MS, HeldTimers } from "../../support/held_timers.ts";
import { until } from "../../support/until.ts";

describe("KmsClient", () => {
  let enclave: Simulator;
  let client: KmsClient;
  let keyId: string;

  beforeAll(async () => {
    enclave = await startSimulator();
    client = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
    keyId = (await enclave.createKey()).keyId;
  });
  beforeEach(() => enclave.kms.clearFaults());
  afterAll(async () => {
    await client.close();
    await enclave.close();
  });

  test("says which engine it has, and how far KMS's clock is off", () => {
    assert.deepEqual([client.engine, client.clockOffsetMs], ["direct", 0]);
  });

  test("has a method for every operation", async () => {
    const plaintext = Uint8Array.of(1, 2, 3);
    const { ciphertext } = await client.encrypt({ keyId, plaintext });
    using decrypted = await client.decrypt({ ciphertext });
    assert.deepEqual(decrypted.bytes, plaintext);
    using dataKey = await client.generateDataKey({ keyId });
    assert.equal(dataKey.plaintext.length, 32);
    using pair = await client.generateDataKeyPair({ keyId, keyPairSpec: "ECC_NIST_P256" });
    assert.equal(pair.keyPairSpec, "ECC_NIST_P256");
    using random = await client.generateRandom({ numberOfBytes: 7 });
    assert.equal(random.length, 7);
    const agreement = await enclave.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    const peer = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
    const publicKey = new Uint8Array(peer.export({ format: "der", type: "spki" }));
    using shared = await client.deriveSharedSecret({ keyId: agreement.keyId, publicKey });
    assert.equal(shared.length, 32);
    const { keyId: macKeyId } = await enclave.createKey({ spec: "HMAC_384" });
    const { mac } = await client.generateMac({
      keyId: macKeyId,
      message: plaintext,
      macAlgorithm: "HMAC_SHA_384",
    });
    assert.equal(mac.length, 48);
    const macRequest = { keyId: macKeyId, message: plaintext, macAlgorithm: "HMAC_SHA_384" } as const;
    assert.match((await client.verifyMac({ ...macRequest, mac })).keyId, /^arn:/);
    const { arn } = await enclave.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    const request = { keyId: arn, message: plaintext, signingAlgorithm: "ECDSA_SHA_256" } as const;
    const { signature } = await client.sign(request);
    assert.deepEqual(await client.verify({ ...request, signature }), { keyId: arn });
    assert.equal((await client.getPublicKey({ keyId: arn })).keySpec, "ECC_NIST_P256");
  });

  test("wipes the copy of a plaintext that it encrypted, or could not", async () => {
    const wiped: number[] = [];
    const dispose = SecretBytes.prototype[Symbol.dispose];
    SecretBytes.prototype[Symbol.dispose] = function () {
      wiped.push(this.length);
      dispose.call(this);
    };
    try {
      const plaintext = new Uint8Array(777).fill(7);
      await client.encrypt({ keyId, plaintext });
      assert.ok(wiped.includes(777));
      wiped.length = 0;
      await assert.rejects(client.encrypt({ keyId, plaintext, timeoutMs: -1 }), RangeError);
      assert.ok(wiped.includes(777));
    } finally {
      SecretBytes.prototype[Symbol.dispose] = dispose;
    }
  });

  test("a dry run ends well if KMS would have done it, and as KMS refuses otherwise", async () => {
    assert.equal(await client.dryRun("generateDataKey", { keyId }), undefined);
    const other = await enclave.createKey({ policy: { Statement: [] } });
    await assert.rejects(client.dryRun("generateDataKey", { keyId: other.keyId }), (error: unknown) => {
      return error instanceof KmsError && error.kmsCode === "AccessDeniedException";
    });
  });

  test("does not trust a dry run that was done, and wipes what came of it", async () => {
    const wiped: number[] = [];
    const dispose = SecretBytes.prototype[Symbol.dispose];
    SecretBytes.prototype[Symbol.dispose] = function () {
      wiped.push(this.length);
      dispose.call(this);
    };
    // KMS goes on where it should have stopped: the member that says so is lost on the way.
    const { stringify } = JSON;
    JSON.stringify = ((value: unknown, ...rest: []) =>
      stringify(
        typeof value === "object" && value !== null && "DryRun" in value
          ? { ...value, DryRun: undefined }
          : value,
        ...rest,
      )) as typeof stringify;
    try {
      await assert.rejects(client.dryRun("generateDataKey", { keyId }), (error: unknown) => {
        assert.ok(error instanceof ProtocolError);
        assert.equal(error.message, "Cannot trust the dry run: KMS did generate a data key all the same");
        assert.equal(error.hint, "Does the endpoint lead to KMS?");
        return true;
      });
      assert.ok(wiped.includes(32));
      await assert.rejects(client.dryRun("encrypt", { keyId, plaintext: Uint8Array.of(1) }), ProtocolError);
    } finally {
      JSON.stringify = stringify;
      SecretBytes.prototype[Symbol.dispose] = dispose;
    }
  });

  test("asks nothing of KMS for a caller that has given up", async () => {
    const before = enclave.kms.requestCount;
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    const ciphertext = new Uint8Array(100);
    await assert.rejects(client.decrypt({ ciphertext, signal }), reason);
    await assert.rejects(kmsDecrypt({ ...enclave.clientOptions, ciphertext, signal }), reason);
    assert.equal(enclave.kms.requestCount, before);
  });

  test("names what was not done in time", async () => {
    await enclave.kms.injectFault({ kind: "hang" });
    const ciphertext = new Uint8Array(100);
    {
      using timers = new HeldTimers();
      const before = enclave.kms.requestCount;
      const message = `Cannot decrypt: no answer from KMS within ${HELD_MS} ms`;
      const refused = assert.rejects(client.decrypt({ ciphertext, timeoutMs: HELD_MS }), {
        name: "TimeoutError",
        message,
      });
      await until(() => enclave.kms.requestCount > before);
      timers.goOff();
      await refused;
    }
    await assert.rejects(kmsDecrypt({ ...enclave.clientOptions, ciphertext, timeoutMs: 1 }), {
      name: "TimeoutError",
      message: "Cannot decrypt: no RSA key pair within 1 ms",
    });
    await assert.rejects(KmsClient.open({ ...enclave.clientOptions, timeoutMs: 1 }), {
      name: "TimeoutError",
      message: "Cannot open the KMS client: no RSA key pair within 1 ms",
    });
  });

  test("closes once, also by disposal, and is of no use then", async () => {
    const closing = await KmsClient.open(enclave.clientOptions);
    const first = closing.close();
    assert.equal(closing.close(), first);
    assert.equal(closing[Symbol.asyncDispose](), first);
    await first;
    await assert.rejects(closing.generateRandom({ numberOfBytes: 1 }), (error: unknown) => {
      return error instanceof DisposedError && /KmsClient/.test(error.message);
    });
  });

  test("takes nothing for options but an object", async () => {
    for (const options of [undefined, null, 7]) {
      await assert.rejects(kmsDecrypt(options as never), /^TypeError: The options must be a plain object$/);
    }
  });
});

describe("KmsClient of engine sdk-client", () => {
  test("says that it has no dry run", async () => {
    // An engine without a library, which a refusal does not need.
    const calls = new KmsCalls(new SdkClientEngine({} as never), 1000);
    const client = Reflect.construct(KmsClient, [calls]) as KmsClient;
    await assert.rejects(client.dryRun("decrypt", { ciphertext: Uint8Array.of(1) }), (error: unknown) => {
      assert.ok(error instanceof UnsupportedOperationError);
      assert.equal(error.message, "Cannot try to decrypt: the C SDK's client has no dry run");
      assert.equal(error.hint, "Use engine direct or sdk");
      return true;
    });
  });
});
