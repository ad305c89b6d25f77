import assert from "node:assert/strict";
import { describe, test } from "#test";
import { decryptMessage, type DecryptOptions } from "../../../lib/envelope/mod.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { forge, signingKey } from "./forge.ts";
import { collectUntilFailure, decrypt, decryption, encrypt, pattern, streamOf } from "./streams.ts";

const STORED = { tenant: "a" };
const UNSTORED = { grüße: "日本", purpose: "backup" };

async function faultOf(message: Uint8Array, options: Partial<DecryptOptions>): Promise<string | undefined> {
  const { plaintext, error } = await collectUntilFailure(streamOf(message).pipeThrough(decryption(options)));
  assert.equal(plaintext.length, 0);
  const calling = decryptMessage(new FakeKms(), message, { keyId: KEY_ARN, ...options });
  await assert.rejects(calling, { code: error.code });
  return error.code;
}

describe("a message whose writer left pairs of its context out", () => {
  test("opens for those who know them, signed or not, and KMS gets all pairs", async () => {
    const { privateKey, pair } = signingKey();
    const frames = [pattern(50)];
    const messages = [
      await forge({ frames, encryptionContext: STORED, unstored: UNSTORED }),
      await forge({ frames, unstored: UNSTORED }),
      await forge({
        frames,
        suite: 0x0578,
        encryptionContext: { ...STORED, ...pair },
        unstored: UNSTORED,
        signingKey: privateKey,
      }),
    ];
    for (const message of messages) {
      assert.deepEqual(await decrypt(message, { unstoredContext: UNSTORED }), pattern(50));
      const kms = new FakeKms();
      using plaintext = await decryptMessage(kms, message, { keyId: KEY_ARN, unstoredContext: UNSTORED });
      assert.deepEqual(plaintext.bytes, pattern(50));
      assert.equal(kms.requests[0]?.encryptionContext?.["purpose"], "backup");
    }
  });

  test("opens for nobody else", async () => {
    const message = await forge({ encryptionContext: STORED, unstored: UNSTORED });
    const wrong: (Partial<DecryptOptions>)[] = [
      {},
      { encryptionContext: STORED },
      { unstoredContext: { purpose: "backup" } },
      { unstoredContext: { ...UNSTORED, purpose: "other" } },
      { unstoredContext: { ...UNSTORED, more: "x" } },
    ];
    for (const options of wrong) assert.equal(await faultOf(message, options), "ERR_KMS");
    const other = { unstoredContext: { ...UNSTORED, tenant: "b" } };
    assert.equal(await faultOf(message, other), "ERR_ENVELOPE_CONTEXT");
    assert.equal(await faultOf(message, { encryptionContext: UNSTORED }), "ERR_ENVELOPE_CONTEXT");
  });

  test("may have some of them all the same, if they are what the reader knows", async () => {
    const hidden = await forge({ encryptionContext: STORED, unstored: UNSTORED });
    const shown = await forge({ encryptionContext: { ...STORED, ...UNSTORED } });
    assert.deepEqual(await decrypt(shown, { unstoredContext: UNSTORED }), new Uint8Array(5));
    assert.deepEqual(
      await decrypt(hidden, { unstoredContext: { ...UNSTORED, ...STORED } }),
      new Uint8Array(5),
    );
  });

  test("may not be made too long by the reader's pairs", async () => {
    const message = await encrypt(pattern(5), { encryptionContext: { a: "x".repeat(5000) } });
    const options = { unstoredContext: { b: "y".repeat(5000) } };
    assert.equal(await faultOf(message, options), "ERR_ENVELOPE_LIMIT");
  });

  test("must be given pairs, and none of the format's own", async () => {
    const message = await encrypt(pattern(5));
    for (const unstoredContext of [{}, { "aws-crypto-public-key": "x" }, { a: 1 }, "a"]) {
      await assert.rejects(decrypt(message, { unstoredContext: unstoredContext as never }), TypeError);
    }
  });
});
