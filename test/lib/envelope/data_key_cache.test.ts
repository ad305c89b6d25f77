import assert from "node:assert/strict";
import { describe, test } from "#test";
import { SecretBytes } from "../../../mod.ts";
import {
  DataKeyCache,
  type DataKeyCacheOptions,
  decryptMessage,
  encryptMessage,
  type EncryptOptions,
  encryptStream,
} from "../../../lib/envelope/mod.ts";
import { until } from "../../support/until.ts";
import { awsDecrypt } from "./aws.ts";
import { FakeKms, KEY_ARN, OTHER_KEY_ARN } from "./fake_kms.ts";
import { collect, pattern, streamOf } from "./streams.ts";

const AGE = { maxAgeMs: 3_600_000 };
const OPTIONS = { keyId: KEY_ARN, encryptionContext: { tenant: "a" } };

function open(options: Partial<DataKeyCacheOptions> = {}): { kms: FakeKms; cache: DataKeyCache } {
  const kms = new FakeKms();
  return { kms, cache: new DataKeyCache(kms, { ...AGE, ...options }) };
}

function encrypt(
  cache: DataKeyCache,
  length: number,
  options: Partial<EncryptOptions> = {},
): Promise<Uint8Array> {
  return encryptMessage(cache, pattern(length), { ...OPTIONS, ...options });
}

async function decrypt(cache: DataKeyCache, message: Uint8Array, keyId = KEY_ARN): Promise<Uint8Array> {
  using plaintext = await decryptMessage(cache, message, { keyId });
  return plaintext.bytes.slice();
}

/** Client whose answers wait until they are let go. */
class SlowKms extends FakeKms {
  readonly #waiting: (() => void)[] = [];
  readonly signals: (AbortSignal | undefined)[] = [];

  override async generateDataKey(request: Parameters<FakeKms["generateDataKey"]>[0]) {
    this.signals.push(request.signal);
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push(resolve);
      request.signal?.addEventListener("abort", () => reject(request.signal?.reason), { once: true });
    });
    return await super.generateDataKey(request);
  }

  letGo(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}

describe("DataKeyCache", () => {
  test("makes many messages with one call to KMS, each with a key of its own, which all open", async () => {
    const { kms, cache } = open();
    using _ = cache;
    const messages = await Promise.all(Array.from({ length: 50 }, () => encrypt(cache, 100)));
    assert.equal(kms.requests.length, 1);
    assert.equal(new Set(messages.map((message) => message.slice(3, 35).join())).size, 50);
    assert.equal(new Set(messages.map((message) => message.slice(-116, -16).join())).size, 50);
    for (const message of messages) assert.deepEqual(await decrypt(cache, message), pattern(100));
    assert.equal(kms.requests.length, 2);
    assert.equal(cache.size, 2);
    assert.deepEqual((await awsDecrypt(messages[7]!)).plaintext, pattern(100));
  });

  test("asks for each key and each context, whatever their order or their boundaries", async () => {
    const { kms, cache } = open();
    using _ = cache;
    const contexts = [{ a: "1", b: "2" }, { b: "2", a: "1" }, { a: "1" }, { a: "1b", "": "2" }, {
      a: "1",
      b2: "",
    }, {}];
    for (const encryptionContext of contexts) await encrypt(cache, 1, { encryptionContext });
    assert.equal(kms.requests.length, contexts.length - 1);
    await encrypt(cache, 1, { keyId: OTHER_KEY_ARN });
    await encrypt(cache, 1, { keyId: OTHER_KEY_ARN });
    assert.equal(kms.requests.length, contexts.length);
  });

  test("opens a data key for no other key and no other context than KMS did", async () => {
    const { kms, cache } = open();
    using _ = cache;
    const message = await encrypt(cache, 10);
    await decrypt(cache, message);
    const calls = kms.requests.length;
    assert.deepEqual(await decrypt(cache, message), pattern(10));
    assert.equal(kms.requests.length, calls);
    const [ciphertext, wrong] = [kms.requests.at(-1), { tenant: "b" }];
    const { ciphertext: wrapped } = ciphertext as unknown as { ciphertext: Uint8Array };
    for (
      const request of [{ keyId: OTHER_KEY_ARN, ...{ encryptionContext: OPTIONS.encryptionContext } }, {
        keyId: KEY_ARN,
        encryptionContext: wrong,
      }, { keyId: KEY_ARN }]
    ) {
      await assert.rejects(cache.decrypt({ ciphertext: wrapped, ...request }), { code: "ERR_KMS" });
      await assert.rejects(cache.decrypt({ ciphertext: wrapped, ...request }), { code: "ERR_KMS" });
    }
    assert.equal(kms.requests.length, calls + 6, "a refusal is not kept");
    (await cache.decrypt({ ciphertext: wrapped, ...OPTIONS }))[Symbol.dispose]();
    assert.equal(kms.requests.length, calls + 6);
  });

  test("takes another data key after so many messages, and after so many bytes", async () => {
    const few = open({ maxMessages: 3 });
    using _few = few.cache;
    await Promise.all(Array.from({ length: 7 }, () => encrypt(few.cache, 10)));
    assert.equal(few.kms.requests.length, 3);
    const bytes = open({ maxBytes: 1000 });
    using _bytes = bytes.cache;
    for (const length of [400, 600, 1, 999, 0, 1000, 1]) await encrypt(bytes.cache, length);
    assert.equal(bytes.kms.requests.length, 4);
    assert.deepEqual(bytes.kms.secrets.map(({ length }) => length), [0, 0, 0, 0], "originals are wiped");
  });

  test("gives a message that is longer than all a data key of its own, and leaves the one that is kept", async () => {
    const { kms, cache } = open({ maxBytes: 1000 });
    using _ = cache;
    await encrypt(cache, 10);
    await encrypt(cache, 1001);
    await encrypt(cache, 10);
    assert.equal(kms.requests.length, 2);
  });

  test("keeps nothing of streams, whose length is not known, and of signed messages", async () => {
    const { kms, cache } = open();
    using _ = cache;
    for (let round = 0; round < 2; round++) {
      await collect(streamOf(pattern(10)).pipeThrough(encryptStream(cache, OPTIONS)));
      await encrypt(cache, 10, { signed: true });
    }
    assert.equal(kms.requests.length, 4);
    assert.equal(cache.size, 0);
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0, 0, 0]);
  });

  test("keeps the data keys that were used last, and wipes the others", async () => {
    const { kms, cache } = open({ maxKeys: 2 });
    using _ = cache;
    for (const tenant of ["a", "b", "a", "c", "a", "b"]) {
      await encrypt(cache, 1, { encryptionContext: { tenant } });
    }
    assert.deepEqual(kms.requests.map((request) => request.encryptionContext?.["tenant"]), [
      "a",
      "b",
      "c",
      "b",
    ]);
    assert.equal(cache.size, 2);
  });

  test("asks again once a data key is as old as it may be, also when the timer is late", async () => {
    const { kms, cache } = open({ maxAgeMs: 1000 });
    using _ = cache;
    const { now } = performance;
    let ahead = 0;
    performance.now = () => now.call(performance) + ahead;
    try {
      await encrypt(cache, 1);
      await encrypt(cache, 1);
      assert.equal(kms.requests.length, 1);
      ahead = 1000;
      await encrypt(cache, 1);
      assert.equal(kms.requests.length, 2);
    } finally {
      performance.now = now;
    }
  });

  test("wipes a data key when its time is up, though nobody asks for it", async () => {
    const { kms, cache } = open({ maxAgeMs: 1000 });
    using _ = cache;
    const { copyOf } = SecretBytes;
    const kept: Uint8Array[] = [];
    SecretBytes.copyOf = (bytes) => {
      const copy = copyOf(bytes);
      kept.push(copy.bytes);
      return copy;
    };
    try {
      const request = { ...OPTIONS, keySpec: "AES_256" as const };
      (await cache.generateDataKeyFor(1, request))[Symbol.dispose]();
    } finally {
      SecretBytes.copyOf = copyOf;
    }
    const isThere = () => kept.some((bytes) => bytes.some((byte) => byte !== 0));
    assert.ok(isThere());
    assert.equal(cache.size, 1);
    while (cache.size > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(!isThere());
    assert.equal(kms.requests.length, 1);
  });

  test("wipes all that it has when it is cleared or disposed, and nothing that it gave", async () => {
    const kms = new FakeKms();
    const copyOf = SecretBytes.copyOf;
    const copies: SecretBytes[] = [];
    SecretBytes.copyOf = (bytes) => {
      const copy = copyOf(bytes);
      copies.push(copy);
      return copy;
    };
    try {
      const cache = new DataKeyCache(kms, AGE);
      const request = { ...OPTIONS, keySpec: "AES_256" as const };
      const given = await cache.generateDataKeyFor(1, request);
      cache.clear();
      assert.equal(cache.size, 0);
      (await cache.generateDataKeyFor(1, request))[Symbol.dispose]();
      assert.equal(kms.requests.length, 2);
      cache[Symbol.dispose]();
      cache[Symbol.dispose]();
      assert.equal(given.plaintext.length, 32);
      assert.deepEqual(copies.filter((copy) => copy.length > 0), [given.plaintext]);
      given[Symbol.dispose]();
      await assert.rejects(encrypt(cache, 1), { code: "ERR_DISPOSED" });
      await assert.rejects(cache.generateDataKey(request), { code: "ERR_DISPOSED" });
      await assert.rejects(cache.decrypt({ ...OPTIONS, ciphertext: pattern(3) }), { code: "ERR_DISPOSED" });
    } finally {
      SecretBytes.copyOf = copyOf;
    }
  });

  test("has no caller stop another: not by giving up, not by running out of time", async () => {
    const kms = new SlowKms();
    using cache = new DataKeyCache(kms, AGE);
    const reason = new Error("no longer wanted");
    const controller = new AbortController();
    const leaving = encrypt(cache, 1, { signal: controller.signal });
    const late = encrypt(cache, 1, { timeoutMs: 1 });
    const staying = encrypt(cache, 1);
    controller.abort(reason);
    await assert.rejects(leaving, reason);
    await assert.rejects(late, { code: "ERR_TIMEOUT" });
    assert.equal(kms.signals.length, 1);
    assert.equal(kms.signals[0]?.aborted, false);
    kms.letGo();
    assert.deepEqual((await awsDecrypt(await staying)).plaintext, pattern(1));
    await assert.rejects(encrypt(cache, 1, { signal: AbortSignal.abort(reason) }), reason);
  });

  test("ends the calls under way when it is disposed, and keeps nothing that comes later", async () => {
    const kms = new SlowKms();
    const cache = new DataKeyCache(kms, AGE);
    const calling = encrypt(cache, 1);
    cache[Symbol.dispose]();
    await assert.rejects(calling, { code: "ERR_DISPOSED" });
    const deaf = new SlowKms();
    const other = new DataKeyCache({
      generateDataKey: ({ signal: _signal, ...request }) => deaf.generateDataKey(request),
      decrypt: (request) => deaf.decrypt(request),
    }, AGE);
    const waiting = encrypt(other, 1);
    other[Symbol.dispose]();
    deaf.letGo();
    await assert.rejects(waiting, { code: "ERR_DISPOSED" });
    assert.equal(other.size, 0);
    assert.deepEqual(deaf.secrets.map(({ length }) => length), [0]);
  });

  test("keeps nothing that a call brings which was under way when it was cleared", async () => {
    const kms = new SlowKms();
    using cache = new DataKeyCache(kms, AGE);
    const waiting = encrypt(cache, 1);
    cache.clear();
    kms.letGo();
    await until(() => kms.signals.length === 2);
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0], "it is wiped");
    assert.equal(cache.size, 0);
    kms.letGo();
    assert.deepEqual((await awsDecrypt(await waiting)).plaintext, pattern(1));
    assert.equal(cache.size, 1);
  });

  test("asks for the context that it was given, whatever becomes of it meanwhile", async () => {
    const kms = new SlowKms();
    using cache = new DataKeyCache(kms, AGE);
    const encryptionContext = { tenant: "a" };
    const waiting = cache.generateDataKeyFor(1, { keyId: KEY_ARN, keySpec: "AES_256", encryptionContext });
    cache.clear();
    encryptionContext.tenant = "b";
    kms.letGo();
    await until(() => kms.signals.length === 2);
    kms.letGo();
    using _key = await waiting;
    assert.deepEqual(kms.requests.map((request) => request.encryptionContext), [
      { tenant: "a" },
      { tenant: "a" },
    ]);
  });

  test("keeps no failure, and no data key of a wrong length", async () => {
    const { kms, cache } = open();
    using _ = cache;
    kms.keyBytes = 16;
    await assert.rejects(encrypt(cache, 1), { code: "ERR_ENVELOPE_KEY" });
    kms.keyBytes = 32;
    await encrypt(cache, 1);
    assert.equal(kms.requests.length, 2);
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0]);
  });

  test("refuses a length that is none", async () => {
    const { kms, cache } = open();
    using _ = cache;
    for (const length of [NaN, -1, 0.5, Infinity]) {
      const asking = cache.generateDataKeyFor(length, { keyId: KEY_ARN, keySpec: "AES_256" });
      await assert.rejects(asking, /^(?:Range|Type)Error: plaintextBytes must be/);
    }
    assert.equal(kms.requests.length, 0);
  });

  test("refuses limits that are none", () => {
    const kms = new FakeKms();
    const bad: object[] = [
      { maxAgeMs: 999 },
      { maxAgeMs: 86_400_001 },
      { ...AGE, maxMessages: 0 },
      { ...AGE, maxBytes: 0 },
      { ...AGE, maxKeys: 0 },
      { ...AGE, maxKeys: 1.5 },
    ];
    for (const options of bad) assert.throws(() => new DataKeyCache(kms, options as never), RangeError);
    for (const options of [{}, { ...AGE, maxAge: 1 }, undefined, { maxAgeMs: "1" }]) {
      assert.throws(() => new DataKeyCache(kms, options as never), TypeError);
    }
    assert.throws(() => new DataKeyCache({ decrypt: kms.decrypt } as never, AGE), TypeError);
  });
});
