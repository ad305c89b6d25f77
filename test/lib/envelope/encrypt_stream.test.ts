import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { KmsClient } from "../../../mod.ts";
import { decryptStream, encryptStream } from "../../../lib/envelope/mod.ts";
import { MAX_FRAMES } from "../../../lib/envelope/frames.ts";
import { FrameSealer } from "../../../lib/envelope/seal_frames.ts";
import { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import { startSimulator } from "../../../sim/mod.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { collect, collectUntilFailure, decrypt, decryption, encrypt, pattern, streamOf } from "./streams.ts";

const FRAME = 1024;
/**
 * Lengths in a message with an empty context under {@link KEY_ARN}: the header, and the bytes around the last
 * frame.
 */
const HEADER_BYTES = 37 + 2 + 2 + 7 + 2 + KEY_ARN.length + 2 + 60 + 1 + 4 + 32 + 16;
const FINAL_OVERHEAD = 4 + 4 + 12 + 4 + 16;
const REGULAR_OVERHEAD = 4 + 12 + 16;

describe("encryptStream() and decryptStream()", () => {
  for (
    const length of [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME - 1, 2 * FRAME, 2 * FRAME + 1, 300_000]
  ) {
    test(`take ${length} bytes there and back, in as many frames as needed`, async () => {
      const message = await encrypt(pattern(length), { frameBytes: FRAME });
      const regular = Math.max(0, Math.ceil(length / FRAME) - 1);
      assert.equal(message.length, HEADER_BYTES + regular * REGULAR_OVERHEAD + FINAL_OVERHEAD + length);
      assert.deepEqual(await decrypt(message), pattern(length));
    });
  }

  test("take any chunks, empty ones too", async () => {
    const lengths = fc.array(fc.oneof(fc.nat(40), fc.nat(3 * FRAME)), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        lengths,
        lengths,
        fc.integer({ min: FRAME, max: 3000 }),
        async (write, cut, frameBytes) => {
          const plaintext = pattern(write.reduce((sum, length) => sum + length, 0));
          const message = await collect(
            streamOf(...split(plaintext, write)).pipeThrough(
              encryptStream(new FakeKms(), { keyId: KEY_ARN, frameBytes }),
            ),
          );
          const opened = await collect(streamOf(...split(message, cut)).pipeThrough(decryption()));
          assert.deepEqual(opened, plaintext);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("take a byte at a time", async () => {
    const message = await encrypt(pattern(2100), { frameBytes: FRAME, encryptionContext: { tenant: "a" } });
    const bytes = [...message].map((byte) => Uint8Array.of(byte));
    assert.deepEqual(await collect(streamOf(...bytes).pipeThrough(decryption())), pattern(2100));
  });

  test("make no two messages alike", async () => {
    const [one, two] = [await encrypt(pattern(10)), await encrypt(pattern(10))];
    assert.notDeepEqual(one.slice(3, 35), two.slice(3, 35));
    assert.notDeepEqual(one.slice(-26, -16), two.slice(-26, -16));
  });

  test("give KMS the context, and wipe every data key", async () => {
    const kms = new FakeKms();
    const encryptionContext = { tenant: "a", "": "empty", "__proto__x": "é" };
    const message = await collect(
      streamOf(pattern(5)).pipeThrough(encryptStream(kms, { keyId: KEY_ARN, encryptionContext })),
    );
    await collect(
      streamOf(message).pipeThrough(
        decryptStream(kms, { keyId: KEY_ARN, encryptionContext: { tenant: "a" } }),
      ),
    );
    assert.deepEqual(kms.requests.map((request) => ({ ...request.encryptionContext })), [
      encryptionContext,
      encryptionContext,
    ]);
    assert.deepEqual(kms.requests.map(({ keyId }) => keyId), [KEY_ARN, KEY_ARN]);
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0]);
  });

  test("wipe the plaintext that was read in", async () => {
    const dispose = SecretBytes.prototype[Symbol.dispose];
    const wiped: Uint8Array[] = [];
    SecretBytes.prototype[Symbol.dispose] = function () {
      if (this.length === FRAME) wiped.push(this.bytes);
      dispose.call(this);
    };
    try {
      await encrypt(pattern(3 * FRAME), { frameBytes: FRAME });
    } finally {
      SecretBytes.prototype[Symbol.dispose] = dispose;
    }
    assert.deepEqual(wiped, [new Uint8Array(FRAME)]);
  });

  test("ask KMS for nothing before something reads", async () => {
    const kms = new FakeKms();
    const { writable, readable } = encryptStream(kms, { keyId: KEY_ARN });
    const writing = writable.getWriter().write(pattern(1)).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(kms.requests.length, 0);
    await readable.cancel();
    await writing;
    assert.equal(kms.requests.length, 0);
  });

  test("pass on the time-out for the call", async () => {
    const kms = new FakeKms();
    await collect(streamOf().pipeThrough(encryptStream(kms, { keyId: KEY_ARN, timeoutMs: 1234 })));
    assert.equal((kms.requests[0] as { timeoutMs?: number }).timeoutMs, 1234);
  });

  test("work with the client, against the simulator", async () => {
    await using enclave = await startSimulator();
    const { arn: keyId } = await enclave.createKey();
    await using client = await KmsClient.open(enclave.clientOptions);
    const encryptionContext = { tenant: "a" };
    const message = await collect(
      streamOf(pattern(100_000)).pipeThrough(encryptStream(client, { keyId, encryptionContext })),
    );
    const opened = streamOf(message).pipeThrough(decryptStream(client, { keyId, encryptionContext }));
    assert.deepEqual(await collect(opened), pattern(100_000));
  });
});

describe("encryptStream() refuses", () => {
  const wrong: [name: string, options: Record<string, unknown>, error: RegExp][] = [
    ["no key", { keyId: undefined }, /TypeError: keyId must be a string/],
    [
      "a misspelt option",
      { encryptionContex: {} },
      /TypeError: The options of an encryption have no field `encryptionContex`: expected keyId, encryptionC/,
    ],
    ["short frames", { frameBytes: 1023 }, /RangeError: frameBytes must be an integer from 1024 to 1048576/],
    ["long frames", { frameBytes: 1_048_577 }, /RangeError: frameBytes/],
    ["a broken frame length", { frameBytes: 1024.5 }, /RangeError: frameBytes/],
    [
      "reserved names",
      { encryptionContext: { "aws-crypto-x": "1" } },
      /TypeError: .* begin with aws-crypto-/,
    ],
    [
      "a huge context",
      { encryptionContext: { a: "x".repeat(8190) } },
      /RangeError: encryptionContext must have at most 8192 bytes, not 8193/,
    ],
    [
      "a context of numbers",
      { encryptionContext: { a: 1 } },
      /TypeError: encryptionContext must have only strings/,
    ],
    ["a signal that is none", { signal: {} }, /TypeError: signal must be an AbortSignal/],
    ["a time-out of none", { timeoutMs: 0 }, /RangeError: timeoutMs/],
  ];
  for (const [name, options, error] of wrong) {
    test(name, () => {
      assert.throws(() => encryptStream(new FakeKms(), { keyId: KEY_ARN, ...options }), error);
    });
  }

  test("a data key of another length, and wipes it", async () => {
    const kms = new FakeKms();
    kms.keyBytes = 16;
    const { error } = await collectUntilFailure(
      streamOf().pipeThrough(encryptStream(kms, { keyId: KEY_ARN })),
    );
    assertSaid(
      error,
      "Cannot use data key: it does not have 32 bytes",
      /Was the data key's ciphertext replaced/,
    );
    assert.equal(error.code, "ERR_ENVELOPE_KEY");
    assert.equal(kms.secrets[0]?.length, 0);
  });

  test("a data key whose KMS key is not told, and wipes it", async () => {
    const kms = new FakeKms();
    kms.answeredKeyId = "alias/mine";
    const { error } = await collectUntilFailure(
      streamOf().pipeThrough(encryptStream(kms, { keyId: "alias/mine" })),
    );
    const message = "Cannot encrypt message: the ARN of the KMS key is not known";
    assertSaid(error, message, /give the ARN as keyId/);
    assert.equal(error.code, "ERR_ENVELOPE_KEY");
    assert.equal(kms.secrets[0]?.length, 0);
  });

  test("chunks of text", async () => {
    const text = ReadableStream.from(["attack"]) as unknown as ReadableStream<Uint8Array>;
    const { error } = await collectUntilFailure(
      text.pipeThrough(encryptStream(new FakeKms(), { keyId: KEY_ARN })),
    );
    assert.match(String(error), /TypeError: The stream must consist of Uint8Array chunks/);
  });

  test("more frames than their numbers reach", () => {
    const messageId = new Uint8Array(32);
    using cipher = new MessageCipher(SecretBytes.copyOf(pattern(32)), messageId);
    const seal = (number: number, isFinal: boolean) => {
      const frames = new FrameSealer(cipher, { messageId, frameBytes: FRAME }, number);
      const frame = new Uint8Array(isFinal ? frames.finalBytes(FRAME) : frames.regularBytes(1));
      if (isFinal) frames.sealFinal(pattern(FRAME), frame);
      else frames.sealRegular(pattern(FRAME), frame);
      return frame;
    };
    const limit = {
      code: "ERR_ENVELOPE_LIMIT",
      message: "Cannot encrypt message: it needs more than 4294967295 frames",
      hint: `Raise frameBytes, now ${FRAME}, or encrypt in several messages`,
    };
    assert.equal(seal(MAX_FRAMES - 1, false).length, FRAME + REGULAR_OVERHEAD);
    assert.equal(seal(MAX_FRAMES, true).length, FRAME + FINAL_OVERHEAD);
    assert.throws(() => seal(MAX_FRAMES, false), limit);
    assert.throws(() => seal(MAX_FRAMES + 1, true), limit);
  });
});

describe("decryptStream() refuses", () => {
  const wrong: [name: string, options: Record<string, unknown>, error: RegExp][] = [
    ["no key", { keyId: undefined }, /TypeError: keyId must be the ARN of the key/],
    ["an alias", { keyId: "alias/mine" }, /TypeError: keyId must be the ARN of the key/],
    ["an alias ARN", { keyId: "arn:aws:kms:us-east-1:111122223333:alias/mine" }, /TypeError: keyId must be/],
    [
      "an ARN with something before it",
      { keyId: ` ${KEY_ARN}` },
      /TypeError: keyId must be the ARN of the key/,
    ],
    [
      "an ARN with something behind it",
      { keyId: `${KEY_ARN}/` },
      /TypeError: keyId must be the ARN of the key/,
    ],
    [
      "a key that is no string",
      { keyId: [KEY_ARN] },
      /TypeError: keyId must be .* name it, "any", or a filter of partition and accounts$/,
    ],
    ["long frames", { maxFrameBytes: 67_108_865 }, /RangeError: maxFrameBytes .* 1024 to 67108864/],
    ["a signal that is none", { signal: {} }, /TypeError: signal must be an AbortSignal/],
    ["a time-out of none", { timeoutMs: 0 }, /RangeError: timeoutMs/],
    ["options that are none", { more: 1 }, /TypeError: The options of a decryption have no field `more`/],
    ["a misspelt option", { context: {} }, /TypeError: .* no field `context`/],
    ["short frames", { maxFrameBytes: 1023 }, /RangeError: maxFrameBytes/],
    ["no data keys", { maxEncryptedDataKeys: 0 }, /RangeError: maxEncryptedDataKeys .* 1 to 32/],
    ["any number of them", { maxEncryptedDataKeys: 33 }, /RangeError: maxEncryptedDataKeys/],
    [
      "reserved names",
      { encryptionContext: { "aws-crypto-x": "1" } },
      /TypeError: .* begin with aws-crypto-/,
    ],
  ];
  for (const [name, options, error] of wrong) {
    test(name, () => {
      assert.throws(() => decryptStream(new FakeKms(), { keyId: KEY_ARN, ...options }), error);
    });
  }
});

function assertSaid(error: Error & { hint?: string }, message: string, hint: RegExp): void {
  assert.equal(error.message, message);
  assert.match(error.hint ?? "", hint);
}

function split(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const length of lengths) {
    chunks.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  return [...chunks, bytes.subarray(offset)];
}
