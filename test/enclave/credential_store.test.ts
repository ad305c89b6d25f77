import assert from "node:assert/strict";
import { afterEach, describe, test } from "#test";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { CredentialsError, KmsError } from "../../lib/core/errors.ts";
import type { CredentialsLease } from "../../enclave/credentials_lease.ts";
import { CredentialStore } from "../../enclave/credential_store.ts";

const { now } = performance;

/** Moves on the clock that pauses go by. */
function advance(ms: number): void {
  const before = performance.now;
  performance.now = () => before.call(performance) + ms;
}

afterEach(() => {
  performance.now = now;
});

const make = (accessKeyId = "AKIA") =>
  OwnedCredentials.copyOf({ accessKeyId, secretAccessKey: "s", sessionToken: "t" });

describe("CredentialStore", () => {
  const refusal = (kmsCode = "ExpiredTokenException", credentialsRefused = true) =>
    new KmsError("Cannot decrypt", {
      hint: "h",
      kmsCode,
      requestId: undefined,
      httpStatus: 400,
      retryable: false,
      credentialsRefused,
    });

  /** Reads the store's opinion of the credentials after a request that ended like this. */
  const judged = (lease: CredentialsLease, failure?: unknown) =>
    lease.judge(failure === undefined ? Promise.resolve() : Promise.reject(failure)).catch((error) => error);

  test("blames no new credentials for what KMS said of the old ones", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    using lease = store.lease();
    store.set(make("AKIA2"));
    assert.ok(await judged(lease, refusal()) instanceof CredentialsError);
    assert.equal(store.isUsable, true);
    using current = store.lease();
    await judged(current, refusal());
    assert.equal(store.isUsable, false);
    await judged(lease);
    assert.equal(store.isUsable, false, "a success of the old ones is none of the new ones'");
    await judged(current, refusal("AccessDeniedException", false));
    assert.equal(store.isUsable, true, "KMS knows whose they are");
  });

  test("blames the credentials that a request was signed with last", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    using lease = store.lease();
    using used = await lease.get();
    store.set(make("AKIA2"));
    using _other = await lease.getOther(used);
    await judged(lease, refusal());
    assert.equal(store.isUsable, false);
  });

  test("describes its credentials for metrics", () => {
    let ms = 1000;
    performance.now = () => ms;
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    ms += 7000;
    const counts = { generation: 1, heldCount: 1 };
    const first = store.state;
    assert.deepEqual(first, { isSet: true, areRefused: false, ageSeconds: 7, ...counts });
    assert.equal(store.accessKeyId, "AKIA1");
    store.set(OwnedCredentials.copyOf({
      accessKeyId: "AKIA2",
      secretAccessKey: "s",
      expiration: Date.now() + 3_600_000,
    }));
    const { ageSeconds, expireInSeconds = 0 } = store.state;
    assert.equal(ageSeconds, 0);
    assert.ok(expireInSeconds > 3000 && expireInSeconds <= 3600, String(expireInSeconds));
  });

  test("says in its errors what KMS answered, and what to do", async () => {
    using store = new CredentialStore();
    assert.throws(() => store.lease(), {
      code: "ERR_CREDENTIALS",
      message: "Cannot sign the request: no credentials are set",
      hint: /^Has the parent sent them to POST \/v1\/credentials/,
    });
    store.set(make("AKIA1"));
    using lease = store.lease();
    const refused = await judged(lease, refusal());
    const message = "Cannot sign the request: KMS refused the credentials with ExpiredTokenException";
    const hint = "Is the process on the parent that sends credentials running, and does it get fresh ones? " +
      "Send new ones to POST /v1/credentials, or in a SetClient message";
    assert.deepEqual([refused.message, refused.hint], [message, hint]);
    assert.equal(store.state.areRefused, true);
    const details = { hint, kmsCode: "ExpiredTokenException", httpStatus: 400, retryable: false };
    const named = new KmsError("m", { ...details, requestId: "b1e2-7", credentialsRefused: true });
    assert.equal((await judged(lease, named)).message, `${message} in request b1e2-7`);
  });

  test("does not take another failure for a sign that KMS takes refused credentials again", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    using lease = store.lease();
    await judged(lease, refusal());
    const failures = [
      new Error("no way"),
      refusal("ThrottlingException", false),
      Object.assign(new Error(), { kmsCode: "AccessDeniedException" }),
    ];
    for (const failure of failures) {
      await judged(lease, failure);
      assert.equal(store.isUsable, false);
    }
    await judged(lease, refusal("AccessDeniedException", false));
    assert.equal(store.isUsable, true);
  });

  test("pauses as at first once KMS has taken its credentials again", async () => {
    let ms = 0;
    performance.now = () => ms;
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    using lease = store.lease();
    await judged(lease, refusal());
    for (let trial = 0; trial < 6; trial++) {
      ms += 30_000;
      store.lease()[Symbol.dispose]();
    }
    await judged(lease);
    await judged(lease, refusal());
    ms += 1000;
    assert.equal(store.isTrialDue, true);
  });

  test("passes on what a request comes to, and every failure but a refusal of the credentials", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    using lease = store.lease();
    assert.equal(await lease.judge(Promise.resolve(7)), 7);
    const failures = [new Error("no way"), refusal("NotFoundException", false)];
    for (const failure of failures) assert.equal(await judged(lease, failure), failure);
    assert.equal(store.isUsable, true);
  });

  test("is usable again after a late success, and does not pause longer for refusals at once", async () => {
    using store = new CredentialStore();
    store.set(make("AKIA1"));
    const admit = () => store.lease()[Symbol.dispose]();
    using lease = store.lease();
    for (let refusals = 0; refusals < 100; refusals++) await judged(lease, refusal());
    assert.throws(admit, { code: "ERR_CREDENTIALS" });
    advance(1000);
    assert.equal(store.isTrialDue, true);
    admit();
    assert.equal(store.isTrialDue, false);
    assert.throws(admit, { code: "ERR_CREDENTIALS" });
    await judged(lease);
    admit();
    assert.deepEqual([store.isUsable, store.isTrialDue], [true, false]);
  });

  test("forgets a refusal with the credentials", async () => {
    const store = new CredentialStore();
    store.set(make("AKIA1"));
    using lease = store.lease();
    await judged(lease, refusal());
    store[Symbol.dispose]();
    assert.deepEqual(store.state, { isSet: false, areRefused: false, generation: 1, heldCount: 1 });
    assert.throws(() => store.lease(), /no credentials are set/);
    store.set(make("AKIA2"));
    using _lease = store.lease();
    store[Symbol.dispose]();
  });

  test("wipes what is replaced, and what is left, once no request is signed with it", async () => {
    const store = new CredentialStore();
    store.set(make());
    const running = store.lease();
    const signing = await running.get();
    const { bytes } = signing.secretAccessKey;
    store.set(make());
    assert.deepEqual(bytes, new TextEncoder().encode("s"));
    signing[Symbol.dispose]();
    using again = await running.get();
    assert.equal(again.secretAccessKey.bytes, bytes, "a request keeps what it began with");
    again[Symbol.dispose]();
    running[Symbol.dispose]();
    assert.deepEqual(bytes, new Uint8Array(1));

    const { bytes: left } = (await secretOf(store)).secretAccessKey;
    assert.deepEqual(left, new TextEncoder().encode("s"));
    store[Symbol.dispose]();
    assert.deepEqual(left, new Uint8Array(1));
    assert.throws(() => store.lease(), /no credentials are set/);
  });

  test("wipes what is replaced at once when no request is signed with it", async () => {
    using store = new CredentialStore();
    store.set(make());
    const { bytes } = (await secretOf(store)).secretAccessKey;
    store.set(make());
    assert.deepEqual(bytes, new Uint8Array(1));
  });

  test("lends others in the place of those that KMS refuses, if it has got others", async () => {
    using store = new CredentialStore();
    store.set(make());
    using lease = store.lease();
    using used = await lease.get();
    assert.equal(await lease.getOther(used), undefined);
    store.set(make());
    assert.equal(await lease.getOther(used), undefined, "the same once more");
    const { bytes } = used.secretAccessKey;
    store.set(make("AKIA2"));
    using other = await lease.getOther(used);
    assert.equal(other?.accessKeyId, "AKIA2");
    used[Symbol.dispose]();
    assert.deepEqual(bytes, new Uint8Array(1));
    store[Symbol.dispose]();
    assert.equal(await lease.getOther(other!), undefined, "none are left");
  });
});

/** Reads the credentials that a store lends, and gives the lease back. */
async function secretOf(store: CredentialStore): Promise<OwnedCredentials> {
  using lease = store.lease();
  using owned = await lease.get();
  return owned;
}
