import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "#test";
import { decryptMessage } from "../../../lib/envelope/mod.ts";
import { awsDecrypt } from "./aws.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { forge, signingKey } from "./forge.ts";
import { collectUntilFailure, decrypt, decryption, pattern, streamOf } from "./streams.ts";

const CONTEXT = { tenant: "a" };

/** Opens a message at once, and copies its plaintext. */
async function openAtOnce(message: Uint8Array): Promise<Uint8Array> {
  using plaintext = await decryptMessage(new FakeKms(), message, { keyId: KEY_ARN });
  return plaintext.bytes.slice();
}

/** Names the fault of a message, which must be the same as a stream, in chunks of any size and at once. */
async function faultOf(message: Uint8Array): Promise<string> {
  const { plaintext, error } = await collectUntilFailure(streamOf(message).pipeThrough(decryption()));
  assert.equal(plaintext.length, 0);
  const bytes = [...message].map((byte) => Uint8Array.of(byte));
  const slow = await collectUntilFailure(streamOf(...bytes.slice(0, 2000)).pipeThrough(decryption()));
  if (message.length <= 2000) assert.equal(slow.error.message, error.message);
  await assert.rejects(openAtOnce(message), { code: error.code });
  return error.code ?? error.name;
}

describe("a message in one piece", () => {
  for (const length of [0, 1, 5000, 1_048_576]) {
    test(`of ${length} bytes is opened by AWS's library and by us, signed or not`, async () => {
      const { privateKey, pair } = signingKey();
      const frames = [pattern(length)];
      const messages = [
        await forge({ inOnePiece: true, frames, encryptionContext: CONTEXT }),
        await forge({
          inOnePiece: true,
          frames,
          suite: 0x0578,
          encryptionContext: { ...CONTEXT, ...pair },
          signingKey: privateKey,
        }),
      ];
      for (const message of messages) {
        assert.deepEqual((await awsDecrypt(message)).plaintext, pattern(length));
        assert.deepEqual(await decrypt(message, { encryptionContext: CONTEXT }), pattern(length));
        assert.deepEqual(await openAtOnce(message), pattern(length));
      }
    });
  }

  test("may have any nonce", async () => {
    for (const nonce of [randomBytes(12), new Uint8Array(12), new Uint8Array(12).fill(255)]) {
      const message = await forge({ inOnePiece: true, frames: [pattern(50)], nonce: () => nonce });
      assert.deepEqual((await awsDecrypt(message)).plaintext, pattern(50));
      assert.deepEqual(await decrypt(message), pattern(50));
      assert.deepEqual(await openAtOnce(message), pattern(50));
    }
  });

  test("gives nothing with any byte changed, cut off or added", async () => {
    const message = await forge({ inOnePiece: true, frames: [pattern(50)] });
    const start = message.length - 12 - 8 - 50 - 16;
    for (let at = start; at < message.length; at++) {
      const fault = await faultOf(message.with(at, message[at]! ^ 1 << at % 8));
      assert.match(fault, /^ERR_ENVELOPE_(?:AUTHENTICATION|LIMIT|TRUNCATED|TRAILING)$/, `byte ${at}`);
      assert.equal(await faultOf(message.slice(0, at)), "ERR_ENVELOPE_TRUNCATED");
    }
    assert.equal(await faultOf(new Uint8Array([...message, 0])), "ERR_ENVELOPE_TRAILING");
    const twice = new Uint8Array([...message, ...message.slice(start)]);
    assert.equal(await faultOf(twice), "ERR_ENVELOPE_TRAILING");
  });

  test("is not longer than it may be, whatever it says", async () => {
    const message = await forge({ inOnePiece: true, frames: [pattern(5000)] });
    const start = message.length - 8 - 5000 - 16;
    const lengths = [[0, 0, 0, 0, 0, 16, 0, 1], [0, 0, 0, 1, 0, 0, 0, 1], [128, 0, 0, 0, 0, 0, 0, 0]];
    for (const length of [...lengths, new Array(8).fill(255)]) {
      const changed = message.slice();
      changed.set(length, start);
      assert.equal(await faultOf(changed), "ERR_ENVELOPE_LIMIT");
    }
    const { error } = await collectUntilFailure(
      streamOf(message).pipeThrough(decryption({ maxFrameBytes: 4999 })),
    );
    assert.equal(error.message, "Cannot decrypt message: its one piece of 5000 bytes exceeds maxFrameBytes");
    assert.deepEqual(await decrypt(message, { maxFrameBytes: 5000 }), pattern(5000));
  });

  test("is no frame, and a frame is none", async () => {
    const piece = await forge({ inOnePiece: true, frames: [pattern(40)] });
    const framed = await forge({ frames: [pattern(40)] });
    const type = piece.length - (12 + 8 + 40 + 16) - 16 - 32 - 5;
    const asFramed = piece.slice();
    asFramed.set([2, 0, 0, 4, 0], type);
    assert.match(await faultOf(asFramed), /^ERR_ENVELOPE_(?:AUTHENTICATION|ORDER)$/);
    const at = framed.length - (24 + 40 + 16) - 16 - 32 - 5;
    const asPiece = framed.slice();
    asPiece.set([1, 0, 0, 0, 0], at);
    assert.equal(await faultOf(asPiece), "ERR_ENVELOPE_AUTHENTICATION");
  });
});

describe("frames of another writer", () => {
  test("may have any nonces, also one again and again", async () => {
    const frames = [pattern(1024), pattern(1024), pattern(10)];
    const constant = randomBytes(12);
    for (
      const nonce of [() => randomBytes(12), () => constant, (number: number) => randomBytes(12).fill(number)]
    ) {
      const message = await forge({ frames, nonce });
      assert.deepEqual((await awsDecrypt(message)).plaintext.length, 2058);
      const opened = await decrypt(message);
      assert.deepEqual([opened.slice(0, 1024), opened.slice(2048)], [frames[0], frames[2]]);
      assert.deepEqual(await openAtOnce(message), opened);
    }
  });
});
