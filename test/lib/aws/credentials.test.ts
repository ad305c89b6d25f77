import assert from "node:assert/strict";
import { inspect } from "node:util";
import fc from "fast-check";
import { describe, test } from "#test";
import { type Credentials, OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { DisposedError } from "../../../lib/core/errors.ts";

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

  test("dispose wipes the copy", () => {
    const owned = OwnedCredentials.copyOf(GOOD);
    const { bytes } = owned.secretAccessKey;
    owned[Symbol.dispose]();
    owned[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
    assert.throws(() => owned.secretAccessKey.bytes, DisposedError);
    assert.throws(() => owned.share(), DisposedError);
  });

  test("dispose leaves the other holds alone, and the last one wipes the copy", () => {
    const owned = OwnedCredentials.copyOf(GOOD);
    const [one, other] = [owned.share(), owned.share()];
    const { bytes } = owned.secretAccessKey;
    for (const hold of [owned, owned, one, one]) {
      hold[Symbol.dispose]();
      assert.deepEqual(bytes, text.encode(SECRET));
    }
    assert.deepEqual(other.sessionToken?.bytes, text.encode(TOKEN));
    other[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
    assert.throws(() => other.sessionToken?.bytes, DisposedError);
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

  const at = Date.UTC(2026, 10, 5, 12);
  const times: readonly (Date | string | number)[] = [
    at,
    new Date(at),
    "2026-11-05T12:00:00Z",
    "2026-11-05T12:00:00.000Z",
    "2026-11-05T13:00:00+01:00",
    "2026-11-05T13:00:00+0100",
  ];
  for (const expiration of times) {
    test(`takes ${JSON.stringify(expiration)} for an expiration`, () => {
      using owned = OwnedCredentials.copyOf({ ...GOOD, expiration });
      using other = owned.share();
      assert.deepEqual([owned.expiresAtMs, other.expiresAtMs], [at, at]);
    });
  }

  test("refuses what is no expiration, seconds among it", () => {
    const bad = [
      at / 1000,
      NaN,
      Infinity,
      -at,
      new Date(NaN),
      "2026-11-05",
      "2026-11-05T12:00:00",
      "+002026-11-05T12:00:00Z",
      "2026-11-05T12:00:00Z (noon)",
      ["2026-11-05T12:00:00Z"],
      String(at),
      BigInt(at),
      "canary",
      null,
    ];
    for (const expiration of [...bad, "2026-13-05T12:00:00Z", {}, true, 9e15]) {
      const credentials = { ...GOOD, expiration } as Credentials;
      assert.throws(
        () => OwnedCredentials.copyOf(credentials),
        /^TypeError: .*expiration: expected a Date, ISO/,
      );
    }
  });

  test("takes over: copies, and disposes the original where it can be disposed", () => {
    const bytes = new TextEncoder().encode("canary");
    let disposals = 0;
    const disposable = (accessKeyId: string) => ({
      accessKeyId,
      secretAccessKey: bytes,
      [Symbol.dispose]() {
        disposals++;
        bytes.fill(0);
      },
    });
    using owned = OwnedCredentials.takeOver(disposable("A"));
    assert.equal(new TextDecoder().decode(owned.secretAccessKey.bytes), "canary");
    assert.deepEqual([disposals, bytes[0]], [1, 0]);
    assert.throws(() => OwnedCredentials.takeOver(disposable("")), TypeError);
    assert.equal(disposals, 2);
    const plain = { accessKeyId: "A", secretAccessKey: "s", [Symbol.dispose]: "no function" };
    OwnedCredentials.takeOver(plain)[Symbol.dispose]();
    assert.throws(() => OwnedCredentials.takeOver(undefined as never), TypeError);
  });

  test("compares every part", () => {
    using owned = OwnedCredentials.copyOf(GOOD);
    using same = OwnedCredentials.copyOf({ ...GOOD, expiration: at });
    assert.equal(owned.equals(same), true);
    const { accessKeyId, secretAccessKey } = GOOD;
    const others: Credentials[] = [
      { ...GOOD, accessKeyId: "AKIB" },
      { ...GOOD, secretAccessKey: "other" },
      { ...GOOD, sessionToken: TOKEN.replace("-", "+") },
      { accessKeyId, secretAccessKey },
    ];
    for (const credentials of others) {
      using other = OwnedCredentials.copyOf(credentials);
      assert.deepEqual([owned.equals(other), other.equals(owned)], [false, false]);
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
