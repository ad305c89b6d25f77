import assert from "node:assert/strict";
import { describe, test } from "#test";
import { decryptStream, type EncryptionContext, encryptStream } from "../../../mod.ts";
import { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import { FakeKms, KEY_ARN, OTHER_KEY_ARN } from "./fake_kms.ts";
import {
  collect,
  collectUntilFailure,
  decrypt,
  decryption,
  encrypt,
  faultOf,
  pattern,
  streamOf,
} from "./streams.ts";

const FRAME = 1024;
const REGULAR = 4 + 12 + FRAME + 16;
const REST = 100;
const FINAL = 4 + 4 + 12 + 4 + REST + 16;
const PLAINTEXT = pattern(3 * FRAME + REST);
const CONTEXT = { tenant: "a" };

/** Offsets in the header: the context is 2 + 2 + 6 + 2 + 1 bytes, the encrypted data key 60. */
const DATA_KEYS = 37 + 13;
const PROVIDER = DATA_KEYS + 2 + 2;
const CONTENT_TYPE = PROVIDER + 7 + 2 + KEY_ARN.length + 2 + 60;
const HEADER = CONTENT_TYPE + 1 + 4 + 32 + 16;

/** The pair of the context, as it is encoded. */
const PAIR = [0, 6, ...new TextEncoder().encode("tenant"), 0, 1, ...new TextEncoder().encode("a")];

const message = await encrypt(PLAINTEXT, { frameBytes: FRAME, encryptionContext: CONTEXT });
const other = await encrypt(PLAINTEXT, { frameBytes: FRAME, encryptionContext: CONTEXT });

describe("decryptStream() refuses a message", () => {
  test("laid out as this test says", () => {
    assert.equal(message.length, HEADER + 3 * REGULAR + FINAL);
    assert.equal(new TextDecoder().decode(message.subarray(PROVIDER, PROVIDER + 7)), "aws-kms");
    assert.deepEqual([...message.subarray(CONTENT_TYPE, CONTENT_TYPE + 5)], [2, 0, 0, 4, 0]);
  });

  test("with any bit of the header flipped, and tells nothing of it", async () => {
    for (let bit = 0; bit < 8 * HEADER; bit++) {
      const { plaintext, error } = await failureOf(flipped(bit));
      assert.equal(plaintext.length, 0, `bit ${bit}`);
      assert.match(error.code ?? "", /^ERR_(ENVELOPE_[A-Z]+|KMS)$/, `bit ${bit}: ${error}`);
    }
  });

  test("with a bit of the frames flipped, and tells only the frames before", async () => {
    for (let bit = 8 * HEADER; bit < 8 * message.length; bit += isFrameHead(bit >> 3) ? 1 : 37) {
      const { plaintext, error } = await failureOf(flipped(bit));
      const before = Math.min(3, Math.floor(((bit >> 3) - HEADER) / REGULAR));
      assert.deepEqual(plaintext, PLAINTEXT.slice(0, before * FRAME), `bit ${bit}`);
      assert.match(error.code ?? "", /^ERR_ENVELOPE_[A-Z]+$/, `bit ${bit}: ${error}`);
    }
  });

  test("that ends anywhere before its end", async () => {
    for (let length = 0; length < message.length; length += length < HEADER + 40 ? 1 : 13) {
      await expectTruncated(length);
    }
    for (let frame = 0; frame <= 3; frame++) await expectTruncated(HEADER + frame * REGULAR);
    await expectTruncated(message.length - 1);
  });

  const whole = [head(message), frame(0), frame(1), frame(2), frame(3)] as const;
  const [header, first, second, third, last] = whole;
  const rearranged: [name: string, parts: Uint8Array[], fault: string][] = [
    ["with two frames swapped", [header, second, first, third, last], "ORDER"],
    ["with a frame left out", [header, first, third, last], "ORDER"],
    ["with its first frame left out", [header, second, third, last], "ORDER"],
    ["with a frame twice", [header, first, first, second, third, last], "ORDER"],
    ["with its last frame twice", [header, first, second, third, last, last], "TRAILING"],
    ["with its last frame first", [header, last, first, second, third], "ORDER"],
    ["with a byte after its end", [...whole, Uint8Array.of(0)], "TRAILING"],
    ["with another after its end", [...whole, other], "TRAILING"],
    ["with a frame of another in place", [header, first, frame(1, other), third, last], "AUTHENTICATION"],
    ["with the last frame of another", [header, first, second, third, frame(3, other)], "AUTHENTICATION"],
    ["with the header of another", [head(other), first, second, third, last], "AUTHENTICATION"],
    ["with the id of another", [replaced(3, other.subarray(3, 35))], "COMMITMENT"],
    [
      "with the data key of another",
      [replaced(CONTENT_TYPE - 60, other.subarray(CONTENT_TYPE - 60, CONTENT_TYPE))],
      "COMMITMENT",
    ],
    [
      "with the commitment of another",
      [replaced(CONTENT_TYPE + 5, other.subarray(CONTENT_TYPE + 5, CONTENT_TYPE + 37))],
      "COMMITMENT",
    ],
    [
      "with the header's tag of another",
      [replaced(HEADER - 16, other.subarray(HEADER - 16, HEADER))],
      "AUTHENTICATION",
    ],
    ["whose frame passes for the last", [header, first, asFinal(second)], "AUTHENTICATION"],
    ["with other frame numbers", [header, renumbered(second)], "AUTHENTICATION"],
    ["with another nonce", [header, replaced(HEADER + 4, Uint8Array.of(1)).subarray(HEADER)], "FORMAT"],
    ["whose last frame is too long", [header, longFinal()], "FORMAT"],
    ["that says nothing of its version", [Uint8Array.of(9)], "FORMAT"],
    ["that is empty", [], "TRUNCATED"],
    ["with a key under another name", [replaced(CONTENT_TYPE - 62 - 1, [120])], "KEY"],
    ["of another provider", [replaced(PROVIDER, [120])], "KEY"],
    ["with no data key", [replaced(DATA_KEYS, [0, 0])], "FORMAT"],
    ["with many data keys", [replaced(DATA_KEYS, [0, 33])], "LIMIT"],
    ["with a huge header", [hugeHeader()], "LIMIT"],
    ["without frames", [replaced(CONTENT_TYPE, [1])], "FORMAT"],
    ["with frames of no length", [replaced(CONTENT_TYPE + 1, [0, 0, 0, 0])], "FORMAT"],
    ["with frames of 4 GiB", [replaced(CONTENT_TYPE + 1, [255, 255, 255, 255])], "LIMIT"],
    ["with other frames", [replaced(CONTENT_TYPE + 1, [0, 0, 4, 1])], "AUTHENTICATION"],
    ["with a context cut short", [replaced(35, [0, 12])], "FORMAT"],
    ["with a context of no pair", [replaced(37, [0, 0])], "FORMAT"],
    ["with one pair twice", [replaced(35, [0, 24, 0, 2, ...PAIR, ...PAIR])], "FORMAT"],
    ["with a context that is not UTF-8", [replaced(37 + 4, [255])], "FORMAT"],
    ["with a NUL in its context", [replaced(37 + 4, [0])], "FORMAT"],
  ];
  for (const [name, parts, fault] of rearranged) {
    test(name, async () => {
      assert.equal(await faultOf(await collect(streamOf(...parts))), `ERR_ENVELOPE_${fault}`);
    });
  }

  test("of another context, before it asks KMS", async () => {
    const wrong: EncryptionContext[] = [{ tenant: "b" }, { tenant: "a", more: "x" }, { toString: "a" }, {
      Tenant: "a",
    }];
    for (const encryptionContext of wrong) {
      assert.equal(await faultOf(message, { encryptionContext }), "ERR_ENVELOPE_CONTEXT");
    }
    assert.deepEqual(await decrypt(message, { encryptionContext: CONTEXT }), PLAINTEXT);
    assert.deepEqual(await decrypt(message), PLAINTEXT);
  });

  test("whose context was changed to the expected one", async () => {
    const forged = replaced(37 + 2 + 2 + 6 + 2, new TextEncoder().encode("b"));
    assert.equal(await faultOf(forged, { encryptionContext: { tenant: "b" } }), "ERR_KMS");
  });

  test("under another key than the pinned one", async () => {
    assert.equal(await faultOf(message, { keyId: OTHER_KEY_ARN }), "ERR_ENVELOPE_KEY");
    assert.deepEqual(await decrypt(message, { keyId: "any" }), PLAINTEXT);
  });

  test("whose data key has another length, and wipes it", async () => {
    const kms = new FakeKms();
    const opener = {
      decrypt: async (...request: Parameters<FakeKms["decrypt"]>) => {
        using _whole = await kms.decrypt(...request);
        kms.keyBytes = 16;
        return (await kms.generateDataKey({ keyId: KEY_ARN, keySpec: "AES_256" })).plaintext;
      },
    };
    const { error } = await collectUntilFailure(
      streamOf(message).pipeThrough(decryptStream(opener, { keyId: KEY_ARN })),
    );
    assert.equal(error.code, "ERR_ENVELOPE_KEY");
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0, 0]);
  });

  test("and wipes every key, whatever is wrong", async () => {
    const dispose = MessageCipher.prototype[Symbol.dispose];
    let wiped = 0;
    MessageCipher.prototype[Symbol.dispose] = function () {
      wiped++;
      dispose.call(this);
    };
    try {
      const [commitment, tag, frames] = [CONTENT_TYPE + 5, HEADER - 1, HEADER + 30];
      for (
        const bad of [...[commitment, tag, frames].map((at) => flipped(8 * at)), message.subarray(0, HEADER)]
      ) {
        const kms = new FakeKms();
        wiped = 0;
        await collectUntilFailure(streamOf(bad).pipeThrough(decryptStream(kms, { keyId: KEY_ARN })));
        assert.deepEqual(kms.secrets.map(({ length }) => length), [0]);
        assert.equal(wiped, 1);
      }
    } finally {
      MessageCipher.prototype[Symbol.dispose] = dispose;
    }
  });

  test("that is shorter than an honest empty one", async () => {
    const empty = await collect(streamOf().pipeThrough(encryptStream(new FakeKms(), { keyId: KEY_ARN })));
    assert.equal((await decrypt(empty)).length, 0);
    for (let length = 0; length < empty.length; length++) {
      assert.equal(await faultOf(empty.subarray(0, length)), "ERR_ENVELOPE_TRUNCATED", `${length}`);
    }
  });

  async function expectTruncated(length: number): Promise<void> {
    const { plaintext, error } = await failureOf(message.subarray(0, length));
    const before = Math.max(0, Math.min(3, Math.floor((length - HEADER) / REGULAR)));
    assert.equal(error.code, "ERR_ENVELOPE_TRUNCATED", `${length} bytes`);
    assert.deepEqual(plaintext, PLAINTEXT.slice(0, before * FRAME), `${length} bytes`);
  }
});

function failureOf(bytes: Uint8Array): ReturnType<typeof collectUntilFailure> {
  return collectUntilFailure(streamOf(bytes).pipeThrough(decryption()));
}

function flipped(bit: number): Uint8Array {
  return replaced(bit >> 3, [(message[bit >> 3] ?? 0) ^ (1 << (bit & 7))]);
}

function replaced(offset: number, bytes: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const copy = message.slice();
  copy.set(bytes, offset);
  return copy;
}

function head(of: Uint8Array): Uint8Array {
  return of.subarray(0, HEADER);
}

/** The frame at an index from 0; the last is 3. */
function frame(index: number, of: Uint8Array = message): Uint8Array {
  const start = HEADER + index * REGULAR;
  return of.subarray(start, index === 3 ? undefined : start + REGULAR);
}

/** Whether the byte belongs to what a frame has before its ciphertext. */
function isFrameHead(offset: number): boolean {
  return (offset - HEADER) % REGULAR < 24;
}

/** A regular frame, dressed as the last one. */
function asFinal(regular: Uint8Array): Uint8Array {
  const length = [0, 0, FRAME >> 8, 0];
  const [numberAndNonce, rest] = [regular.subarray(0, 16), regular.subarray(16)];
  return Uint8Array.of(255, 255, 255, 255, ...numberAndNonce, ...length, ...rest);
}

/** A frame, dressed as the first one. */
function renumbered(regular: Uint8Array): Uint8Array {
  const copy = regular.slice();
  copy[3] = copy[15] = 1;
  return copy;
}

/** A last frame that says it has one byte more than a frame may. */
function longFinal(): Uint8Array {
  const plaintext = new Uint8Array(FRAME + 1 + 16);
  return Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 1, ...new Uint8Array(11), 1, 0, 0, 4, 1, ...plaintext);
}

/** As many data keys as are allowed, each as long as a length can say. */
function hugeHeader(): Uint8Array {
  const fields = new Uint8Array(3 * (2 + 0xffff));
  for (let index = 0; index < 3; index++) fields.fill(255, index * 0x10001, index * 0x10001 + 2);
  return Uint8Array.from([...message.subarray(0, DATA_KEYS), 0, 32, ...fields]);
}
