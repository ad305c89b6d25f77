import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { changed, codeOf, KeyLab, MemoryStore, PATIENCE_MS } from "./key_lab.ts";

/** Times of a start that gives up soon: what is refused is refused at once, and what fails is tried again until then. */
const IMPATIENT = { startTimeoutMs: 300 };

describe("a shared key's store that is hostile", () => {
  let lab: KeyLab;
  beforeAll(async () => {
    lab = await KeyLab.open();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** Store with some versions of the key. */
  async function filled(versions: number): Promise<MemoryStore> {
    const store = new MemoryStore();
    using key = await lab.load(store);
    for (let version = 2; version <= versions; version++) await key.rotate();
    return store;
  }

  const garbage: [string, unknown][] = [
    ["no bytes", new Uint8Array(0)],
    ["garbage", new TextEncoder().encode("\0\u{fffd}garbage")],
    ["JSON of another kind", new TextEncoder().encode("[]")],
    ["null", new TextEncoder().encode("null")],
    ["a huge object", new Uint8Array(1 << 20)],
    ["text", "a record"],
  ];
  for (const [what, bytes] of garbage) {
    test(`is refused when it answers with ${what}`, async () => {
      const store = new MemoryStore();
      store.onRead = () => bytes as Uint8Array;
      assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
      assert.equal(store.calls.length, 1);
    });
  }

  test("is refused when a record is written in another way", async () => {
    const store = await filled(1);
    const record = store.records.get("orders.1")!;
    store.records.set("orders.1", new Uint8Array([...record, 0x20]));
    assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
  });

  test("is refused when it answers with another key's record, whatever name it has then", async () => {
    const store = await filled(1);
    using _other = await lab.load(store, { name: "others" });
    const other = store.records.get("others.1")!;
    store.records.set("orders.1", other);
    assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
    store.records.set("orders.1", changed(other, { name: "orders" }));
    assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
  });

  test("is refused when it gives an old version out as a new one", async () => {
    const store = await filled(2);
    const [first, second] = [store.records.get("orders.1")!, store.records.get("orders.2")!];
    store.records.set("orders.2", first);
    assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
    const { previous } = JSON.parse(new TextDecoder().decode(second));
    store.records.set("orders.2", changed(first, { version: 2, previous }));
    assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
  });

  test("is noticed when it shows an older state, by minVersion and by a pin, and not without them", async () => {
    const store = await filled(3);
    using newest = await lab.load(store);
    const pin = { version: 3, checkValue: newest.open[0]!.checkValue };
    assert.equal(newest.open[0]!.version, 3);
    store.records.delete("orders.3");
    assert.equal(await codeOf(lab.load(store, { minVersion: 3 })), "ERR_SHARED_KEY_VERSION");
    assert.equal(await codeOf(lab.load(store, { pin })), "ERR_SHARED_KEY_VERSION");
    assert.equal(await codeOf(lab.load(store)), "taken");
    // An empty one is the oldest state: the key is not made anew where its version is known.
    store.records.clear();
    assert.equal(await codeOf(lab.load(store, { minVersion: 2 })), "ERR_SHARED_KEY_VERSION");
    assert.equal(await codeOf(lab.load(store, { pin: { ...pin, version: 1 } })), "ERR_SHARED_KEY_VERSION");
    assert.equal(store.records.size, 0);
  });

  test("is noticed when the key was made anew, by a pin", async () => {
    const store = await filled(1);
    using known = await lab.load(store);
    const pin = { version: 1, checkValue: known.current.checkValue };
    const other = await filled(3);
    assert.equal(await codeOf(lab.load(other, { pin })), "ERR_SHARED_KEY_PIN");
    using _next = await lab.load(store, { pin });
    await _next.rotate();
    assert.equal(await codeOf(lab.load(store, { pin })), "taken");
    other.records.set("orders.1", store.records.get("orders.1")!);
    assert.equal(await codeOf(lab.load(other, { pin })), "ERR_SHARED_KEY_CHAIN");
    store.records.delete("orders.1");
    assert.equal(await codeOf(lab.load(store, { pin })), "ERR_SHARED_KEY_VERSION");
  });

  test("is noticed by an enclave that runs when it replaces or loses a record", async () => {
    const store = await filled(1);
    using key = await lab.load(store);
    const other = await filled(1);
    store.records.set("orders.1", other.records.get("orders.1")!);
    assert.equal(await codeOf(key.refresh()), "ERR_SHARED_KEY_CHAIN");
    store.records.clear();
    assert.equal(await codeOf(key.refresh()), "ERR_SHARED_KEY_CHAIN");
    assert.equal(key.current.version, 1);
  });

  test("is noticed by an enclave that runs when the next version follows another record", async () => {
    const store = await filled(1);
    using key = await lab.load(store);
    const other = await filled(2);
    store.records.set("orders.2", other.records.get("orders.2")!);
    assert.equal(await codeOf(key.refresh()), "ERR_SHARED_KEY_CHAIN");
    assert.equal(await codeOf(key.rotate()), "ERR_SHARED_KEY_CHAIN");
    assert.deepEqual(key.open.map(({ version }) => version), [1]);
  });

  test("cannot have a key made that it does not keep", async () => {
    const store = new MemoryStore();
    store.create = () => Promise.resolve(true);
    assert.equal(await codeOf(lab.load(store, IMPATIENT)), "ERR_SHARED_KEY_STORE");
    store.create = () => Promise.resolve(false);
    assert.equal(await codeOf(lab.load(store, IMPATIENT)), "ERR_SHARED_KEY_STORE");
  });

  test("does not split two enclaves by telling both that they were first, if it gives both the same", async () => {
    const store = new MemoryStore();
    const create = store.create.bind(store);
    store.create = async (...call) => await create(...call) || true;
    const both = Promise.withResolvers<void>();
    let count = 0;
    store.onCreate = () => ++count === 2 ? both.resolve() : both.promise;
    const [one, two] = await Promise.all([lab.load(store), lab.load(store)]);
    assert.equal(one!.current.checkValue, two!.current.checkValue);
    for (const key of [one, two]) key![Symbol.dispose]();
  });

  test("may fail and answer late: it is asked again until the time is up", async () => {
    const store = new MemoryStore();
    let failures = 3;
    store.onRead = () => {
      if (failures-- > 0) throw new Error("503 Slow Down");
      return undefined;
    };
    using key = await lab.load(store);
    assert.equal(key.current.version, 1);
  });

  test("may write twice what it said had failed: the first one counts", async () => {
    const store = new MemoryStore();
    let late: Uint8Array<ArrayBuffer> | undefined;
    store.onCreate = (_, bytes) => {
      if (late !== undefined) return;
      late = bytes.slice();
      throw new Error("the connection broke");
    };
    // The write arrives after all, while the enclave makes another key.
    const create = store.create.bind(store);
    store.create = async (name, bytes) => {
      if (late !== undefined) store.records.set(name, late);
      return await create(name, bytes);
    };
    using key = await lab.load(store);
    using other = await lab.load(store);
    assert.equal(key.current.checkValue, other.current.checkValue);
    assert.deepEqual(store.records.get("orders.1"), late);
  });

  test("may never answer: the start ends when its time is up, and a look too", async () => {
    const silent = new MemoryStore();
    silent.onRead = () => new Promise<never>(() => {});
    const times = { timeoutMs: 20, startTimeoutMs: 100 };
    assert.equal(await codeOf(lab.load(silent, times)), "ERR_SHARED_KEY_STORE");
    silent.onRead = () => undefined;
    silent.onCreate = () => new Promise<never>(() => {});
    // On a busy machine KMS is what takes too long.
    assert.match(await codeOf(lab.load(silent, times)), /^ERR_(SHARED_KEY_STORE|TIMEOUT)$/);

    const store = await filled(1);
    const failures: unknown[] = [];
    const told = Promise.withResolvers<void>();
    const onFailure = (error: unknown) => {
      failures.push(error);
      told.resolve();
    };
    using key = await lab.load(store, { timeoutMs: 1000, refreshMs: 10, settleMs: PATIENCE_MS, onFailure });
    store.onRead = () => new Promise<never>(() => {});
    await told.promise;
    assert.equal((failures[0] as { code?: string }).code, "ERR_SHARED_KEY_STORE");
    assert.equal(key.current.version, 1);
  });

  test("is asked a few dozen times for any number of versions that it makes up", async () => {
    const store = await filled(1);
    const record = store.records.get("orders.1")!;
    store.onRead = (name) => {
      const version = Number(name.split(".")[1]);
      return version === 1 ? record : changed(record, { version, previous: "0".repeat(64) });
    };
    assert.equal(await codeOf(lab.load(store)), "ERR_SHARED_KEY_RECORD");
    assert.ok(store.calls.length < 80, `${store.calls.length} calls`);
  });
});
