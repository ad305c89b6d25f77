import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { combine, split } from "shamir-secret-sharing";
import { describe, test } from "#test";
import { SecretError } from "../../../lib/core/secret_error.ts";
import { joinShares, splitIntoShares } from "../../../lib/wire/key_shares.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(new ArrayBuffer(length)));
const sha256 = async (bytes: Uint8Array) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));

async function assertRefused(joining: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(joining, (error) => {
    assert.ok(error instanceof SecretError);
    assert.equal(error.code, code);
    return true;
  });
}

/** Chooses all subsets of a size. */
function subsets<T>(of: readonly T[], size: number): T[][] {
  if (size === 0) return [[]];
  return of.flatMap((first, index) => subsets(of.slice(index + 1), size - 1).map((rest) => [first, ...rest]));
}

describe("key shares", () => {
  test("give the secret back by any threshold of them, in any order, and by more", async () => {
    for (const length of [16, 31, 32, 63, 64, 65, 300]) {
      const secret = random(length);
      const hash = await sha256(secret);
      const shares = await splitIntoShares(secret, { shares: 5, threshold: 3 });
      assert.deepEqual(shares.map((share) => share.length), Array(5).fill(length + 1));
      for (const some of [...subsets(shares, 3), ...subsets(shares, 4), shares]) {
        using joined = await joinShares(some.toReversed(), hash);
        assert.deepEqual(joined.bytes, secret);
      }
    }
  });

  test("are the package's own: it joins ours, and we join its", async () => {
    const secret = random(32);
    const ours = await splitIntoShares(secret, { shares: 4, threshold: 2 });
    assert.deepEqual(await combine(ours.slice(1, 3)), secret);
    using joined = await joinShares(await split(secret, 4, 2), await sha256(secret));
    assert.deepEqual(joined.bytes, secret);
  });

  test("cover the ends of every range", async () => {
    for (const [shares, threshold] of [[2, 2], [255, 2], [255, 255]] as const) {
      const secret = random(16);
      const made = await splitIntoShares(secret, { shares, threshold });
      assert.equal(new Set(made.map((share) => share.at(-1))).size, shares);
      using joined = await joinShares(made.slice(0, threshold), await sha256(secret));
      assert.deepEqual(joined.bytes, secret);
    }
    const long = random(4096);
    using joined = await joinShares(
      await splitIntoShares(long, { shares: 2, threshold: 2 }),
      await sha256(long),
    );
    assert.deepEqual(joined.bytes, long);
  });

  test("fewer than the threshold give another secret, and are refused by the hash", async () => {
    const secret = random(32);
    const hash = await sha256(secret);
    const shares = await splitIntoShares(secret, { shares: 5, threshold: 4 });
    for (const some of [...subsets(shares, 2), ...subsets(shares, 3)]) {
      await assertRefused(joinShares(some, hash), "ERR_SECRET_HASH");
    }
  });

  test("a byte of a share is spread evenly, whatever the secret's byte is", async () => {
    // Chi-squared with 255 degrees of freedom: above 400 once in ten million runs.
    for (const byte of [0, 0xff]) {
      const counts = new Array<number>(256).fill(0);
      const secret = new Uint8Array(4096).fill(byte);
      for (let round = 0; round < 8; round++) {
        const [share = new Uint8Array()] = await splitIntoShares(secret, { shares: 2, threshold: 2 });
        for (const value of share.subarray(0, 4096)) counts[value]!++;
      }
      const expected = 8 * 4096 / 256;
      const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      assert.ok(chi < 400 && chi > 100, `chi-squared ${chi}`);
    }
  });

  test("a share at coordinate zero, which would choose the secret alone, is refused", async () => {
    const secret = random(32);
    const shares = await splitIntoShares(secret, { shares: 3, threshold: 2 });
    const chosen = new Uint8Array([...new Uint8Array(32).fill(9), 0]);
    assert.deepEqual(
      await combine([chosen, shares[0]!]),
      new Uint8Array(32).fill(9),
      "the package alone would take it",
    );
    await assertRefused(
      joinShares([chosen, shares[0]!], await sha256(new Uint8Array(32).fill(9))),
      "ERR_SECRET_OPEN",
    );
  });

  test("what are no shares, one twice, one alone, and other lengths are refused", async () => {
    const secret = random(32);
    const hash = await sha256(secret);
    const [one, two] = await splitIntoShares(secret, { shares: 2, threshold: 2 }) as [Uint8Array, Uint8Array];
    const cases: readonly (readonly Uint8Array[])[] = [
      [],
      [one],
      [one, one],
      [one, two, one],
      [one, two.subarray(1)],
      [one.subarray(0, 16), two.subarray(0, 16)],
      [new Uint8Array(0), new Uint8Array(0)],
      [new Uint8Array(4098).fill(1), new Uint8Array(4098).fill(2)],
      Array.from({ length: 256 }, (_, index) => Uint8Array.of(...new Uint8Array(32), index)),
    ];
    for (const shares of cases) await assertRefused(joinShares(shares, hash), "ERR_SECRET_OPEN");
    for (const shares of [undefined, "ab", [one, "two"], { length: 2 }]) {
      await assert.rejects(joinShares(shares as unknown as Uint8Array[], hash), TypeError);
    }
    for (const other of [undefined, hash.subarray(1), "00".repeat(32)]) {
      await assert.rejects(joinShares([one, two], other as Uint8Array), TypeError);
    }
  });

  test("any change of any share is refused by the hash, or before", async () => {
    const secret = random(16);
    const hash = await sha256(secret);
    const shares = await splitIntoShares(secret, { shares: 3, threshold: 3 });
    await fc.assert(
      fc.asyncProperty(fc.nat(2), fc.nat(16), fc.integer({ min: 1, max: 255 }), async (i, at, mask) => {
        const changed = shares.map((share) => share.slice());
        changed[i]![at]! ^= mask;
        await assert.rejects(joinShares(changed, hash), SecretError);
      }),
    );
  });

  test("numbers that make no sense are the caller's mistake", async () => {
    const secret = random(32);
    for (const [shares, threshold] of [[1, 1], [2, 1], [3, 4], [256, 2], [2.5, 2], [NaN, 2], [3, 0]]) {
      await assert.rejects(splitIntoShares(secret, { shares: shares!, threshold: threshold! }), RangeError);
    }
    for (const short of [new Uint8Array(0), random(15), random(4097)]) {
      await assert.rejects(splitIntoShares(short, { shares: 3, threshold: 2 }), RangeError);
    }
    for (const other of [undefined, "x".repeat(32), [...secret]]) {
      await assert.rejects(
        splitIntoShares(other as unknown as Uint8Array, { shares: 3, threshold: 2 }),
        TypeError,
      );
    }
    assert.deepEqual(
      await splitIntoShares(Buffer.from(secret), { shares: 2, threshold: 2 }).then((all) => all.length),
      2,
    );
  });

  test("wipe every copy of the secret and of the shares that they make, whether they fit or not", async () => {
    const secret = random(32);
    const hash = await sha256(secret);
    const lengths: number[] = [];
    using _spy = spyOnFill((bytes) => lengths.push(bytes.length));
    const wiped = () => lengths.splice(0).toSorted((a, b) => a - b);
    const shares = await splitIntoShares(secret, { shares: 3, threshold: 2 });
    assert.deepEqual(wiped(), [96, 97, 97, 97], "the padded secret, and the package's shares");
    await assert.rejects(joinShares(shares.slice(0, 2), new Uint8Array(32)));
    assert.deepEqual(wiped(), [32, 96, 97, 97]);
    (await joinShares(shares.slice(1), hash))[Symbol.dispose]();
    assert.deepEqual(wiped(), [32, 96, 97, 97]);
  });
});
