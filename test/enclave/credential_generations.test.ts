import assert from "node:assert/strict";
import { describe, test } from "#test";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { CredentialsError, KmsError } from "../../lib/core/errors.ts";
import { CredentialStore } from "../../enclave/credential_store.ts";
import type { CredentialsLease } from "../../enclave/credentials_lease.ts";
import { CredentialsOlderError } from "../../enclave/service_errors.ts";

const HOUR_MS = 3_600_000;
const NOON_MS = Date.UTC(2026, 10, 30, 12);

const make = (accessKeyId = "AKIA", expiration?: number) =>
  OwnedCredentials.copyOf({ accessKeyId, secretAccessKey: "s", sessionToken: "t", expiration });

describe("generations", () => {
  test("grow by one each time, and never start again", () => {
    const store = new CredentialStore();
    assert.deepEqual(store.state, { isSet: false, areRefused: false, generation: 0, heldCount: 0 });
    assert.deepEqual([store.set(make()), store.set(make()), store.set(make("AKIA2"))], [1, 2, 3]);
    store[Symbol.dispose]();
    assert.deepEqual(store.state, { isSet: false, areRefused: false, generation: 3, heldCount: 0 });
    assert.equal(store.set(make()), 4);
    store[Symbol.dispose]();
  });

  test("are held while they are in force or in use, and no longer", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    const first = store.lease();
    const again = store.lease();
    store.set(make("AKIA2"));
    const second = store.lease();
    store.set(make("AKIA3"));
    assert.deepEqual([first.generation, second.generation, store.state.heldCount], [1, 2, 3]);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    assert.equal(store.state.heldCount, 3, "one lease of the first is left");
    again[Symbol.dispose]();
    assert.equal(store.state.heldCount, 2);
    using used = await second.get();
    (await second.getOther(used))?.[Symbol.dispose]();
    assert.deepEqual([second.generation, store.state.heldCount], [3, 1], "the lease moves on");
    second[Symbol.dispose]();
    assert.equal(await second.getOther(used), undefined, "a lease that is over takes nothing more");
    assert.equal(store.state.heldCount, 1);
  });

  test("1000 rotations with 64 requests in flight: each keeps its own, and none is left unwiped", async () => {
    using store = new CredentialStore();
    const rotations = 1000;
    const kept: Uint8Array[] = [];
    const running: CredentialsLease[] = [];
    for (let rotation = 1; rotation <= rotations; rotation++) {
      const credentials = OwnedCredentials.copyOf({
        accessKeyId: `AKIA${rotation}`,
        secretAccessKey: `secret${rotation}`,
        sessionToken: `token${rotation}`,
        expiration: NOON_MS + rotation,
      });
      kept.push(credentials.secretAccessKey.bytes, credentials.sessionToken?.bytes ?? new Uint8Array());
      assert.equal(store.set(credentials), rotation);
      running.push(store.lease());
      if (running.length > 64) running.shift()?.[Symbol.dispose]();
      for (const lease of running) {
        using used = await lease.get();
        assert.equal(new TextDecoder().decode(used.secretAccessKey.bytes), `secret${lease.generation}`);
      }
      assert.equal(store.state.heldCount, running.length);
    }
    for (const lease of running) lease[Symbol.dispose]();
    assert.equal(store.state.heldCount, 1);
    const isWiped = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
    assert.deepEqual(kept.map(isWiped), kept.map((_, index) => index < 2 * (rotations - 1)));
  });
});

describe("credentials that expire before those in force", () => {
  const refusal = new KmsError("Cannot decrypt", {
    hint: "h",
    kmsCode: "ExpiredTokenException",
    requestId: undefined,
    httpStatus: 400,
    retryable: false,
    credentialsRefused: true,
  });

  test("are refused and wiped, and those in force stay", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1", NOON_MS + HOUR_MS));
    const late = make("AKIA2", NOON_MS + HOUR_MS - 1);
    const { bytes } = late.secretAccessKey;
    assert.throws(
      () => store.set(late),
      (error) =>
        error instanceof CredentialsOlderError && error.code === "ERR_CREDENTIALS_OLDER" &&
        /force: true/.test(error.hint),
    );
    assert.deepEqual(bytes, new Uint8Array(1));
    assert.equal(store.state.generation, 1);
    using lease = store.lease();
    using used = await lease.get();
    assert.equal(used.accessKeyId, "AKIA1");
  });

  test("are taken when they are forced, and compared with from then on", () => {
    using store = new CredentialStore();
    store.set(make("AKIA1", NOON_MS + HOUR_MS));
    assert.throws(() => store.set(make("AKIA2", NOON_MS), { force: false }), CredentialsOlderError);
    assert.equal(store.set(make("AKIA2", NOON_MS), { force: true }), 2);
    assert.throws(() => store.set(make("AKIA3", NOON_MS - 1)), CredentialsOlderError);
    assert.equal(store.set(make("AKIA3", NOON_MS)), 3, "as old is not older");
  });

  test("are taken when KMS refused those in force, but not after KMS takes those again", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1", NOON_MS));
    using lease = store.lease();
    await assert.rejects(lease.judge(Promise.reject(refusal)), CredentialsError);
    await lease.judge(Promise.resolve());
    assert.throws(() => store.set(make("AKIA2", NOON_MS - 1)), CredentialsOlderError);
    await assert.rejects(lease.judge(Promise.reject(refusal)), CredentialsError);
    assert.equal(store.set(make("AKIA2", NOON_MS - 1)), 2);
  });

  test("cannot be told without an expiration on either side: they are taken", () => {
    using store = new CredentialStore();
    store.set(make("AKIA1", NOON_MS));
    assert.equal(store.set(make("AKIA2")), 2);
    assert.equal(store.set(make("AKIA3", NOON_MS - HOUR_MS)), 3);
  });

  test("are nobody's concern once the store has let go of its credentials", () => {
    const store = new CredentialStore();
    store.set(make("AKIA1", NOON_MS));
    store[Symbol.dispose]();
    assert.equal(store.set(make("AKIA2", NOON_MS - 1)), 2);
    store[Symbol.dispose]();
  });
});
