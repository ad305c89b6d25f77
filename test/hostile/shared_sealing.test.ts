/**
 * A parent of several enclaves that carries sealed requests to whichever it likes, as often as it likes, and restarts
 * enclaves between.
 *
 * @module
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { sealedFetch, type SealedFetchOptions } from "../../lib/channel/sealed_fetch.ts";
import { KeyLab, MemoryStore, PATIENCE_MS } from "../enclave/shared_keys/key_lab.ts";
import { SealedEnclave, type Way } from "../lib/channel/sealed_enclave.ts";
import { until } from "../support/until.ts";

const REQUEST = { method: "POST", body: "pay 100" };
const SERVED = ["POST /orders pay 100"];

describe("a parent of several enclaves", () => {
  let lab: KeyLab;
  beforeAll(async () => {
    lab = await KeyLab.open();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const start = (keyMs?: number) => SealedEnclave.start(lab.simulator.nsm, { rotateMs: keyMs });
  const caller = (way: Way, options: Partial<SealedFetchOptions> = {}) => {
    const { nsm } = lab.simulator;
    const fetch = async (input: string | URL | Request, init?: RequestInit) =>
      await way(new Request(input, init));
    return sealedFetch("http://enclave/", { pcrs: { 0: nsm.pcr(0) }, root: nsm.root, fetch, ...options });
  };
  /** Time of the NSM. */
  const now = () => Date.now();
  /** Keeps copies of what is sealed. */
  const keeping = (kept: Request[], way: Way): Way => (request) => {
    if (request.url.endsWith("/v1/sealed")) kept.push(request.clone());
    return way(request);
  };

  test("replays to a sibling and to a restarted enclave: with keys of each boot neither opens it", async () => {
    const kept: Request[] = [];
    using first = await start();
    assert.equal((await caller(keeping(kept, first.way))("/orders", REQUEST)).status, 200);
    using sibling = await start();
    using restarted = await start();
    for (const other of [sibling, restarted]) {
      const answer = await other.way(kept[0]!.clone());
      assert.equal((await answer.json() as { code: string }).code, "ERR_SEALED_KEY");
      assert.deepEqual(other.served, []);
    }
    assert.deepEqual(first.served, SERVED);
  });

  test("does the same where any enclave may answer: once by each and by each restart, under one digest", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    const kept: Request[] = [];
    using first = await start();
    await first.channel.share(key, now);
    assert.equal((await caller(keeping(kept, first.way))("/orders", REQUEST)).status, 200);
    using siblingKey = await lab.load(store);
    using sibling = await start();
    await sibling.channel.share(siblingKey, now);
    using restartedKey = await lab.load(store);
    using restarted = await start();
    await restarted.channel.share(restartedKey, now);
    for (const each of [first, sibling, restarted]) {
      for (let times = 0; times < 3; times++) await each.way(kept[0]!.clone());
      assert.deepEqual(each.served, SERVED);
      assert.match(each.digests[0]!, /^[0-9a-f]{64}$/);
      assert.deepEqual(each.digests, first.digests, "the handler can tell that it is the same request");
    }
    await caller(first.way)("/orders", REQUEST);
    assert.notEqual(first.digests[1], first.digests[0], "another request, although it says the same");
  });

  test("sets the clock back before a restart: an old request is refused by the NSM's time", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    const kept: Request[] = [];
    using first = await start();
    await first.channel.share(key, now);
    await caller(keeping(kept, first.way))("/orders", REQUEST);
    using later = await start();
    await later.channel.share(key, () => now() + 91_000);
    assert.equal((await later.way(kept[0]!.clone())).status, 200, "it is opened");
    assert.deepEqual(later.served, []);
  });

  test("brings requests to siblings that the caller has no document of: they answer, sealed", async () => {
    const store = new MemoryStore();
    using key = await lab.load(store);
    const enclaves = await Promise.all([start(), start(), start()]);
    for (const enclave of enclaves) await enclave.channel.share(key, now);
    let turn = 0;
    const fetch = caller((request) => enclaves[turn++ % 3]!.way(request));
    for (let i = 0; i < 9; i++) {
      const answer = await fetch("/orders", { method: "POST", body: `${i}` });
      assert.equal((await answer.json() as { body: string }).body, `${i}`);
    }
    assert.equal(enclaves.reduce((sum, { documents }) => sum + documents, 0), 1, "one document for all");
    assert.deepEqual(enclaves.map(({ served }) => served.length), [3, 3, 3]);
    for (const enclave of enclaves) enclave[Symbol.dispose]();
  });

  test("cannot bring a request to an enclave that has another shared key", async () => {
    using key = await lab.load(new MemoryStore());
    using other = await lab.load(new MemoryStore());
    const kept: Request[] = [];
    using first = await start();
    await first.channel.share(key, now);
    using stranger = await start();
    await stranger.channel.share(other, now);
    await caller(keeping(kept, first.way))("/orders", REQUEST);
    assert.equal((await stranger.way(kept[0]!.clone())).status, 400);
    assert.deepEqual(stranger.served, []);
  });

  test("finds the old key gone after the overlap: the caller goes on with a new document", async () => {
    const times = { refreshMs: 10, settleMs: 10, overlapMs: 0, timeoutMs: PATIENCE_MS };
    using key = await lab.load(new MemoryStore(), times);
    using enclave = await start();
    await enclave.channel.share(key, now);
    const kept: Request[] = [];
    const fetch = caller(keeping(kept, enclave.way));
    assert.equal((await fetch("/orders", REQUEST)).status, 200);
    const { keyConfig } = enclave.channel;
    await key.rotate();
    await until(() => enclave.channel.keyConfig !== keyConfig && key.open.length === 1);
    await until(async () => (await enclave.way(kept[0]!.clone())).status === 400);
    assert.equal((await fetch("/orders", REQUEST)).status, 200);
    assert.equal(enclave.documents, 2);
    assert.equal(enclave.served.length, 2);
  });

  test("a sibling that has not loaded the newest version looks for it before it refuses", async () => {
    const store = new MemoryStore();
    const times = { settleMs: 10, refreshMs: 10 };
    using key = await lab.load(store, times);
    using late = await lab.load(store);
    using first = await start();
    using sibling = await start();
    await first.channel.share(key, now);
    await sibling.channel.share(late, now);
    const { keyConfig } = first.channel;
    await key.rotate();
    await until(() => first.channel.keyConfig !== keyConfig);
    const kept: Request[] = [];
    await caller(keeping(kept, first.way))("/orders", REQUEST);
    assert.equal(late.open.length, 1);
    await until(async () => (await sibling.way(kept[0]!.clone())).status === 200);
    assert.deepEqual([late.open.length, sibling.served], [2, SERVED]);
  });

  test("an enclave whose shared key is disposed uses the keys of its boot again", async () => {
    using enclave = await start();
    const own = enclave.channel.keyConfig;
    const key = await lab.load(new MemoryStore());
    await enclave.channel.share(key, now);
    assert.notDeepEqual(enclave.channel.keyConfig, own);
    await assert.rejects(enclave.channel.share(key, now), TypeError);
    const fetch = caller(enclave.way);
    assert.equal((await fetch("/a")).status, 200);
    key[Symbol.dispose]();
    assert.deepEqual(enclave.channel.keyConfig, own);
    assert.equal((await fetch("/b")).status, 200, "after a new document");
    assert.deepEqual([enclave.documents, enclave.served.length], [2, 2]);
  });
});
