import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "#test";
import { SecretBytes } from "../../../mod.ts";
import { decryptMessage, encryptMessage, encryptStream } from "../../../lib/envelope/mod.ts";
import { FakeKms, KEY_ARN, OTHER_KEY_ARN } from "./fake_kms.ts";
import { collect, collectUntilFailure, decrypt, decryption, encrypt, pattern, streamOf } from "./streams.ts";

const FRAME = 1024;
const MAX = 1_048_576;
const CONTEXT = { tenant: "a" };
const OPTIONS = { keyId: KEY_ARN, encryptionContext: CONTEXT };

/** Opens a message at once, and copies its plaintext. */
async function open(message: Uint8Array, options: object = OPTIONS): Promise<Uint8Array<ArrayBuffer>> {
  using plaintext = await decryptMessage(new FakeKms(), message, { keyId: KEY_ARN, ...options });
  return plaintext.bytes.slice();
}

/** Names the fault of a message that is opened at once. */
async function faultAtOnce(message: Uint8Array): Promise<string> {
  try {
    await open(message, {});
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
  return "none";
}

/** Names the fault of a message that is opened as a stream. */
async function faultOfStream(message: Uint8Array): Promise<string> {
  const { error } = await collectUntilFailure(streamOf(message).pipeThrough(decryption()));
  return `${error.code}: ${error.message}`;
}

describe("encryptMessage() and decryptMessage()", () => {
  for (const length of [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 10 * FRAME + 7, MAX]) {
    test(`take ${length} bytes there and back, and so do the streams`, async () => {
      const plaintext = pattern(length);
      const message = await encryptMessage(new FakeKms(), plaintext, { ...OPTIONS, frameBytes: FRAME });
      const streamed = await encrypt(plaintext, { frameBytes: FRAME, encryptionContext: CONTEXT });
      assert.equal(message.length, streamed.length);
      assert.deepEqual(await open(message), plaintext);
      assert.deepEqual(await open(streamed), plaintext);
      assert.deepEqual(await decrypt(message, { encryptionContext: CONTEXT }), plaintext);
      assert.deepEqual(plaintext, pattern(length));
    });
  }

  test("take any length and any frames", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(9000), fc.integer({ min: FRAME, max: 5000 }), async (length, frameBytes) => {
        const message = await encryptMessage(new FakeKms(), pattern(length), { keyId: KEY_ARN, frameBytes });
        assert.deepEqual(await open(message, {}), pattern(length));
        assert.deepEqual(await decrypt(message), pattern(length));
      }),
      { numRuns: 40 },
    );
  });

  test("make no two messages alike, and wipe every data key", async () => {
    const kms = new FakeKms();
    const messages = [
      await encryptMessage(kms, pattern(9), OPTIONS),
      await encryptMessage(kms, pattern(9), OPTIONS),
    ];
    assert.notDeepEqual(messages[0]!.slice(3, 35), messages[1]!.slice(3, 35));
    assert.notDeepEqual(messages[0]!.slice(-25, -16), messages[1]!.slice(-25, -16));
    (await decryptMessage(kms, messages[0]!, OPTIONS))[Symbol.dispose]();
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0, 0]);
    assert.deepEqual(kms.requests.map(({ encryptionContext }) => ({ ...encryptionContext })), [
      CONTEXT,
      CONTEXT,
      CONTEXT,
    ]);
  });

  test("work with a cache of data keys in place of a client", async () => {
    const kms = new FakeKms();
    using first = await kms.generateDataKey({ keyId: KEY_ARN, keySpec: "AES_256" });
    const again = () => SecretBytes.copyOf(first.plaintext.bytes);
    const cache = {
      generateDataKey: () => {
        const plaintext = again();
        const { ciphertext, keyId } = first;
        return Promise.resolve({
          plaintext,
          ciphertext,
          keyId,
          [Symbol.dispose]: () => plaintext[Symbol.dispose](),
        });
      },
      decrypt: () => Promise.resolve(again()),
    };
    const [one, other] = [
      await encryptMessage(cache, pattern(50), { keyId: KEY_ARN }),
      await encryptMessage(cache, pattern(50), { keyId: KEY_ARN }),
    ];
    assert.notDeepEqual(one.slice(-50), other.slice(-50));
    for (const message of [one, other]) {
      using plaintext = await decryptMessage(cache, message, { keyId: KEY_ARN });
      assert.deepEqual(plaintext.bytes, pattern(50));
      assert.deepEqual(await decrypt(message), pattern(50));
    }
  });

  test("may share the memory of a message with another thread, but not that of a plaintext", async () => {
    const message = await encryptMessage(new FakeKms(), pattern(50), OPTIONS);
    const shared = new Uint8Array(new SharedArrayBuffer(message.length));
    shared.set(message);
    assert.deepEqual(await open(shared), pattern(50));
    const refusal = { name: "TypeError", message: "plaintext must be a Uint8Array over an ArrayBuffer" };
    await assert.rejects(encryptMessage(new FakeKms(), shared, OPTIONS), refusal);
  });

  test("do not notice what becomes of a message once the call has begun", async () => {
    const message = await encryptMessage(new FakeKms(), pattern(50), OPTIONS);
    const opening = decryptMessage(new FakeKms(), message, OPTIONS);
    message.fill(0);
    using plaintext = await opening;
    assert.deepEqual(plaintext.bytes, pattern(50));
  });

  test("end with the signal's reason, before KMS is asked and after", async () => {
    const reason = new Error("no longer wanted");
    const message = await encryptMessage(new FakeKms(), pattern(50), OPTIONS);
    const kms = new FakeKms();
    const aborted = { ...OPTIONS, signal: AbortSignal.abort(reason) };
    await assert.rejects(encryptMessage(kms, pattern(1), aborted), reason);
    await assert.rejects(decryptMessage(kms, message, aborted), reason);
    assert.equal(kms.requests.length, 0);
    for (const call of [encryptMessage, decryptMessage]) {
      const controller = new AbortController();
      const calling = call(kms as never, message, { ...OPTIONS, signal: controller.signal });
      controller.abort(reason);
      await assert.rejects(calling as Promise<unknown>, reason);
    }
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0]);
  });
});

describe("encryptMessage() refuses", () => {
  test("more than 1 MiB, and says what takes it", async () => {
    await assert.rejects(encryptMessage(new FakeKms(), new Uint8Array(MAX + 1), OPTIONS), {
      name: "RangeError",
      message: "plaintext must have at most 1048576 bytes: encryptStream() takes any number",
    });
  });

  test("text, a misspelt option and a client that is none, before KMS is asked", async () => {
    const kms = new FakeKms();
    await assert.rejects(encryptMessage(kms, "attack" as never, OPTIONS), TypeError);
    await assert.rejects(encryptMessage(kms, pattern(1), { ...OPTIONS, context: {} } as never), TypeError);
    await assert.rejects(encryptMessage({} as never, pattern(1), OPTIONS), TypeError);
    await assert.rejects(encryptMessage(kms, pattern(1), { ...OPTIONS, frameBytes: 1 }), RangeError);
    assert.equal(kms.requests.length, 0);
  });

  test("a plaintext that is taken away meanwhile, in place of encrypting nothing", async () => {
    const plaintext = pattern(100);
    const calling = encryptMessage(new FakeKms(), plaintext, OPTIONS);
    structuredClone(plaintext.buffer, { transfer: [plaintext.buffer] });
    await assert.rejects(calling, { name: "TypeError", message: "plaintext must keep its length" });
  });

  test("a data key of another length, and wipes it", async () => {
    const kms = new FakeKms();
    kms.keyBytes = 16;
    await assert.rejects(encryptMessage(kms, pattern(1), OPTIONS), { code: "ERR_ENVELOPE_KEY" });
    assert.equal(kms.secrets[0]?.length, 0);
  });
});

describe("decryptMessage() refuses", () => {
  const REST = 100;
  const plaintext = pattern(3 * FRAME + REST);

  test("whatever decryptStream() refuses, in the same words", async () => {
    const message = await encrypt(plaintext, { frameBytes: FRAME });
    const bad = [message.slice(0, 0), message.slice(0, 40), new Uint8Array([...message, 0])];
    for (let at = 0; at < message.length; at += at < 300 ? 3 : 17) {
      bad.push(message.with(at, message[at]! ^ 1 << at % 8), message.slice(0, at));
    }
    const regular = FRAME + 32;
    const start = message.length - (REST + 40) - 3 * regular;
    const frame = (index: number) => message.slice(start + index * regular, start + (index + 1) * regular);
    const join = (...parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
    const head = message.slice(0, start);
    bad.push(join(head, frame(1), frame(0), frame(2), frame(3)), join(head, frame(0), frame(0)));
    bad.push(join(head, frame(0), frame(2), frame(3)), join(head, frame(3)), join(message, frame(3)));
    for (const one of bad) assert.equal(await faultAtOnce(one), await faultOfStream(one));
  });

  test("another key or context than it is to have", async () => {
    const message = await encryptMessage(new FakeKms(), plaintext, OPTIONS);
    await assert.rejects(open(message, { encryptionContext: { tenant: "b" } }), {
      code: "ERR_ENVELOPE_CONTEXT",
    });
    await assert.rejects(open(message, { keyId: OTHER_KEY_ARN }), { code: "ERR_ENVELOPE_KEY" });
    await assert.rejects(open(message, { encryptionContext: {} }), TypeError);
  });

  test("what is longer, or in more frames, than fits into one turn of the event loop", async () => {
    const limit = {
      code: "ERR_ENVELOPE_LIMIT",
      message: "Cannot decrypt message: it is too long, or has too many frames",
      hint: "Use decryptStream() for more than 1048576 bytes or 1024 frames",
    };
    const longest = await encrypt(pattern(MAX), { frameBytes: FRAME });
    assert.equal((await open(longest, {})).length, MAX);
    // Few frames leave room for more plaintext in as many bytes.
    await assert.rejects(open(await encrypt(pattern(MAX + 1), { frameBytes: 65_536 }), {}), limit);
    const many = await encrypt(pattern(1025 * FRAME + 1), { frameBytes: FRAME });
    await assert.rejects(open(many, {}), limit);
    await assert.rejects(open(await encrypt(pattern(2 * MAX)), {}), limit);
    assert.equal((await decrypt(many)).length, 1025 * FRAME + 1);
  });

  test("a message whose end was changed, and wipes all keys and the plaintext", async () => {
    const kms = new FakeKms();
    const message = await collect(
      streamOf(plaintext).pipeThrough(encryptStream(kms, { keyId: KEY_ARN, frameBytes: FRAME })),
    );
    const dispose = SecretBytes.prototype[Symbol.dispose];
    const wiped: Uint8Array[] = [];
    SecretBytes.prototype[Symbol.dispose] = function () {
      if (this.length > 32) wiped.push(this.bytes);
      dispose.call(this);
    };
    try {
      const torn = message.with(message.length - 1, message.at(-1)! ^ 1);
      await assert.rejects(decryptMessage(kms, torn, { keyId: KEY_ARN }), {
        code: "ERR_ENVELOPE_AUTHENTICATION",
      });
    } finally {
      SecretBytes.prototype[Symbol.dispose] = dispose;
    }
    assert.deepEqual(wiped, [new Uint8Array(plaintext.length)]);
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0]);
  });
});
