import assert from "node:assert/strict";
import { inspect } from "node:util";
import fc from "fast-check";
import { describe, test } from "#test";
import { type Credentials, CredentialsSource, OwnedCredentials } from "../../lib/credentials.ts";
import { Deadline } from "../../lib/deadline.ts";
import { CredentialsError, DisposedError, TimeoutError } from "../../lib/errors.ts";

const ID = "AKIAEXAMPLE";
const SECRET = "canary/secret+4711";
const TOKEN = "canary-token==";
const CANARY = /canary/;
const text = new TextEncoder();
const GOOD: Credentials = { accessKeyId: ID, secretAccessKey: SECRET, sessionToken: TOKEN };

describe("OwnedCredentials", () => {
  test("copies strings and bytes alike", () => {
    const asBytes = {
      accessKeyId: text.encode(ID),
      secretAccessKey: text.encode(SECRET),
      sessionToken: text.encode(TOKEN),
    };
    for (const credentials of [GOOD, asBytes]) {
      using owned = OwnedCredentials.copyOf(credentials);
      assert.equal(owned.accessKeyId, ID);
      assert.deepEqual(owned.secretAccessKey.bytes, text.encode(SECRET));
      assert.deepEqual(owned.sessionToken?.bytes, text.encode(TOKEN));
    }
    assert.deepEqual(asBytes.secretAccessKey, text.encode(SECRET));
  });

  test("dispose wipes the copy and leaves clones alone", () => {
    const owned = OwnedCredentials.copyOf(GOOD);
    const clone = owned.clone();
    const { bytes } = owned.secretAccessKey;
    owned[Symbol.dispose]();
    owned[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
    assert.throws(() => owned.secretAccessKey.bytes, DisposedError);
    assert.deepEqual(clone.sessionToken?.bytes, text.encode(TOKEN));
  });

  test("does not print its secrets", () => {
    using owned = OwnedCredentials.copyOf(GOOD);
    assert.doesNotMatch(inspect(owned, { showHidden: true, depth: 9 }) + JSON.stringify(owned), CANARY);
  });

  for (const field of ["accessKeyId", "secretAccessKey", "sessionToken"] as const) {
    test(`refuses a malformed ${field}, naming it and never showing it`, () => {
      const bad: unknown[] = [
        "",
        "canary\0",
        "canary\r\nx: y",
        "canary é",
        "canary \ud800",
        "canary 1",
        1,
        null,
        {},
      ];
      bad.push(new Uint8Array(), text.encode("canary\n"), text.encode("canaryé"), "canary".repeat(3000));
      for (const value of bad) {
        const credentials = { ...GOOD, [field]: value } as Credentials;
        assert.throws(() => OwnedCredentials.copyOf(credentials), (error: Error) => {
          assert.equal(error.name, "TypeError");
          assert.match(error.message, new RegExp(`^Cannot use credentials\\.${field}: expected `));
          assert.doesNotMatch(error.message, CANARY);
          return true;
        });
      }
    });
  }

  test("refuses an access key id that would end early in the Authorization header", () => {
    for (const accessKeyId of ["AKIA/x", "AKIA,x"]) {
      assert.throws(() => OwnedCredentials.copyOf({ ...GOOD, accessKeyId }), TypeError);
    }
  });

  test("refuses what is no credentials object", () => {
    for (const json of ["null", '"canary"', "7", "[]"]) {
      assert.throws(() => OwnedCredentials.copyOf(JSON.parse(json)), /^TypeError: Cannot use credentials/);
    }
  });

  test("accepts any printable ASCII secret", () => {
    const printable = fc.string({ unit: "grapheme-ascii", minLength: 1 }).filter((value) =>
      !value.includes(" ")
    );
    fc.assert(fc.property(printable, (secretAccessKey) => {
      using owned = OwnedCredentials.copyOf({ accessKeyId: ID, secretAccessKey });
      assert.deepEqual(owned.secretAccessKey.bytes, text.encode(secretAccessKey));
      assert.equal(owned.sessionToken, undefined);
    }));
  });
});

describe("CredentialsSource", () => {
  test("keeps a copy of its own: the caller may wipe his at once", async () => {
    using deadline = new Deadline("test", 1000);
    const secretAccessKey = text.encode(SECRET);
    using source = new CredentialsSource({ accessKeyId: ID, secretAccessKey });
    secretAccessKey.fill(0);
    using owned = await source.get(deadline);
    assert.deepEqual(owned.secretAccessKey.bytes, text.encode(SECRET));
  });

  test("refuses malformed credentials when it is made, and use after dispose", async () => {
    using deadline = new Deadline("test", 1000);
    assert.throws(() => new CredentialsSource({ accessKeyId: "", secretAccessKey: SECRET }), TypeError);
    const source = new CredentialsSource(GOOD);
    source[Symbol.dispose]();
    source[Symbol.dispose]();
    await assert.rejects(source.get(deadline), DisposedError);
  });

  test("asks a provider before every request", async () => {
    using deadline = new Deadline("test", 1000);
    let asked = 0;
    using source = new CredentialsSource(() => ({ ...GOOD, accessKeyId: `AKIA${++asked}` }));
    using first = await source.get(deadline);
    using second = await source.get(deadline);
    assert.deepEqual([first.accessKeyId, second.accessKeyId], ["AKIA1", "AKIA2"]);
  });

  test("hides what a failing provider says, but for its kind", async () => {
    using deadline = new Deadline("test", 1000);
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

  test("turns a provider's malformed answer into a CredentialsError that names the field", async () => {
    using deadline = new Deadline("test", 1000);
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
