import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { CredentialsError } from "../../../lib/core/errors.ts";
import { changed, codeOf, KeyLab, MemoryStore, PATIENCE_MS, STILL, textOf } from "./key_lab.ts";

describe("sharedKey()", () => {
  let lab: KeyLab;
  beforeAll(async () => {
    lab = await KeyLab.open();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test("makes a key once, and gives the same to whoever comes later", async () => {
    const store = new MemoryStore();
    using first = await lab.load(store);
    using second = await lab.load(store);
    assert.equal(first.current.version, 1);
    assert.equal(first.current.secret.length, 32);
    assert.deepEqual([...second.current.secret.bytes], [...first.current.secret.bytes]);
    assert.equal(second.current.checkValue, first.current.checkValue);
    assert.match(first.current.checkValue, /^[0-9a-f]{32}$/);
    assert.equal(store.calls.filter((call) => call.startsWith("create")).length, 1);
    assert.deepEqual([...store.records.keys()], ["orders.1"]);
  });

  for (const spec of ["ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "RSA_2048"] as const) {
    test(`makes a key pair, ${spec}, whose public key both have`, async () => {
      const store = new MemoryStore();
      using first = await lab.load(store, { spec });
      using second = await lab.load(store, { spec });
      assert.ok(first.current.publicKey !== undefined && first.current.publicKey.length > 40);
      assert.deepEqual(second.current.publicKey, first.current.publicKey);
      const pin = { version: 1, publicKey: first.current.publicKey };
      using pinned = await lab.load(store, { spec, pin });
      assert.equal(pinned.current.version, 1);
      using other = await lab.load(new MemoryStore(), { spec });
      const wrong = { version: 1, publicKey: other.current.publicKey };
      assert.equal(await codeOf(lab.load(store, { spec, pin: wrong })), "ERR_SHARED_KEY_PIN");
    });
  }

  test("wipes the key when it is disposed, and gives it to nobody then", async () => {
    const key = await lab.load(new MemoryStore());
    const { bytes } = key.current.secret;
    key[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
    assert.throws(() => key.current, { code: "ERR_DISPOSED" });
    assert.equal(await codeOf(key.rotate()), "ERR_DISPOSED");
    assert.equal(key.isFresh, false);
  });

  test("has one key when three enclaves start at once, whoever writes first", async () => {
    const store = new MemoryStore();
    const arrived = Promise.withResolvers<void>();
    let count = 0;
    store.onCreate = async () => {
      if (++count === 3) arrived.resolve();
      await arrived.promise;
    };
    const keys = await Promise.all([lab.load(store), lab.load(store), lab.load(store)]);
    assert.equal(count, 3);
    assert.equal(new Set(keys.map(({ current }) => current.checkValue)).size, 1);
    for (const key of keys) key[Symbol.dispose]();
  });

  test("is made by the next one when an enclave dies between KMS's answer and the write", async () => {
    const store = new MemoryStore();
    const dying = Promise.withResolvers<void>();
    store.onCreate = async () => {
      store.onCreate = () => {};
      dying.resolve();
      await new Promise<never>(() => {});
    };
    const dead = lab.load(store, { timeoutMs: PATIENCE_MS });
    await Promise.race([dying.promise, dead]);
    using key = await lab.load(store);
    assert.equal(key.current.version, 1);
  });

  test("is complete when an enclave dies between the write and the read", async () => {
    const store = new MemoryStore();
    const dying = Promise.withResolvers<void>();
    let reads = 0;
    store.onRead = async () => {
      if (++reads !== 2) return undefined;
      dying.resolve();
      return await new Promise<never>(() => {});
    };
    const dead = lab.load(store);
    await Promise.race([dying.promise, dead]);
    using key = await lab.load(store);
    assert.equal(key.current.version, 1);
    assert.equal(store.calls.filter((call) => call.startsWith("create")).length, 1);
  });

  test("waits for credentials", async () => {
    let refusals = 2;
    const kms = {
      ...lab.kms,
      generateKey: (request: Parameters<typeof lab.kms.generateKey>[0]) =>
        refusals-- > 0
          ? Promise.reject(new CredentialsError("Cannot ask KMS", { hint: "none yet" }))
          : lab.kms.generateKey(request),
    };
    const { sharedKey } = await import("../../../enclave/shared_keys/load_shared_key.ts");
    using key = await sharedKey(kms, { name: "a", keyId: lab.keyId, store: new MemoryStore(), ...STILL });
    assert.equal(key.current.version, 1);
    assert.equal(refusals, -1);
  });

  test("refuses wrong options", async () => {
    const store = new MemoryStore();
    const wrong: [object, RegExp][] = [
      [{ name: "a/b" }, /name must have/],
      [{ store: {} }, /store must have the methods/],
      [{ encryptionContext: { "enclave-kms-version": "7" } }, /begin with enclave-kms-/],
      [{ images: [] }, /images must be a list/],
      [{ pin: { version: 1 } }, /one of checkValue and publicKey/],
      [{ pin: { version: 1, checkValue: "" } }, /32 lowercase hex/],
      [{ minVersion: 0 }, /minVersion/],
      [{ settleMs: 1, refreshMs: 10 }, /settleMs/],
      [{ minversion: 2 }, /minversion/],
      [{ spec: "SM2" }, /spec must be one of/],
    ];
    for (const [options, message] of wrong) {
      await assert.rejects(lab.load(store, options), message, JSON.stringify(options));
    }
    assert.deepEqual(store.calls, []);
  });

  test("keeps nothing secret in the record, and binds all of it", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store, { encryptionContext: { stage: "prod" } });
    const record = JSON.parse(textOf(store.records.get("orders.1")));
    assert.deepEqual(Object.keys(record), [
      ...["format", "name", "version", "spec", "madeMs", "image", "previous", "ciphertext"],
    ]);
    assert.equal(record.image, key.current.image);
    const code = (members: object, options = {}) => {
      const other = new MemoryStore();
      other.records.set("orders.1", changed(store.records.get("orders.1"), members));
      return codeOf(lab.load(other, { encryptionContext: { stage: "prod" }, ...options }));
    };
    assert.equal(await code({}), "taken");
    assert.equal(await code({}, { encryptionContext: {} }), "ERR_SHARED_KEY_RECORD");
    assert.equal(await code({ madeMs: record.madeMs - 1 }), "ERR_SHARED_KEY_RECORD");
    assert.equal(await code({ image: "0".repeat(96) }), "ERR_SHARED_KEY_RECORD");
    assert.equal(await code({ more: 1 }), "ERR_SHARED_KEY_RECORD");
    assert.equal(await code({ version: 2 }), "ERR_SHARED_KEY_RECORD");
    assert.equal(await code({ name: "others" }), "ERR_SHARED_KEY_RECORD");
    assert.equal(await code({ spec: "ECC_NIST_P256" }), "ERR_SHARED_KEY_RECORD");
  });

  test("takes keys of the listed images, and of its own", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    assert.equal(await codeOf(lab.load(store, { images: ["ab".repeat(48)] })), "taken");
    const kms = await otherImage(lab);
    const load = (images?: string[]) => codeOf(kms.load(store, images === undefined ? {} : { images }));
    assert.equal(await load(), "taken");
    assert.equal(await load([key.current.image]), "taken");
    assert.equal(await load(["ab".repeat(48)]), "ERR_SHARED_KEY_IMAGE");
  });
});

/** Makes an enclave of another image, which the same KMS trusts. */
async function otherImage(lab: KeyLab): Promise<Pick<KeyLab, "load">> {
  const { sharedKey } = await import("../../../enclave/shared_keys/load_shared_key.ts");
  const { SoftwareNsm } = await import("../../../sim/mod.ts");
  const { NsmClient } = await import("../../../lib/nsm/nsm_client.ts");
  const nsm = new NsmClient(await SoftwareNsm.create({ pcrs: { 0: "cd".repeat(48) } }));
  const kms = {
    ...lab.kms,
    generateAttestation: ({ nonce }: { nonce: Uint8Array }) => nsm.attest({ nonce }),
  };
  return {
    load: (store, options = {}) =>
      sharedKey(kms, { name: "orders", keyId: lab.keyId, store, ...STILL, ...options }),
  };
}
