import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, test } from "#test";
import { type Credentials, OwnedCredentials } from "../../../lib/aws/credentials.ts";
import {
  type Clock,
  CredentialsSource,
  type ExpiredCredentials,
} from "../../../lib/aws/credentials_source.ts";
import { Deadline } from "../../../lib/core/deadline.ts";
import { CredentialsError, DisposedError, TimeoutError } from "../../../lib/core/errors.ts";

const ID = "AKIAEXAMPLE";
const SECRET = "canary/secret+4711";
const CANARY = /canary/;
const text = new TextEncoder();
const GOOD: Credentials = { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: "canary-token==" };
const START_MS = Date.UTC(2026, 10, 5, 12);

class TestClock implements Clock {
  ms = START_MS;
  now(): Date {
    return new Date(this.ms);
  }
  name(): string {
    return "the clock of the test";
  }
}

describe("CredentialsSource", () => {
  test("keeps a copy of its own: the caller may wipe his at once", async () => {
    using deadline = new Deadline("test", 60_000);
    const secretAccessKey = text.encode(SECRET);
    using source = new CredentialsSource({ accessKeyId: ID, secretAccessKey });
    secretAccessKey.fill(0);
    using owned = await source.get(deadline);
    assert.deepEqual(owned.secretAccessKey.bytes, text.encode(SECRET));
  });

  test("disposes a provider's answer once it was copied, with an expiration and without", async () => {
    for (const expiration of [undefined, START_MS + 3_600_000]) {
      using deadline = new Deadline("test", 60_000);
      const answers: Uint8Array[] = [];
      using source = new CredentialsSource(async () => {
        await turn();
        const secretAccessKey = text.encode(SECRET);
        answers.push(secretAccessKey);
        return {
          accessKeyId: ID,
          secretAccessKey,
          expiration,
          [Symbol.dispose]: () => void secretAccessKey.fill(0),
        };
      });
      const clock = new TestClock();
      for (const owned of await Promise.all([1, 2, 3].map(() => source.get(deadline, clock)))) {
        assert.deepEqual(owned.secretAccessKey.bytes, text.encode(SECRET));
        owned[Symbol.dispose]();
      }
      assert.ok(answers.length > 0 && answers.every((bytes) => bytes.every((byte) => byte === 0)));
    }
  });

  test("refuses malformed credentials when it is made, and use after dispose", async () => {
    using deadline = new Deadline("test", 60_000);
    assert.throws(() => new CredentialsSource({ accessKeyId: "", secretAccessKey: SECRET }), TypeError);
    const source = new CredentialsSource(GOOD);
    source[Symbol.dispose]();
    source[Symbol.dispose]();
    await assert.rejects(source.get(deadline), DisposedError);
  });

  test("goes on with credentials that expired: whether they still serve is KMS's to say", async () => {
    using deadline = new Deadline("test", 60_000);
    using source = new CredentialsSource({ ...GOOD, expiration: START_MS - 1 });
    using owned = await source.get(deadline, new TestClock());
    assert.equal(owned.accessKeyId, ID);
  });

  test("refuses credentials that expired when it is to, and says when", async () => {
    using deadline = new Deadline("test", 60_000);
    using source = new CredentialsSource({ ...GOOD, expiration: START_MS + 1000 }, "refuse");
    const clock = new TestClock();
    clock.ms += 999;
    using _good = await source.get(deadline, clock);
    clock.ms += 1;
    await assert.rejects(source.get(deadline, clock), {
      name: "CredentialsError",
      message: "Cannot sign the request: the credentials expired at 2026-11-05T12:00:01.000Z",
      hint: /function as `credentials`.* By the clock of the test it is 2026-11-05T12:00:01.000Z$/,
    });
  });

  test("has no others for credentials that it was given", async () => {
    using deadline = new Deadline("test", 60_000);
    using source = new CredentialsSource(GOOD);
    using used = await source.get(deadline);
    assert.equal(await source.getOther(used, deadline), undefined);
    source[Symbol.dispose]();
    await assert.rejects(source.getOther(used, deadline), DisposedError);
  });

  test("asks a provider once for others than those that were not to be kept", async () => {
    using deadline = new Deadline("test", 60_000);
    let asked = 0;
    using source = new CredentialsSource(() => ({ ...GOOD, accessKeyId: `AKIA${++asked}` }));
    using used = await source.get(deadline);
    using other = await source.getOther(used, deadline);
    assert.equal(other?.accessKeyId, "AKIA2");
  });

  test("asks a provider that answers at once, once for a hundred first calls", async () => {
    using deadline = new Deadline("test", 60_000);
    let asked = 0;
    using source = new CredentialsSource(() => ({
      ...GOOD,
      accessKeyId: `AKIA${++asked}`,
      expiration: Date.now() + 3_600_000,
    }));
    const all = await Promise.all(Array.from({ length: 100 }, () => source.get(deadline)));
    assert.deepEqual(new Set(all.map(({ accessKeyId }) => accessKeyId)), new Set(["AKIA1"]));
    for (const owned of all) owned[Symbol.dispose]();
  });

  test("leaves what a provider throws at once to its asker: the next may be somebody else", async () => {
    using deadline = new Deadline("test", 60_000);
    let asked = 0;
    using source = new CredentialsSource(() => {
      if (++asked % 2 === 1) throw new Error(SECRET);
      return { ...GOOD, accessKeyId: `AKIA${asked}` };
    });
    const settled = await Promise.allSettled([1, 2, 3, 4].map(() => source.get(deadline)));
    assert.deepEqual(settled.map(({ status }) => status), ["rejected", "fulfilled", "rejected", "fulfilled"]);
  });

  test("takes any thenable for a promise", async () => {
    using deadline = new Deadline("test", 60_000);
    const thenable = { then: (resolve: (value: Credentials) => void) => resolve(GOOD) };
    using source = new CredentialsSource(() => thenable as unknown as Promise<Credentials>);
    using owned = await source.get(deadline);
    assert.equal(owned.accessKeyId, ID);
  });

  test("asks a provider before every request", async () => {
    using deadline = new Deadline("test", 60_000);
    let asked = 0;
    using source = new CredentialsSource(() => ({ ...GOOD, accessKeyId: `AKIA${++asked}` }));
    using first = await source.get(deadline);
    using second = await source.get(deadline);
    assert.deepEqual([first.accessKeyId, second.accessKeyId], ["AKIA1", "AKIA2"]);
  });

  test("hides what a failing provider says, but for its kind", async () => {
    using deadline = new Deadline("test", 60_000);
    const failure = Object.assign(new TypeError(SECRET), { code: "ECONNREFUSED" });
    const providers = [() => Promise.reject(failure), () => {
      throw failure;
    }];
    for (const provider of providers) {
      using source = new CredentialsSource(provider);
      await assert.rejects(source.get(deadline), (error: Error) => {
        assert.ok(error instanceof CredentialsError);
        assert.equal(
          error.message,
          "Cannot get credentials: the provider failed with TypeError ECONNREFUSED",
        );
        assert.doesNotMatch(inspect(error, { showHidden: true, depth: 9 }), CANARY);
        return true;
      });
    }
  });

  test("passes on what an error of this library says, which holds no secret", async () => {
    using deadline = new Deadline("test", 60_000);
    const cause = new TimeoutError("Cannot get the role", { hint: "raise the hop limit", stage: "connect" });
    using source = new CredentialsSource(() => Promise.reject(cause));
    const expected = {
      name: "CredentialsError",
      message: "Cannot get the role",
      hint: "raise the hop limit",
      cause,
    };
    await assert.rejects(source.get(deadline), expected);
  });

  test("turns a provider's malformed answer into a CredentialsError that names the field", async () => {
    using deadline = new Deadline("test", 60_000);
    using source = new CredentialsSource(() => ({ accessKeyId: ID, secretAccessKey: "canary\n" }));
    await assert.rejects(source.get(deadline), {
      name: "CredentialsError",
      message: "Cannot use credentials.secretAccessKey: expected printable ASCII without spaces",
    });
  });

  test("waits for a provider no longer than the deadline, or the caller's signal", async () => {
    using source = new CredentialsSource(() => new Promise<Credentials>(() => {}));
    using deadline = new Deadline("test", 20);
    await assert.rejects(source.get(deadline), TimeoutError);
    const reason = new Error("enough");
    using aborted = new Deadline("test", 1000, AbortSignal.abort(reason));
    await assert.rejects(source.get(aborted), reason);
  });
});

/** A provider whose answers come when the test wants. */
class SlowProvider {
  readonly asked: PromiseWithResolvers<Credentials>[] = [];
  readonly source: CredentialsSource;

  constructor(expired?: ExpiredCredentials) {
    this.source = new CredentialsSource(() => {
      const answer = Promise.withResolvers<Credentials>();
      this.asked.push(answer);
      return answer.promise;
    }, expired);
  }

  /** Answers the n-th question with `AKIAn`. */
  async answer(index: number, lifetimeMs?: number): Promise<void> {
    const expiration = lifetimeMs === undefined ? undefined : START_MS + lifetimeMs;
    this.asked[index]!.resolve({ ...GOOD, accessKeyId: `AKIA${index}`, expiration });
    await turn();
  }

  async fail(index: number): Promise<void> {
    this.asked[index]!.reject(new Error(SECRET));
    await turn();
  }
}

/** The holds that are taken of credentials, until it is disposed. */
class Holds implements Disposable {
  readonly taken: OwnedCredentials[] = [];
  readonly #share = OwnedCredentials.prototype.share;

  constructor() {
    const [share, taken] = [this.#share, this.taken];
    OwnedCredentials.prototype.share = function () {
      taken.push(share.call(this));
      return taken.at(-1)!;
    };
  }

  [Symbol.dispose](): void {
    OwnedCredentials.prototype.share = this.#share;
  }
}

/** `performance.now` as the test moves it on, until it is disposed. */
class FakeMonotonicTime implements Disposable {
  readonly #now = performance.now;
  #addedMs = 0;

  constructor() {
    performance.now = () => this.#now.call(performance) + this.#addedMs;
  }

  advance(ms: number): void {
    this.#addedMs += ms;
  }

  [Symbol.dispose](): void {
    performance.now = this.#now;
  }
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

describe("CredentialsSource of a provider that says when credentials expire", () => {
  let provider: SlowProvider;
  let clock: TestClock;
  let deadline: Deadline;

  beforeEach(() => {
    provider = new SlowProvider();
    clock = new TestClock();
    deadline = new Deadline("test", 60_000);
  });
  afterEach(() => {
    deadline[Symbol.dispose]();
    provider.source[Symbol.dispose]();
  });

  async function idOf(getting: Promise<OwnedCredentials | undefined>): Promise<string | undefined> {
    using owned = await getting;
    return owned?.accessKeyId;
  }

  const get = () => idOf(provider.source.get(deadline, clock));

  async function start(lifetimeMs: number): Promise<void> {
    const first = get();
    await provider.answer(0, lifetimeMs);
    assert.equal(await first, "AKIA0");
  }

  for (
    const [lifetimeMs, advanceMs] of [[HOUR_MS, 5 * MINUTE_MS], [20 * MINUTE_MS, 2 * MINUTE_MS]] as const
  ) {
    test(`asks again ${advanceMs} ms before ${lifetimeMs} ms have passed, and nobody waits`, async () => {
      await start(lifetimeMs);
      clock.ms = START_MS + lifetimeMs - advanceMs - 1;
      assert.deepEqual([await get(), provider.asked.length], ["AKIA0", 1]);
      clock.ms += 1;
      assert.deepEqual(await Promise.all([get(), get(), get()]), ["AKIA0", "AKIA0", "AKIA0"]);
      assert.equal(provider.asked.length, 2);
      await provider.answer(1, 2 * lifetimeMs);
      assert.deepEqual([await get(), provider.asked.length], ["AKIA1", 2]);
    });
  }

  test("wipes what it replaces, but not what requests that run use", async () => {
    const first = provider.source.get(deadline, clock);
    await provider.answer(0, HOUR_MS);
    const running = await first;
    const { bytes } = running.secretAccessKey;
    clock.ms += HOUR_MS - MINUTE_MS;
    await get();
    await provider.answer(1, 2 * HOUR_MS);
    assert.deepEqual(bytes, text.encode(SECRET));
    running[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0), "what is replaced, once nobody uses it");
    const last = await provider.source.get(deadline, clock);
    const { bytes: kept } = last.secretAccessKey;
    last[Symbol.dispose]();
    assert.deepEqual(kept, text.encode(SECRET));
    provider.source[Symbol.dispose]();
    assert.ok(kept.every((byte) => byte === 0));
  });

  test("goes on with the old ones while the source is down, even past their expiration", async () => {
    await start(HOUR_MS);
    using monotonic = new FakeMonotonicTime();
    clock.ms += HOUR_MS - 4 * MINUTE_MS;
    for (let failures = 1; failures <= 12; failures++) {
      assert.deepEqual(await Promise.all([get(), get()]), ["AKIA0", "AKIA0"]);
      assert.equal(provider.asked.length, 1 + failures);
      await provider.fail(failures);
      assert.deepEqual([await get(), provider.asked.length], ["AKIA0", 1 + failures]);
      clock.ms += 2 * MINUTE_MS;
      monotonic.advance(MINUTE_MS);
    }
    await get();
    await provider.answer(13, 10 * HOUR_MS);
    assert.deepEqual([await get(), provider.asked.length], ["AKIA13", 14]);
  });

  test("pauses longer after each failure, up to a minute, and at first only shortly again after a success", async () => {
    await start(HOUR_MS);
    using monotonic = new FakeMonotonicTime();
    clock.ms += 2 * HOUR_MS;
    for (const [index, longestMs] of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000].entries()) {
      await get();
      assert.equal(provider.asked.length, index + 2);
      await provider.fail(index + 1);
      monotonic.advance(longestMs / 2 - 1);
      await get();
      assert.equal(provider.asked.length, index + 2, `asked before half of ${longestMs} ms`);
      monotonic.advance(longestMs / 2 + 1);
    }
    await get();
    await provider.answer(9, 3 * HOUR_MS);
    clock.ms += HOUR_MS;
    await get();
    await provider.fail(10);
    monotonic.advance(1000);
    await get();
    assert.equal(provider.asked.length, 12);
  });

  test("nobody waits for a provider that hangs while there are credentials", async () => {
    await start(HOUR_MS);
    clock.ms += 2 * HOUR_MS;
    assert.deepEqual(await Promise.all([get(), get()]), ["AKIA0", "AKIA0"]);
    assert.equal(provider.asked.length, 2);
  });

  test("waits for fresher ones than those past their expiration for as long as it is told to", async () => {
    await start(HOUR_MS);
    const patiently = (ms: number) => idOf(provider.source.get(deadline, clock, ms));
    assert.deepEqual([await patiently(HOUR_MS), provider.asked.length], ["AKIA0", 1]);
    clock.ms += 2 * HOUR_MS;
    assert.equal(await patiently(1), "AKIA0");
    const waiting = patiently(HOUR_MS);
    await provider.answer(2, 3 * HOUR_MS);
    assert.equal(await waiting, "AKIA2");
    clock.ms += 2 * HOUR_MS;
    const failing = patiently(HOUR_MS);
    await provider.fail(3);
    assert.equal(await failing, "AKIA2");
    assert.deepEqual([await patiently(HOUR_MS), provider.asked.length], ["AKIA2", 4]);
  });

  test("takes what a source in trouble hands out after its time, and asks again after a pause", async () => {
    const first = get();
    await provider.answer(0, 0);
    assert.deepEqual([await first, await get(), provider.asked.length], ["AKIA0", "AKIA0", 1]);
    using monotonic = new FakeMonotonicTime();
    monotonic.advance(1000);
    assert.deepEqual([await get(), provider.asked.length], ["AKIA0", 2]);
  });

  test("asks anew when a refresh is not answered at all, and takes its late answer until there is another", async () => {
    await start(HOUR_MS);
    clock.ms += HOUR_MS - MINUTE_MS;
    await get();
    using monotonic = new FakeMonotonicTime();
    for (let hung = 1; hung < 3; hung++) {
      monotonic.advance(31_000);
      assert.deepEqual([await get(), provider.asked.length], ["AKIA0", 2 + hung]);
    }
    await provider.answer(1, 3 * HOUR_MS);
    assert.equal(await get(), "AKIA1");
    await provider.answer(3, 2 * HOUR_MS);
    assert.equal(await get(), "AKIA3");
    using holds = new Holds();
    await provider.answer(2, 4 * HOUR_MS);
    assert.deepEqual(holds.taken.map(({ accessKeyId }) => accessKeyId), ["AKIA2"]);
    assert.deepEqual(holds.taken.map(({ secretAccessKey }) => secretAccessKey.length), [0]);
    assert.equal(await get(), "AKIA3");
  });

  test("asks once for a hundred first calls", async () => {
    const first = Array.from({ length: 100 }, () => get());
    await provider.answer(0, HOUR_MS);
    assert.deepEqual(new Set(await Promise.all(first)), new Set(["AKIA0"]));
    assert.equal(provider.asked.length, 1);
  });

  test("asks once for a hundred first calls whose first is aborted, and whose second has no time left", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    using aborted = new Deadline("test", 10_000, controller.signal);
    using short = new Deadline("test", 1);
    const gone = [
      assert.rejects(idOf(provider.source.get(aborted, clock)), reason),
      assert.rejects(idOf(provider.source.get(short, clock)), TimeoutError),
    ];
    const others = Array.from({ length: 98 }, () => get());
    controller.abort(reason);
    await Promise.all(gone);
    const late = get();
    await provider.answer(0, HOUR_MS);
    assert.deepEqual(new Set(await Promise.all([...others, late])), new Set(["AKIA0"]));
    assert.equal(provider.asked.length, 1);
  });

  test("fails all first calls with the one failure, and then asks again", async () => {
    const first = Array.from({ length: 100 }, () => assert.rejects(get(), CredentialsError));
    await provider.fail(0);
    await Promise.all(first);
    assert.equal(provider.asked.length, 1);
    const next = get();
    await provider.answer(1, HOUR_MS);
    assert.deepEqual([await next, provider.asked.length], ["AKIA1", 2]);
  });

  test("asks anew when every first call gave up, and takes the late answer", async () => {
    using short = new Deadline("test", 1);
    await assert.rejects(idOf(provider.source.get(short, clock)), TimeoutError);
    const next = get();
    assert.equal(provider.asked.length, 2);
    await provider.answer(0, HOUR_MS);
    assert.equal(await get(), "AKIA0");
    await provider.answer(1, 2 * HOUR_MS);
    assert.deepEqual([await next, await get(), provider.asked.length], ["AKIA1", "AKIA1", 2]);
  });

  test("gives an answer that does not say when it expires to its asker alone", async () => {
    const first = [get(), get(), get()];
    await provider.answer(0);
    assert.deepEqual([await first[0], provider.asked.length], ["AKIA0", 3]);
    await provider.answer(2);
    await provider.answer(1);
    assert.deepEqual(await Promise.all(first), ["AKIA0", "AKIA1", "AKIA2"]);
    const next = [get(), get()];
    assert.equal(provider.asked.length, 5);
    await provider.answer(3, HOUR_MS);
    await provider.answer(4);
    assert.deepEqual(await Promise.all(next), ["AKIA3", "AKIA4"]);
  });

  test("asks before every request again when an answer does not say it any more", async () => {
    await start(HOUR_MS);
    clock.ms += HOUR_MS;
    assert.equal(await get(), "AKIA0");
    await provider.answer(1);
    for (const index of [2, 3]) {
      const next = get();
      await provider.answer(index);
      assert.equal(await next, `AKIA${index}`);
    }
  });

  test("gets others once for all whose credentials KMS calls expired", async () => {
    await start(HOUR_MS);
    using used = await provider.source.get(deadline, clock);
    const others = [1, 2, 3].map(() => idOf(provider.source.getOther(used, deadline, clock)));
    await provider.answer(1, HOUR_MS);
    assert.deepEqual(await Promise.all(others), ["AKIA1", "AKIA1", "AKIA1"]);
    assert.equal(await idOf(provider.source.getOther(used, deadline, clock)), "AKIA1");
    assert.equal(provider.asked.length, 2);
  });

  test("has no others when the provider returns the same again", async () => {
    await start(HOUR_MS);
    using used = await provider.source.get(deadline, clock);
    const other = provider.source.getOther(used, deadline, clock);
    provider.asked[1]!.resolve({ ...GOOD, accessKeyId: "AKIA0", expiration: START_MS + HOUR_MS });
    assert.equal(await other, undefined);
  });

  test("lets go of an answer that comes after dispose", async () => {
    const late = assert.rejects(get(), DisposedError);
    provider.source[Symbol.dispose]();
    using holds = new Holds();
    await provider.answer(0, 2 * HOUR_MS);
    await late;
    assert.deepEqual(holds.taken.map(({ secretAccessKey }) => secretAccessKey.length), [0]);
    await assert.rejects(get(), DisposedError);
  });

  describe("and is to refuse what has expired", () => {
    beforeEach(() => {
      provider = new SlowProvider("refuse");
    });

    test("waits for fresh ones then, and reports a refresh that fails, and asks again", async () => {
      await start(HOUR_MS);
      clock.ms += HOUR_MS;
      const failures = [get(), get()].map((getting) => assert.rejects(getting, CredentialsError));
      await provider.fail(1);
      await Promise.all(failures);
      assert.equal(provider.asked.length, 2);
      const next = get();
      await provider.answer(2, 2 * HOUR_MS);
      assert.equal(await next, "AKIA2");
    });

    test("refuses what has expired when it comes", async () => {
      const first = assert.rejects(get(), /^CredentialsError: .* expired at 2026-11-05T12:00:00.000Z/);
      await provider.answer(0, 0);
      await first;
    });

    test("goes on with the old ones until then while a refresh fails", async () => {
      await start(HOUR_MS);
      clock.ms += HOUR_MS - MINUTE_MS;
      assert.equal(await get(), "AKIA0");
      await provider.fail(1);
      clock.ms += MINUTE_MS - 1;
      assert.deepEqual([await get(), provider.asked.length], ["AKIA0", 2]);
    });

    test("does not share what expired while it was waited for", async () => {
      const first = [get(), get()].map((getting) => assert.rejects(getting, /expired at/));
      await provider.answer(0, -1);
      await Promise.all(first);
      assert.equal(provider.asked.length, 1);
    });
  });
});
