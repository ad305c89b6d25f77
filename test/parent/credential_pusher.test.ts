import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { describe, test } from "#test";
import type { Credentials, OwnedCredentials } from "../../lib/aws/credentials.ts";
import { ConnectionError, CredentialsError, DisposedError } from "../../lib/core/errors.ts";
import {
  CredentialPusher,
  type CredentialPusherOptions,
  type EnclaveSight,
  type PushEvent,
} from "../../parent/mod.ts";
import { until } from "../support/until.ts";

const HOUR_MS = 3_600_000;
const SECRET = "canary/secret+4711";
const BOOTS = ["0".repeat(32), "1".repeat(32)] as const;

/** Source whose answers and failures a test sets, with bytes that are watched. */
class FakeSource {
  ordinal = 1;
  asked = 0;
  lifetimeMs: number | undefined = HOUR_MS;
  failure: unknown;
  expiration: number | undefined;
  readonly given: Uint8Array[] = [];

  readonly ask = (): Credentials & Disposable => {
    this.asked++;
    if (this.failure !== undefined) throw this.failure;
    this.expiration ??= this.lifetimeMs === undefined ? undefined : Date.now() + this.lifetimeMs;
    const secretAccessKey = new TextEncoder().encode(`${SECRET}-${this.ordinal}`);
    this.given.push(secretAccessKey);
    return {
      accessKeyId: `ASIAEXAMPLE${String(this.ordinal).padStart(8, "0")}`,
      secretAccessKey,
      sessionToken: "canary-token",
      expiration: this.expiration,
      [Symbol.dispose]: () => void secretAccessKey.fill(0),
    };
  };

  rotate(): void {
    this.ordinal++;
    this.expiration = undefined;
  }
}

/** Enclave that takes credentials, and is seen by a watch. */
class FakeEnclave {
  taken: string[] = [];
  refusal: unknown;
  sight: EnclaveSight | Error = { bootId: BOOTS[0], hasCredentials: false, missing: ["credentials"] };
  holds: OwnedCredentials[] = [];

  readonly send = async (credentials: OwnedCredentials): Promise<void> => {
    await Promise.resolve();
    if (this.refusal !== undefined) throw this.refusal;
    this.holds.push(credentials);
    this.taken.push(credentials.accessKeyId.slice(-1));
    this.sight = { bootId: (this.sight as EnclaveSight).bootId, hasCredentials: true, missing: [] };
  };

  readonly watch = (): Promise<EnclaveSight> =>
    this.sight instanceof Error ? Promise.reject(this.sight) : Promise.resolve(this.sight);

  boot(bootId: string | null = BOOTS[1]): void {
    this.sight = { bootId: bootId ?? undefined, hasCredentials: false, missing: ["credentials"] };
  }
}

function start(source: FakeSource, enclave: FakeEnclave, options: Partial<CredentialPusherOptions> = {}) {
  const events: PushEvent[] = [];
  const pusher = CredentialPusher.start({
    source: source.ask,
    send: enclave.send,
    maxPauseMs: 10,
    watchEveryMs: 5,
    onEvent: (event) => events.push(event),
    ...options,
  });
  return {
    pusher,
    events,
    of: (type: PushEvent["type"]) => events.filter((event) => event.type === type),
    [Symbol.asyncDispose]: () => pusher.close(),
  };
}

describe("CredentialPusher pushes", () => {
  test("at the start, and wipes what the source gave and what it kept", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    const { pusher, events } = start(source, enclave);
    await until(() => enclave.taken.length === 1);
    await until(() => pusher.state.isDelivered);
    const { generation, credentials, expiresAtMs, failure, enclave: seen, counts } = pusher.state;
    assert.deepEqual([generation, expiresAtMs, failure, seen], [1, source.expiration, undefined, "unknown"]);
    assert.equal(credentials?.accessKeyId, "ASIA...0001");
    assert.equal(counts.pushed, 1);
    assert.deepEqual(events.map(({ type }) => type), ["pushed"]);
    assert.ok(source.given.every((bytes) => bytes.every((byte) => byte === 0)));
    await pusher.close();
    assert.throws(() => enclave.holds[0]?.secretAccessKey.bytes, DisposedError);
    assert.equal(source.asked, 1);
  });

  test("ahead of the expiration, once the source has others", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    source.lifetimeMs = 400;
    await using run = start(source, enclave, { aheadMs: 100 });
    await until(() => enclave.taken.length === 1);
    // The same again: the source is asked after pauses that grow, and nothing is pushed.
    await until(() => run.pusher.state.counts.unchanged > 2);
    assert.deepEqual(enclave.taken, ["1"]);
    source.lifetimeMs = HOUR_MS;
    source.rotate();
    await until(() => enclave.taken.length === 2);
    await until(() => run.pusher.state.isDelivered);
    assert.equal(run.pusher.state.generation, 2);
    assert.ok(run.of("unchanged").length > 2);
    const [, pushed] = run.of("pushed");
    assert.ok(pushed?.type === "pushed" && pushed.reason === "expiring" && !pushed.isKept);
  });

  test("in time, though the clock is set back by a day meanwhile", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    source.lifetimeMs = 300;
    let offsetMs = 0;
    await using run = start(source, enclave, { aheadMs: 100, now: () => Date.now() + offsetMs });
    await until(() => run.pusher.state.isDelivered);
    offsetMs = -86_400_000;
    source.rotate();
    await until(() => enclave.taken.length === 2);
  });

  test("keeps to the old ones past their expiration, and says that they expired once", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    source.lifetimeMs = 50;
    await using run = start(source, enclave, { aheadMs: 20 });
    await until(() => run.of("expired").length === 1);
    source.failure = new Error(SECRET);
    await until(() => run.pusher.state.counts.sourceFailed > 2);
    assert.deepEqual(enclave.taken, ["1"]);
    assert.equal(run.pusher.state.isDelivered, true);
    // An enclave that asks meanwhile gets the old ones.
    await run.pusher.pushNow();
    assert.deepEqual(enclave.taken, ["1", "1"]);
    const last = run.of("pushed").at(-1);
    assert.ok(last?.type === "pushed" && last.isKept && last.reason === "asked");
    source.failure = undefined;
    source.lifetimeMs = HOUR_MS;
    source.rotate();
    await until(() => enclave.taken.length === 3);
    assert.equal(run.of("expired").length, 1);
  });

  test("credentials that are expired when they come, and asks for others after pauses", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    source.lifetimeMs = -HOUR_MS;
    await using run = start(source, enclave);
    await until(() => enclave.taken.length === 1 && source.asked > 2);
    assert.equal(run.of("expired").length, 1);
    source.lifetimeMs = HOUR_MS;
    source.rotate();
    await until(() => enclave.taken.length === 2);
  });

  test("again when the enclave has another boot id", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    await using run = start(source, enclave, { watch: enclave.watch });
    await until(() => run.pusher.state.enclave === "ready");
    enclave.boot();
    await until(() => enclave.taken.length === 2);
    await until(() => run.pusher.state.enclave === "ready");
    const { counts, generation, isDelivered } = run.pusher.state;
    assert.deepEqual([counts.restarts, generation, isDelivered], [1, 1, true]);
    const [, pushed] = run.of("pushed");
    assert.ok(pushed?.type === "pushed" && pushed.reason === "restart");
  });

  test("again when an enclave without an id was away and is without credentials", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    enclave.boot(null);
    await using run = start(source, enclave, { watch: enclave.watch });
    await until(() => run.pusher.state.enclave === "ready");
    enclave.sight = new ConnectionError("Cannot connect", { hint: "h" });
    await until(() => run.pusher.state.enclave === "unreachable");
    enclave.boot(null);
    await until(() => enclave.taken.length === 2);
    assert.equal(run.pusher.state.counts.restarts, 1);
    await until(() => run.pusher.state.enclave === "ready");
    const states = run.of("enclave").map((event) => event.type === "enclave" && event.state);
    assert.deepEqual(states.slice(-4), ["ready", "unreachable", "unready", "ready"]);
  });

  test("the old ones to a new boot while the source is down, and the source is asked again", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    await using run = start(source, enclave, { watch: enclave.watch });
    await until(() => run.pusher.state.enclave === "ready");
    source.failure = new Error("down");
    enclave.boot();
    await until(() => enclave.taken.length === 2);
    const pushed = run.of("pushed").at(-1);
    assert.ok(pushed?.type === "pushed" && pushed.isKept);
    const { asked } = source;
    await until(() => source.asked > asked);
    source.failure = undefined;
    source.rotate();
    await until(() => enclave.taken.at(-1) === "2");
  });

  test("again, with pauses, when KMS refuses them there", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    let looks = 0;
    const watch = () => {
      looks++;
      return Promise.resolve({ bootId: BOOTS[0], hasCredentials: false, missing: ["credentials"] });
    };
    await using run = start(source, enclave, { watch, watchEveryMs: 1, maxPauseMs: 60_000 });
    await until(() => looks > 100);
    assert.ok(enclave.taken.length < looks / 4, `${enclave.taken.length} pushes in ${looks} looks`);
    assert.equal(run.pusher.state.enclave, "unready");
  });

  test("again, with the same pauses, when it is told at each look of somebody else", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    await using run = start(source, enclave, { maxPauseMs: 60_000 });
    await until(() => run.pusher.state.isDelivered);
    run.pusher.noteEnclave(false);
    assert.equal(run.pusher.state.isDelivered, false);
    await until(() => enclave.taken.length === 2);
    for (let look = 0; look < 100; look++) {
      run.pusher.noteEnclave(false);
      await sleep(1);
    }
    assert.ok(enclave.taken.length < 20, `${enclave.taken.length} pushes in 100 looks`);
    const before = enclave.taken.length;
    run.pusher.noteEnclave(true);
    run.pusher.noteEnclave(false);
    await until(() => enclave.taken.length > before);
    assert.ok(run.of("pushed").slice(1).every((event) => event.type === "pushed" && event.reason === "lost"));
  });

  test("when it is told to, and shares one push among calls at one time", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    await using run = start(source, enclave);
    await until(() => enclave.taken.length === 1);
    await Promise.all(Array.from({ length: 10 }, () => run.pusher.pushNow()));
    assert.deepEqual([enclave.taken.length, source.asked], [2, 2]);
    source.rotate();
    await run.pusher.pushNow();
    assert.deepEqual(enclave.taken, ["1", "1", "2"]);
  });

  test("given credentials, and such without an expiration", async () => {
    const enclave = new FakeEnclave();
    const source = { accessKeyId: "AKIA1", secretAccessKey: SECRET };
    await using run = start(new FakeSource(), enclave, { source });
    await until(() => run.pusher.state.isDelivered);
    assert.deepEqual([enclave.taken, run.pusher.state.expiresAtMs], [["1"], undefined]);
  });
});

describe("CredentialPusher survives", () => {
  test("a source that fails at first, and names its failure without its words", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    source.failure = Object.assign(new Error(`no ${SECRET}`), { code: "ECONNREFUSED" });
    await using run = start(source, enclave);
    await until(() => run.pusher.state.counts.sourceFailed > 2);
    assert.equal(
      run.pusher.state.failure?.message,
      "Cannot get credentials: the source failed with Error ECONNREFUSED",
    );
    assert.equal(run.pusher.state.failure?.part, "source");
    await assert.rejects(run.pusher.pushNow(), CredentialsError);
    source.failure = new ConnectionError("Cannot connect to S3", { hint: "is it there?" });
    await until(() => run.pusher.state.failure?.code === "ERR_CONNECTION");
    assert.equal(run.pusher.state.failure?.hint, "is it there?");
    source.failure = undefined;
    await until(() => enclave.taken.length === 1);
    assert.ok(!inspect(run.events, { depth: 9 }).includes("canary"));
  });

  test("a source that hangs, and wipes an answer that comes too late", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    const hung: PromiseWithResolvers<void> = Promise.withResolvers();
    let asked = 0;
    const hanging = async ({ signal }: { signal: AbortSignal }) => {
      if (++asked > 1) return source.ask();
      await hung.promise;
      assert.ok(signal.aborted);
      return source.ask();
    };
    await using run = start(source, enclave, { source: hanging, sourceTimeoutMs: 30 });
    await until(() => enclave.taken.length === 1);
    assert.equal(run.pusher.state.failure?.code, "ERR_TIMEOUT");
    hung.resolve();
    await until(() => source.given.length === 2 && source.given.every((bytes) => bytes[0] === 0));
    assert.equal(enclave.taken.length, 1);
  });

  test("a source that gives something else", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    for (const wrong of [undefined, null, 5, {}, { accessKeyId: SECRET, secretAccessKey: "" }]) {
      await using run = start(source, enclave, { source: () => wrong as never });
      await until(() => run.pusher.state.failure?.code === "ERR_CREDENTIALS");
      assert.match(run.pusher.state.failure?.message ?? "", /^Cannot use credentials/);
      assert.ok(!inspect(run.events).includes("canary"));
    }
    assert.deepEqual(enclave.taken, []);
  });

  test("an enclave that refuses, hangs or is not there yet", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    enclave.refusal = new ConnectionError("Cannot connect to the enclave", { hint: "is it up?" });
    await using run = start(source, enclave, { sendTimeoutMs: 30 });
    await until(() => run.pusher.state.counts.sendFailed > 2);
    assert.deepEqual([run.pusher.state.failure?.part, run.pusher.state.isDelivered], ["send", false]);
    await assert.rejects(run.pusher.pushNow(), ConnectionError);
    enclave.refusal = undefined;
    await until(() => enclave.taken.length === 1);

    const hanging = start(source, enclave, { send: () => new Promise(() => {}), sendTimeoutMs: 30 });
    await using pusher = hanging.pusher;
    await until(() => pusher.state.failure?.code === "ERR_TIMEOUT");
  });

  test("a watch and a log that throw", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    const pusher = CredentialPusher.start({
      source: source.ask,
      send: enclave.send,
      watch: () => {
        throw new Error(SECRET);
      },
      watchEveryMs: 1,
      onEvent: () => {
        throw new Error("full disk");
      },
    });
    await using _ = pusher;
    await until(() => pusher.state.enclave === "unreachable" && enclave.taken.length === 1);
    assert.equal(pusher.state.failure?.message, "Cannot look at the enclave: it failed with Error");
  });

  test("a look that was overtaken by a push is not taken for a loss", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    const looks: PromiseWithResolvers<EnclaveSight>[] = [];
    const watch = () => {
      looks.push(Promise.withResolvers());
      return looks.at(-1)!.promise;
    };
    await using run = start(source, enclave, { watch, watchEveryMs: 60_000 });
    await until(() => enclave.taken.length === 1 && looks.length === 1 && run.pusher.state.isDelivered);
    looks[0]?.resolve({ bootId: BOOTS[0], hasCredentials: false, missing: ["credentials"] });
    await until(() => run.pusher.state.enclave === "unready");
    assert.equal(run.pusher.state.isDelivered, true);
    assert.equal(enclave.taken.length, 1);
  });
});

describe("closing a CredentialPusher", () => {
  test("ends a question that hangs, and those who wait for it", async () => {
    const enclave = new FakeEnclave();
    const signals: AbortSignal[] = [];
    const { pusher } = start(new FakeSource(), enclave, {
      source: ({ signal }) => (signals.push(signal), new Promise(() => {})),
      watch: () => new Promise(() => {}),
      sourceTimeoutMs: 60_000,
      watchEveryMs: 60_000,
    });
    await until(() => signals.length === 1);
    const asked = assert.rejects(pusher.pushNow(), DisposedError);
    await pusher.close();
    await asked;
    assert.equal(signals[0]?.aborted, true);
    await pusher.close();
    await assert.rejects(pusher.pushNow(), DisposedError);
  });

  test("a call gives up with its signal, and the push goes on", async () => {
    const [source, enclave] = [new FakeSource(), new FakeEnclave()];
    const gate: PromiseWithResolvers<void> = Promise.withResolvers();
    await using run = start(source, enclave, { source: () => gate.promise.then(source.ask) });
    await assert.rejects(run.pusher.pushNow({ signal: AbortSignal.abort(new Error("enough")) }), /enough/);
    gate.resolve();
    await until(() => enclave.taken.length > 0);
  });
});

describe("CredentialPusher.start()", () => {
  test("refuses options that are unknown or wrong", () => {
    const good = {
      source: () => ({ accessKeyId: "A", secretAccessKey: "s" }),
      send: () => Promise.resolve(),
    };
    const refused = (options: object, error: object) =>
      assert.throws(() => CredentialPusher.start({ ...good, ...options }), error);
    refused({ ahead: 1 }, TypeError);
    refused({ send: undefined }, /send must be a function/);
    refused({ source: undefined }, /source must be credentials/);
    refused({ source: "x" }, TypeError);
    refused({ watch: {} }, TypeError);
    refused({ onEvent: 1 }, TypeError);
    refused({ aheadMs: -1 }, RangeError);
    refused({ sourceTimeoutMs: 0 }, RangeError);
    refused({ sendTimeoutMs: 2 ** 31 }, RangeError);
    refused({ watchEveryMs: 0 }, RangeError);
    refused({ maxPauseMs: "1" }, TypeError);
  });
});
