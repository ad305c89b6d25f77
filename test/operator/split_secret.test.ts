import assert from "node:assert/strict";
import { Decrypter } from "age-encryption";
import { describe, test } from "#test";
import { concatBytes } from "../../lib/core/bytes.ts";
import { parseSecretShares } from "../../lib/wire/secret_shares.ts";
import {
  AgeKeyPair,
  joinShares,
  sealWithAge,
  SecretBytes,
  SecretError,
  splitSecret,
} from "../../operator/mod.ts";
import { ageDecrypt, ageKeygen, WITHOUT_AGE } from "../support/age.ts";
import { spyOnFill } from "../support/spy_on_fill.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(new ArrayBuffer(length)));

async function open(keys: AgeKeyPair, sealed: Uint8Array): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(new TextDecoder().decode(keys.identity.bytes));
  return await decrypter.decrypt(sealed);
}

/** Splits a secret, and opens the shares. */
async function split(secret: Uint8Array, threshold: number, count: number) {
  using keys = await AgeKeyPair.generate();
  const recipients = Array<string>(count).fill(keys.recipient);
  const { shares, sha256 } = await splitSecret({ secret, threshold, recipients });
  return { files: await Promise.all(shares.map((share) => open(keys, share))), sha256 };
}

describe("splitSecret()", () => {
  test("gives each recipient a share, any threshold of which give the secret back", async () => {
    const holders = await Promise.all([1, 2, 3].map(() => AgeKeyPair.generate()));
    const secret = random(32);
    const recipients = holders.map(({ recipient }) => recipient);
    const { shares, sha256 } = await splitSecret({ secret, threshold: 2, recipients });
    assert.deepEqual(sha256, new Uint8Array(await crypto.subtle.digest("SHA-256", secret)));
    const opened = await Promise.all(shares.map((share, index) => open(holders[index]!, share)));
    await assert.rejects(open(holders[0]!, shares[1]!), /no identity matched/, "each opens their own only");
    for (const some of [[0, 1], [1, 2], [2, 0], [0, 1, 2]]) {
      using joined = await joinShares(some.map((index) => opened[index]!), sha256);
      assert.deepEqual(joined.bytes, secret);
    }
    for (const holder of holders) holder[Symbol.dispose]();
  });

  test("names the split and the threshold in each share", async () => {
    const { files } = await split(random(16), 3, 4);
    const shares = files.flatMap((file) => parseSecretShares(file));
    assert.deepEqual(shares.map(({ threshold }) => threshold), [3, 3, 3, 3]);
    assert.equal(new Set(shares.map(({ splitId }) => String(splitId))).size, 1);
    const [other] = (await split(random(16), 2, 2)).files.flatMap((file) => parseSecretShares(file));
    assert.notDeepEqual(other?.splitId, shares[0]?.splitId);
  });

  test(`makes shares that Debian's age opens${WITHOUT_AGE}`, async () => {
    if (WITHOUT_AGE !== "") return;
    const { file, recipient } = ageKeygen();
    using secret = new SecretBytes(random(64));
    const { shares, sha256 } = await splitSecret({
      secret,
      threshold: 2,
      recipients: [recipient, recipient],
    });
    using joined = await joinShares(shares.map((share) => ageDecrypt(file, share)), sha256);
    assert.deepEqual(joined.bytes, secret.bytes);
  });

  test("wipes every share in clear, whether it succeeds or not", async () => {
    using keys = await AgeKeyPair.generate();
    const recipients = Array<string>(3).fill(keys.recipient);
    const secret = random(100);
    const countWiped = async (work: () => Promise<unknown>) => {
      const wiped: number[] = [];
      using _spy = spyOnFill((bytes) => wiped.push(bytes.length));
      await work();
      // Shares of the scheme, and files of one share with their copies for age.
      return [101, 116].map((length) => wiped.filter((one) => one === length).length);
    };
    assert.deepEqual(await countWiped(() => splitSecret({ secret, threshold: 2, recipients })), [3, 6]);
    const { deriveBits } = crypto.subtle;
    crypto.subtle.deriveBits = () => Promise.reject(new Error("planted"));
    try {
      const failing = () => assert.rejects(splitSecret({ secret, threshold: 2, recipients }), /planted/);
      assert.deepEqual(await countWiped(failing), [3, 6]);
    } finally {
      crypto.subtle.deriveBits = deriveBits;
    }
  });

  test("refuses numbers, lengths and recipients that make no sense", async () => {
    using keys = await AgeKeyPair.generate();
    const recipients = Array<string>(3).fill(keys.recipient);
    const good = { secret: random(32), threshold: 2, recipients };
    const wrong: readonly [object, new () => Error][] = [
      [{ secret: random(15) }, RangeError],
      [{ secret: random(4097) }, RangeError],
      [{ secret: "x".repeat(32) }, TypeError],
      [{ threshold: 1 }, RangeError],
      [{ threshold: 4 }, RangeError],
      [{ threshold: "2" }, TypeError],
      [{ recipients: [keys.recipient] }, RangeError],
      [{ recipients: [] }, RangeError],
      [{ recipients: [...recipients, "age1"] }, TypeError],
      [{ recipients: Array(256).fill(keys.recipient) }, RangeError],
      [{ shares: 3 }, TypeError],
    ];
    for (const [index, [change, Class]] of wrong.entries()) {
      await assert.rejects(splitSecret({ ...good, ...change } as never), Class, `${index}`);
    }
  });
});

describe("joinShares()", () => {
  test("takes files of several shares, joined one behind the other", async () => {
    const secret = random(32);
    const { files, sha256 } = await split(secret, 3, 3);
    using joined = await joinShares([concatBytes([files[0]!, files[2]!]), files[1]!], sha256);
    assert.deepEqual(joined.bytes, secret);
  });

  test("refuses too few, one twice, other splits, what is no share, and another hash", async () => {
    const secret = random(32);
    const { files, sha256 } = await split(secret, 2, 3);
    const other = await split(secret, 2, 2);
    const [one, two] = files as [Uint8Array, Uint8Array];
    const cases: readonly [readonly Uint8Array[], Uint8Array, string][] = [
      [[], sha256, "ERR_SECRET_OPEN"],
      [[one], sha256, "ERR_SECRET_OPEN"],
      [[one, one], sha256, "ERR_SECRET_OPEN"],
      [[one, other.files[0]!], sha256, "ERR_SECRET_OPEN"],
      [[one, two.subarray(1)], sha256, "ERR_SECRET_FRAME"],
      [[one, secret], sha256, "ERR_SECRET_FRAME"],
      [[one, two], random(32), "ERR_SECRET_HASH"],
    ];
    for (const [index, [given, hash, code]] of cases.entries()) {
      await assert.rejects(
        joinShares(given, hash),
        (error) => error instanceof SecretError && error.code === code,
        `${index}`,
      );
    }
    await assert.rejects(joinShares(one as never, sha256), TypeError);
    await assert.rejects(joinShares(["x"] as never, sha256), TypeError);
    await assert.rejects(joinShares([one, two], "00" as never), TypeError);
  });

  test("opens nothing by itself: a sealed share is no share", async () => {
    using keys = await AgeKeyPair.generate();
    const sealed = await sealWithAge(random(32), [keys.recipient]);
    await assert.rejects(joinShares([sealed, sealed], random(32)), SecretError);
  });
});
