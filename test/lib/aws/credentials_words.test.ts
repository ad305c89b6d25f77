import assert from "node:assert/strict";
import { describe, test } from "#test";
import { type Credentials, OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { CredentialsSource } from "../../../lib/aws/credentials_source.ts";
import { Deadline } from "../../../lib/core/deadline.ts";
import { DisposedError } from "../../../lib/core/errors.ts";

const GOOD: Credentials = { accessKeyId: "AKIA", secretAccessKey: "secret", sessionToken: "token" };
const WITHHELD = "The provider's error is not shown, since it may hold secrets: log it inside the provider";

/** An error as a provider's own code makes it. */
function failure(name: string, code?: unknown): Error {
  const error = Object.assign(new Error("canary"), code === undefined ? {} : { code });
  error.name = name;
  return error;
}

describe("what is said of a provider that fails", () => {
  const cases: readonly (readonly [thrown: unknown, named: string])[] = [
    [failure("TypeError"), " with TypeError"],
    [failure("Error", "ECONNREFUSED"), " with Error ECONNREFUSED"],
    [failure("AbortError", 20), " with AbortError"],
    [failure("canary", "ENOENT"), " with ENOENT"],
    [failure("canary Error"), ""],
    [failure("Error canary"), ""],
    [failure("Error", "canary EIO"), " with Error"],
    [failure("Error", "EIO canary"), " with Error"],
    [failure("Error", "EI"), " with Error"],
    [failure("Error", { toString: () => "EIO" }), " with Error"],
    [failure(`${"a".repeat(40)}Error`), ` with ${"a".repeat(40)}Error`],
    [failure(`${"a".repeat(41)}Error`), ""],
    ["canary", ""],
    [{ name: "TypeError", code: "EIO" }, ""],
    [undefined, ""],
  ];
  for (const [index, [thrown, named]] of cases.entries()) {
    test(`is${named === "" ? " no name" : named} (${index})`, async () => {
      using deadline = new Deadline("test", 60_000);
      using source = new CredentialsSource(() => Promise.reject(thrown));
      await assert.rejects(source.get(deadline), {
        name: "CredentialsError",
        message: `Cannot get credentials: the provider failed${named}`,
        hint: WITHHELD,
      });
    });
  }

  test("or whose answer is none", async () => {
    using deadline = new Deadline("test", 60_000);
    const hint = "Does the provider return what STS or the parent handed out?";
    using source = new CredentialsSource(() => ({ ...GOOD, accessKeyId: "" }));
    const message = "Cannot use credentials.accessKeyId: expected 1 to 128 bytes";
    await assert.rejects(source.get(deadline), { name: "CredentialsError", message, hint });
    const hostile = {
      get accessKeyId(): string {
        throw new Error("canary");
      },
      secretAccessKey: "secret",
    };
    using unreadable = new CredentialsSource(() => hostile);
    await assert.rejects(unreadable.get(deadline), {
      name: "CredentialsError",
      message: "Cannot use credentials: they cannot be read",
      hint,
    });
  });

  test("or who returns what has expired and is to be refused, by this machine's clock", async () => {
    using deadline = new Deadline("test", 60_000);
    const expiration = Date.now() - 1000;
    using source = new CredentialsSource(() => ({ ...GOOD, expiration }), "refuse");
    await assert.rejects(source.get(deadline), {
      name: "CredentialsError",
      message: `Cannot sign the request: the credentials expired at ${new Date(expiration).toISOString()}`,
      hint:
        /^Does the provider return fresh ones\? By this machine's clock, which KMS has not confirmed, it is 20/,
    });
  });

  test("after dispose, for others as well", async () => {
    using deadline = new Deadline("test", 60_000);
    const source = new CredentialsSource(() => GOOD);
    using used = await source.get(deadline);
    source[Symbol.dispose]();
    const named = (error: unknown) =>
      error instanceof DisposedError && /CredentialsSource/.test(error.message);
    await assert.rejects(source.get(deadline), named);
    await assert.rejects(source.getOther(used, deadline), named);
  });

  test("wipes the same ones that a provider returns instead of others", async () => {
    using deadline = new Deadline("test", 60_000);
    using source = new CredentialsSource(() => GOOD);
    using used = await source.get(deadline);
    const { copyOf } = OwnedCredentials;
    const made: OwnedCredentials[] = [];
    OwnedCredentials.copyOf = (credentials) => {
      const owned = copyOf.call(OwnedCredentials, credentials);
      made.push(owned);
      return owned;
    };
    try {
      assert.equal(await source.getOther(used, deadline), undefined);
    } finally {
      OwnedCredentials.copyOf = copyOf;
    }
    assert.ok(made.length > 0);
    assert.deepEqual(made.map(({ secretAccessKey }) => secretAccessKey.length), made.map(() => 0));
  });
});

describe("the parts of credentials", () => {
  const copy = (part: object) => OwnedCredentials.copyOf({ ...GOOD, ...part } as Credentials);
  const lengths = { accessKeyId: 128, secretAccessKey: 1024, sessionToken: 16_384 };

  for (const [field, length] of Object.entries(lengths)) {
    test(`${field} has at most ${length} bytes, as text and as bytes`, () => {
      for (const make of [(text: string) => text, (text: string) => new TextEncoder().encode(text)]) {
        copy({ [field]: make("x".repeat(length)) })[Symbol.dispose]();
        assert.throws(() => copy({ [field]: make("x".repeat(length + 1)) }), {
          name: "TypeError",
          message: `Cannot use credentials.${field}: expected 1 to ${length} bytes`,
        });
      }
    });

    test(`${field} has every printable character but the blank`, () => {
      const isPlain = (byte: number) => byte !== 0x2f && byte !== 0x2c;
      for (const byte of [0x21, 0x7e]) copy({ [field]: Uint8Array.of(byte) })[Symbol.dispose]();
      for (const byte of [0x20, 0x7f, 0x80, 0].filter(isPlain)) {
        const message = `Cannot use credentials.${field}: expected printable ASCII without spaces`;
        assert.throws(() => copy({ [field]: Uint8Array.of(0x41, byte) }), { name: "TypeError", message });
        assert.throws(() => copy({ [field]: `A${String.fromCharCode(byte)}` }), {
          name: "TypeError",
          message,
        });
      }
      assert.throws(() => copy({ [field]: 7 }), {
        name: "TypeError",
        message: `Cannot use credentials.${field}: expected a string or a Uint8Array`,
      });
    });
  }

  test("what is no object, or ends an access key id early, is refused by its name", () => {
    for (const value of [undefined, null, 7, "text"]) {
      assert.throws(() => OwnedCredentials.copyOf(value as unknown as Credentials), {
        name: "TypeError",
        message: "Cannot use credentials: expected an object or a function that returns one",
      });
    }
    for (const accessKeyId of ["A/B", "A,B"]) {
      assert.throws(() => copy({ accessKeyId }), {
        name: "TypeError",
        message: "Cannot use credentials.accessKeyId: expected neither a slash nor a comma",
      });
    }
  });

  test("an expiration is after 1973, and a time that a Date can hold", () => {
    for (const expiration of [1e11 + 1, 8.64e15]) {
      assert.equal(copy({ expiration }).expiresAtMs, expiration);
    }
    for (
      const expiration of [1e11, 8.64e15 + 1, "2026-11-05T12:00:00Zx", "x2026-11-05T12:00:00Z", { a: 1 }]
    ) {
      assert.throws(() => copy({ expiration }), /^TypeError: Cannot use credentials\.expiration: expected/);
    }
    // Every notation that the pattern takes, and that both runtimes read alike.
    for (
      const notation of [
        "2026-11-05T12:00:00+00:00",
        "2026-11-05T12:00:00.1Z",
        "2026-11-05T12:00:00.000000000Z",
      ]
    ) {
      assert.equal(Math.floor(copy({ expiration: notation }).expiresAtMs! / 1000), 1_793_880_000);
    }
  });

  test("are the same only if each is as long and as it is", () => {
    const same = (one: object, other: object) => copy(one).equals(copy(other));
    assert.equal(same({}, {}), true);
    for (const sessionToken of [undefined, "toke", "tokenn", "tokem"]) {
      assert.equal(same({ sessionToken }, {}), false);
      assert.equal(same({}, { sessionToken }), false);
    }
    assert.equal(same({ sessionToken: undefined }, { sessionToken: undefined }), true);
  });
});
