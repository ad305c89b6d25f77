import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { findNewest } from "../../../enclave/shared_keys/find_newest.ts";
import type { ReadRecord } from "../../../enclave/shared_keys/record.ts";
import { useOf } from "../../../enclave/shared_keys/schedule.ts";
import { until } from "../../support/until.ts";
import { codeOf, KeyLab, MemoryStore, PATIENCE_MS } from "./key_lab.ts";

describe("useOf()", () => {
  const times = { settleMs: 100, overlapMs: 1000 };
  const use = (...ages: number[]) => {
    const versions = ages.map((ageMs, i) => ({ version: ages.length - i, ageMs }));
    const { current, open, ended } = useOf(versions, times);
    return [current.version, open.map(({ version }) => version), ended.map(({ version }) => version)];
  };

  test("uses the only version at once", () => {
    assert.deepEqual(use(0), [1, [1], []]);
  });

  test("uses a new version once all others had time to load it, and opens both until the overlap is over", () => {
    assert.deepEqual(use(0, 5000), [1, [2, 1], []]);
    assert.deepEqual(use(99, 5000), [1, [2, 1], []]);
    assert.deepEqual(use(100, 5000), [2, [2, 1], []]);
    assert.deepEqual(use(1099, 5000), [2, [2, 1], []]);
    assert.deepEqual(use(1100, 5000), [2, [2], [1]]);
  });

  test("wipes all versions before one whose overlap is over", () => {
    assert.deepEqual(use(50, 1200, 1300, 9000), [3, [4, 3], [2, 1]]);
    assert.deepEqual(use(50, 60, 70), [1, [3, 2, 1], []]);
  });
});

describe("findNewest()", () => {
  test("finds it among any number of versions, in few steps", async () => {
    for (const last of [1, 2, 3, 4, 5, 7, 8, 9, 100, 1000, 1023, 1024, 1025]) {
      for (const least of [1, 2, 57].filter((version) => version <= last)) {
        let reads = 0;
        const read = (version: number) => {
          reads++;
          assert.ok(version >= least);
          return Promise.resolve(version <= last ? { version } as ReadRecord : undefined);
        };
        assert.equal((await findNewest({ read }, least))?.version, last);
        assert.ok(reads <= 22, `${reads} reads of ${last}`);
      }
    }
    assert.equal(await findNewest({ read: () => Promise.resolve(undefined) }, 1), undefined);
  });
});

describe("rotation of a shared key", () => {
  let lab: KeyLab;
  beforeAll(async () => {
    lab = await KeyLab.open();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test("makes one version when several enclaves rotate at once, and it is not used yet", async () => {
    const store = new MemoryStore();
    using one = await lab.load(store);
    using two = await lab.load(store);
    const both = Promise.withResolvers<void>();
    let count = 0;
    store.onCreate = () => ++count === 2 ? both.resolve() : both.promise;
    assert.deepEqual(await Promise.all([one.rotate(), two.rotate()]), [2, 2]);
    assert.deepEqual([...store.records.keys()], ["orders.1", "orders.2"]);
    for (const key of [one, two]) {
      assert.equal(key.current.version, 1);
      assert.deepEqual(key.open.map(({ version }) => version), [2, 1]);
    }
    assert.equal(one.find(2)?.checkValue, two.find(2)?.checkValue);
    assert.notEqual(one.find(2)?.checkValue, one.find(1)?.checkValue);
    assert.equal(one.find(3), undefined);
  });

  test("is found by the others, which open with it before they use it", async () => {
    const store = new MemoryStore();
    using one = await lab.load(store);
    using two = await lab.load(store, { refreshMs: 10, settleMs: PATIENCE_MS });
    let changes = 0;
    const leave = two.onChange(() => changes++);
    await one.rotate();
    await until(() => two.find(2) !== undefined);
    assert.ok(changes > 0);
    assert.equal(two.current.version, 1);
    leave();
  });

  test("is used after it has settled, and wipes the old version after the overlap", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store, { refreshMs: 10, settleMs: 20, overlapMs: 20 });
    const { bytes } = key.current.secret;
    await key.rotate();
    await until(() => bytes.every((byte) => byte === 0));
    assert.equal(key.current.version, 2);
    assert.deepEqual(key.open.map(({ version }) => version), [2]);
  });

  test("happens by itself when the time is up", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store, { refreshMs: 10, settleMs: 10, rotateMs: 1000 });
    await until(() => key.current.version >= 2);
    assert.ok(store.records.has("orders.2"));
  });

  test("leaves the key as it is when KMS fails, and tells so", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    lab.simulator.kms.injectFault({ kind: "refusal", kmsCode: "DisabledException" }, { times: 1 });
    assert.equal(await codeOf(key.rotate()), "ERR_KMS");
    assert.equal(key.current.version, 1);
    assert.equal(await key.rotate(), 2);
  });

  test("gives an enclave that starts soon after it both versions, and later the new one alone", async () => {
    const store = new MemoryStore();
    using one = await lab.load(store);
    await one.rotate();
    using soon = await lab.load(store);
    assert.equal(soon.current.version, 1);
    assert.deepEqual(soon.open.map(({ version }) => version), [2, 1]);
    using late = await lab.load(store, { refreshMs: 10, settleMs: 10, overlapMs: 0 });
    await until(() => late.open.length === 1);
    assert.equal(late.current.version, 2);
    using least = await lab.load(store, { minVersion: 2 });
    assert.deepEqual(least.open.map(({ version }) => version), [2]);
    assert.equal(least.current.version, 2);
  });

  test("goes on after an enclave slept through several versions", async () => {
    const store = new MemoryStore();
    using asleep = await lab.load(store);
    using awake = await lab.load(store);
    for (let i = 0; i < 3; i++) await awake.rotate();
    await asleep.refresh();
    assert.deepEqual(asleep.open.map(({ version }) => version), [4, 3, 2, 1]);
    assert.equal(asleep.isFresh, true);
  });
});
