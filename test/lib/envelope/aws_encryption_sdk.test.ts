import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { ConnectionError, KmsError } from "../../../mod.ts";
import { decryptStream } from "../../../lib/envelope/mod.ts";
import { awsDecrypt, awsEncrypt, Suite, type SuiteId } from "./aws.ts";
import { FakeKms, KEY_ARN, OTHER_KEY_ARN } from "./fake_kms.ts";
import { collect, decrypt, encrypt, faultOf, pattern, streamOf } from "./streams.ts";

const ENCODER = new TextEncoder();

/** Names whose order differs between UTF-16 and UTF-8, and a byte order mark. */
const CONTEXT = { "\u{ff5e}": "1", "\u{1f511}": "2", a: "", "": "empty", "\ufeffmark": "\ufeff3" };

describe("the AWS Encryption SDK", () => {
  for (const length of [0, 1, 4095, 4096, 4097, 20_000]) {
    test(`opens ${length} bytes of ours`, async () => {
      const message = await encrypt(pattern(length), { frameBytes: 4096, encryptionContext: CONTEXT });
      const opened = await awsDecrypt(message);
      assert.deepEqual(opened.plaintext, pattern(length));
      assert.deepEqual({ ...opened.encryptionContext }, CONTEXT);
    });

    test(`makes ${length} bytes that we open`, async () => {
      const message = await awsEncrypt(pattern(length), { encryptionContext: CONTEXT });
      assert.deepEqual(await decrypt(message, { encryptionContext: CONTEXT }), pattern(length));
    });
  }

  test("and we understand each other whatever the context and the frames", async () => {
    const text = fc.string({ unit: "grapheme", maxLength: 20 }).filter((value) => !value.includes("\0"));
    const names = text.filter((name) => !name.startsWith("aws-crypto-") && name !== "__proto__");
    const contexts = fc.dictionary(names, text, { maxKeys: 5, noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(
        contexts,
        fc.nat(9000),
        fc.integer({ min: 1024, max: 5000 }),
        async (context, size, frameBytes) => {
          const plaintext = pattern(size);
          const ours = await encrypt(plaintext, { frameBytes, encryptionContext: context });
          assert.deepEqual((await awsDecrypt(ours)).plaintext, plaintext);
          const theirs = await awsEncrypt(plaintext, { frameLength: frameBytes, encryptionContext: context });
          assert.deepEqual(
            await decrypt(theirs, Object.keys(context).length > 0 ? { encryptionContext: context } : {}),
            plaintext,
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  test("makes a frame to the byte, and we open those", async () => {
    const message = await awsEncrypt(pattern(50), { frameLength: 1 });
    assert.deepEqual(await decrypt(message), pattern(50));
  });

  test("puts several data keys in a message, and we take the one that is pinned, or any", async () => {
    const message = await awsEncrypt(pattern(50), { keyIds: [OTHER_KEY_ARN] });
    for (const keyId of [KEY_ARN, OTHER_KEY_ARN, "any"]) {
      assert.deepEqual(await decrypt(message, { keyId }), pattern(50), keyId);
    }
    const third = KEY_ARN.replace("us-east-1", "eu-west-1");
    assert.equal(await faultOf(message, { keyId: third }), "ERR_ENVELOPE_KEY");
  });

  test("puts several data keys in a message, and we go on to the next when KMS refuses one", async () => {
    const message = await awsEncrypt(pattern(50), { keyIds: [OTHER_KEY_ARN] });
    const kms = new FakeKms();
    const refused: unknown = await kms.decrypt({ ciphertext: message.subarray(0, 60), keyId: KEY_ARN }).catch(
      (error) => error,
    );
    assert.ok(refused instanceof KmsError);
    const open = async (failures: Readonly<Record<string, unknown>>) => {
      const asked: (string | undefined)[] = [];
      const decrypt = (request: Parameters<FakeKms["decrypt"]>[0]) => {
        asked.push(request.keyId);
        const failure = failures[request.keyId ?? ""];
        return failure === undefined ? kms.decrypt(request) : Promise.reject(failure);
      };
      const opened = streamOf(message).pipeThrough(decryptStream({ decrypt }, { keyId: "any" }));
      return { asked, outcome: await collect(opened).catch((error) => error) };
    };
    assert.deepEqual(await open({ [KEY_ARN]: refused }), {
      asked: [KEY_ARN, OTHER_KEY_ARN],
      outcome: pattern(50),
    });
    const all = await open({ [KEY_ARN]: refused, [OTHER_KEY_ARN]: new KmsError("the last", refused) });
    assert.deepEqual([all.asked.length, all.outcome], [2, refused]);
    const later = new KmsError("too many requests", { ...refused, retryable: true });
    const mixed = await open({ [KEY_ARN]: refused, [OTHER_KEY_ARN]: later });
    assert.equal(mixed.outcome, later, "whoever gives up for good loses a good message");
    const broken = new ConnectionError("Cannot connect", { hint: "Is it there?" });
    assert.deepEqual(await open({ [KEY_ARN]: broken }), { asked: [KEY_ARN], outcome: broken });
  });

  test("makes frames that are too long unless we allow them", async () => {
    const message = await awsEncrypt(pattern(10), { frameLength: 2_000_000 });
    assert.equal(await faultOf(message), "ERR_ENVELOPE_LIMIT");
    assert.deepEqual(await decrypt(message, { maxFrameBytes: 2_000_000 }), pattern(10));
  });

  const suites = Object.entries(Suite).filter((entry): entry is [string, SuiteId & number] =>
    typeof entry[1] === "number" && entry[1] !== 0x0478 && entry[1] !== 0x0578
  );
  for (const [name, suiteId] of suites) {
    // Deno's node:crypto has no AES-192-GCM to make them with.
    test.skipIf("Deno" in globalThis && name.includes("AES192"))(
      `makes messages with ${name}, which we refuse by its number`,
      async () => {
        const message = await awsEncrypt(pattern(10), { suiteId });
        await assert.rejects(decrypt(message), {
          code: "ERR_ENVELOPE_SUITE",
          message: `Cannot decrypt message: algorithm suite 0x${
            suiteId.toString(16).padStart(4, "0")
          } is not supported`,
        });
      },
    );
  }

  test("knows more suites than ours", () => assert.ok(suites.length >= 9, `${suites.length}`));

  test("writes base64 for people, and we say what that is", async () => {
    for (const suiteId of [Suite.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY, suites[0]?.[1]]) {
      const message = await awsEncrypt(pattern(10), { suiteId });
      const base64 = ENCODER.encode(btoa(String.fromCharCode(...message)));
      await assert.rejects(decrypt(base64), { code: "ERR_ENVELOPE_FORMAT", hint: "Is it still in base64?" });
    }
  });
});
