import assert from "node:assert/strict";
import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, test } from "#test";
import { allowedDataKeys } from "../../../lib/envelope/allowed_keys.ts";
import { decryptMessage, type DecryptOptions, type KeyFilter } from "../../../lib/envelope/mod.ts";
import { awsEncrypt, Suite } from "./aws.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { forge } from "./forge.ts";
import { encrypt, pattern } from "./streams.ts";

// The rule for ARNs of AWS's own library.
const { mrkAwareAwsKmsKeyIdCompare } = createRequire(import.meta.url)(
  "@aws-crypto/kms-keyring",
) as typeof import("@aws-crypto/kms-keyring");

const PRIMARY = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
const REPLICA = PRIMARY.replace("us-east-1", "eu-west-1");
const FILTER: KeyFilter = { partition: "aws", accounts: ["111122223333"] };

/** Opens a message, and tells the plaintext's length and the key that was asked for, or the failure. */
async function open(message: Uint8Array, keyId: DecryptOptions["keyId"]): Promise<unknown> {
  const kms = new FakeKms();
  try {
    using plaintext = await decryptMessage(kms, message, { keyId });
    return [plaintext.length, ...kms.requests.map((request) => request.keyId)];
  } catch (error) {
    assert.equal(kms.requests.length, 0, "KMS is not asked for a key that is refused");
    return (error as Error).message.replace("Cannot decrypt message: ", "");
  }
}

describe("a data key that KMS would not take", () => {
  const ciphertext = new Uint8Array(10);
  const good = { providerId: "aws-kms", providerInfo: KEY_ARN, ciphertext };
  const bad = [
    { ...good, ciphertext: new Uint8Array(0) },
    { ...good, ciphertext: new Uint8Array(6145) },
    { ...good, providerInfo: KEY_ARN + "0".repeat(2049 - KEY_ARN.length) },
  ];

  test("is passed over, and is a fault of the message if there is no other", () => {
    for (const dataKey of bad) {
      for (const allowed of ["any", KEY_ARN, FILTER] as const) {
        assert.throws(() => allowedDataKeys([dataKey], allowed), { code: "ERR_ENVELOPE_KEY" });
        assert.deepEqual(allowedDataKeys([dataKey, good], allowed), [{ keyId: KEY_ARN, ciphertext }]);
      }
    }
  });

  test("is one that gets too long in the client's region", () => {
    const providerInfo = PRIMARY + "0".repeat(2048 - PRIMARY.length);
    const dataKey = { ...good, providerInfo };
    assert.equal(allowedDataKeys([dataKey], { ...FILTER, region: "us-east-1" }).length, 1);
    const allowed = { ...FILTER, region: "us-east-10" };
    assert.throws(() => allowedDataKeys([dataKey], allowed), { code: "ERR_ENVELOPE_KEY" });
  });

  test("has the most bytes that KMS takes at most", () => {
    const providerInfo = KEY_ARN + "0".repeat(2048 - KEY_ARN.length);
    const longest = { ...good, providerInfo, ciphertext: new Uint8Array(6144) };
    assert.equal(allowedDataKeys([longest], "any").length, 1);
  });
});

describe("a multi-region key", () => {
  test("opens with its replica what the primary encrypted, and the other way round", async () => {
    for (const [writer, reader] of [[PRIMARY, REPLICA], [REPLICA, PRIMARY], [PRIMARY, PRIMARY]] as const) {
      assert.deepEqual(await open(await encrypt(pattern(50), { keyId: writer }), reader), [50, reader]);
      for (const suiteId of [Suite.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY, 0x0578]) {
        const theirs = await awsEncrypt(pattern(50), { generatorKeyId: writer, suiteId });
        assert.deepEqual(await open(theirs, reader), [50, reader]);
      }
    }
  });

  test("is another key in another account, in another partition, or with another id", async () => {
    const message = await encrypt(pattern(50), { keyId: PRIMARY });
    const others = [
      REPLICA.replace("111122223333", "111122223334"),
      REPLICA.replace("arn:aws:", "arn:aws-cn:"),
      REPLICA.replace("1234abcd", "1234abce"),
      REPLICA.replace("key/mrk-", "key/mrk"),
      KEY_ARN,
    ];
    for (const other of others) {
      assert.equal(
        await open(message, other),
        "none of its data keys is encrypted under the expected key",
        other,
      );
    }
  });

  test("is told from a key of one region, which has no replicas", async () => {
    const message = await encrypt(pattern(50));
    const elsewhere = KEY_ARN.replace("us-east-1", "eu-west-1");
    assert.equal(await open(message, elsewhere), "none of its data keys is encrypted under the expected key");
    // An id that only contains the mark is none.
    const odd = KEY_ARN.replace("key/", "key/a-mrk-");
    const oddly = await encrypt(pattern(50), { keyId: odd });
    assert.deepEqual(await open(oddly, odd), [50, odd]);
    assert.match(String(await open(oddly, odd.replace("us-east-1", "eu-west-1"))), /expected key/);
  });

  test("is matched as AWS's library matches it", () => {
    const part = <T>(...values: T[]) => fc.constantFrom(...values);
    const arns = fc.tuple(
      part("aws", "aws-cn"),
      part("us-east-1", "eu-west-1"),
      part("111122223333", "444455556666"),
      part("mrk-1", "mrk-2", "1", "mrk", "amrk-1"),
    ).map(([partition, region, account, id]) => `arn:${partition}:kms:${region}:${account}:key/${id}`);
    fc.assert(fc.property(arns, arns, (named, allowed) => {
      const dataKeys = [{ providerId: "aws-kms", providerInfo: named, ciphertext: new Uint8Array(1) }];
      let ours: string | undefined;
      try {
        ours = allowedDataKeys(dataKeys, allowed)[0]?.keyId;
      } catch {
        // Refused.
      }
      assert.equal(ours, mrkAwareAwsKmsKeyIdCompare(named, allowed) ? allowed : undefined);
    }));
  });
});

describe("a filter of keys", () => {
  const under = (keyId: string) => encrypt(pattern(50), { keyId });

  test("takes the key that a message names, in the accounts and the partition that it names", async () => {
    const accounts = ["444455556666", "111122223333"];
    assert.deepEqual(await open(await under(KEY_ARN), FILTER), [50, KEY_ARN]);
    assert.deepEqual(await open(await under(KEY_ARN), { ...FILTER, accounts }), [50, KEY_ARN]);
    assert.deepEqual(await open(await under(REPLICA), FILTER), [50, REPLICA]);
  });

  test("refuses the others, with the reason", async () => {
    const message = await under(KEY_ARN);
    const cases: [filter: KeyFilter, reason: string][] = [
      [{ ...FILTER, accounts: ["444455556666"] }, "a key of another account"],
      [{ ...FILTER, partition: "aws-cn" }, "a key of another partition"],
      [{ ...FILTER, region: "eu-west-1" }, "a key of another region"],
    ];
    for (const [filter, reason] of cases) {
      assert.equal(
        await open(message, filter),
        `none of its data keys is under an allowed key, but under ${reason}`,
      );
    }
    const several = await awsEncrypt(pattern(50), {
      generatorKeyId: KEY_ARN.replace("111122223333", "444455556666"),
      keyIds: [KEY_ARN.replace("us-east-1", "eu-west-1")],
    });
    assert.equal(
      await open(several, { ...FILTER, region: "us-east-1" }),
      "none of its data keys is under an allowed key, but under a key of another account, a key of another region",
    );
    for (
      const providerInfo of [
        "alias/a",
        KEY_ARN.replace(":key/", ":alias/"),
        `${KEY_ARN} `,
        "",
        "x".repeat(9000),
      ]
    ) {
      const forged = await forge({ providerInfo });
      assert.equal(
        await open(forged, FILTER),
        "none of its data keys is under an allowed key, but under no KMS key",
      );
    }
  });

  test("asks for the replica in its region, and for keys of one region only there", async () => {
    const region = "eu-west-1";
    assert.deepEqual(await open(await under(PRIMARY), { ...FILTER, region }), [50, REPLICA]);
    assert.deepEqual(await open(await under(REPLICA), { ...FILTER, region }), [50, REPLICA]);
    const here = KEY_ARN.replace("us-east-1", region);
    assert.deepEqual(await open(await under(here), { ...FILTER, region }), [50, here]);
    const both = await awsEncrypt(pattern(50), { keyIds: [here] });
    assert.deepEqual(await open(both, { ...FILTER, region }), [50, here]);
  });

  test("must be one", async () => {
    const message = await under(KEY_ARN);
    const bad = [
      {},
      { partition: "aws" },
      { accounts: ["111122223333"] },
      { partition: "aws", accounts: [] },
      { partition: "aws", accounts: "111122223333" },
      { partition: "aws", accounts: ["11112222333"] },
      { partition: "aws", accounts: ["*"] },
      { partition: "aws", accounts: new Array(101).fill("111122223333") },
      { partition: "", accounts: ["111122223333"] },
      { partition: "*", accounts: ["111122223333"] },
      { ...FILTER, region: "" },
      { ...FILTER, regions: ["eu-west-1"] },
      [FILTER],
      null,
    ];
    for (const keyId of bad) {
      await assert.rejects(decryptMessage(new FakeKms(), message, { keyId: keyId as never }), TypeError);
    }
  });
});
