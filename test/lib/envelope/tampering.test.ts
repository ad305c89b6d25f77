import assert from "node:assert/strict";
import { describe, test } from "#test";
import {
  decryptStream,
  type DecryptStreamOptions,
  type EncryptionContext,
  encryptStream,
} from "../../../lib/envelope/mod.ts";
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

/** Everything that is said of a message that is refused, by what to look at. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  "Are several messages in one stream, or was something added? Discard the plaintext so far": [
    "bytes follow its final frame",
  ],
  "Raise maxFrameBytes, now 1048576, if the writer is trusted": [
    "its frames of 4294967295 bytes exceed maxFrameBytes",
  ],
  "Is it a message of the AWS Encryption SDK?": [
    "it does not begin with a version of the format",
  ],
  "Is it another tenant's, or was it encrypted without the pairs that are expected here?": [
    "it has another encryption context",
  ],
  "Is it still in base64?": [
    "it does not begin with a version of the format",
  ],
  "Is keyId the full ARN of the key, in the right region?": [
    "none of its data keys is encrypted under the expected key",
  ],
  "It does not commit to its key; encrypt with AES_256_GCM_HKDF_SHA512_COMMIT_KEY (0x0478) instead": [
    "algorithm suite 0x0014 is not supported",
    "algorithm suite 0x0178 is not supported",
  ],
  "Was a frame lost, repeated or moved? Discard the plaintext so far": [
    "frame 1 comes in place of frame 2",
    "frame 2 comes in place of frame 1",
    "frame 3 comes in place of frame 2",
    "frame 4 comes in place of frame 1",
  ],
  "Was it encrypted with a keyring other than KMS's?": [
    "none of its data keys is encrypted under a KMS key",
  ],
  "Was it stored or sent in part? Discard the plaintext so far: it is genuine but incomplete": [
    "it ends before its final frame",
  ],
  "Was its header damaged, or put together from the headers of two messages?": [
    "it commits to another data key",
  ],
  "Was the message damaged on its way?": [
    "it has no encrypted data key",
    "its content type is not known",
    "its encryption context is malformed",
    "its frames have no length",
    "its one piece has a frame length",
  ],
  "Was the message changed by somebody who may read it? Discard the plaintext so far": [
    "it has no public key to verify its signature with",
  ],
  "Was the message damaged or changed? Discard the plaintext so far": [
    "frame 1 is not genuine",
    "frame 2 is not genuine",
    "frame 4 is not genuine",
    "its final frame is longer than the others",
    "its header is not genuine",
  ],
  "No message that KMS can decrypt needs so much: is it a message of the AWS Encryption SDK?": [
    "it has more than 32 encrypted data keys",
    "its header has more than 131072 bytes",
  ],
};

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
    ["with another nonce", [header, replaced(HEADER + 4, [1]).subarray(HEADER)], "AUTHENTICATION"],
    ["whose last frame is too long", [header, longFinal()], "FORMAT"],
    ["that says nothing of its version", [Uint8Array.of(9)], "FORMAT"],
    ["that is empty", [], "TRUNCATED"],
    ["with a key under another name", [replaced(CONTENT_TYPE - 62 - 1, [120])], "KEY"],
    ["of another provider", [replaced(PROVIDER, [120])], "KEY"],
    ["with no data key", [replaced(DATA_KEYS, [0, 0])], "FORMAT"],
    ["with many data keys", [replaced(DATA_KEYS, [0, 33])], "LIMIT"],
    ["with a huge header", [hugeHeader()], "LIMIT"],
    ["without frames", [replaced(CONTENT_TYPE, [1])], "FORMAT"],
    ["in one piece", [replaced(CONTENT_TYPE, [1, 0, 0, 0, 0])], "AUTHENTICATION"],
    ["of an unknown content", [replaced(CONTENT_TYPE, [3])], "FORMAT"],
    ["that says it is signed", [replaced(1, [0x05, 0x78])], "SIGNATURE"],
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

  test("and says what is wrong, and what to look at", async () => {
    const parts = [
      ...rearranged.map(([, parts]) => parts),
      // Not a version, in base64; suites that do not commit.
      [Uint8Array.of("A".charCodeAt(0))],
      [Uint8Array.of(1, 0x80, 0x01, 0x78)],
      [Uint8Array.of(2, 0x00, 0x14)],
    ];
    const said: Record<string, Set<string>> = {};
    const note = ({ message, hint = "" }: Error & { hint?: string }) =>
      (said[hint] ??= new Set()).add(message.replace(/^Cannot decrypt message: /, ""));
    for (const part of parts) note((await failureOf(await collect(streamOf(...part)))).error);
    const failing = (options: Parameters<typeof decryption>[0]) =>
      collectUntilFailure(streamOf(message).pipeThrough(decryption(options)));
    note((await failing({ encryptionContext: { tenant: "b" } })).error);
    const foreign = streamOf(replaced(PROVIDER, [120])).pipeThrough(decryption({ keyId: "any" }));
    note((await collectUntilFailure(foreign)).error);
    const sorted = Object.entries(said).map(([hint, messages]) => [hint, [...messages].sort()]);
    assert.deepEqual(Object.fromEntries(sorted), WORDS);
  });

  test("of version 1, though its suite is one of version 2", async () => {
    const first = Uint8Array.of(1, 0x80, 0x04, 0x78, ...message.subarray(3));
    assert.equal(await faultOf(first), "ERR_ENVELOPE_SUITE");
  });

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

  test("with many encrypted data keys, before it asks KMS for any", async () => {
    const entry = Uint8Array.from(message.subarray(PROVIDER - 2, CONTENT_TYPE));
    entry[entry.length - 1]! ^= 1;
    const made = (count: number) =>
      Uint8Array.of(
        ...message.subarray(0, DATA_KEYS),
        ...[0, count],
        ...Array.from({ length: count }, () => [...entry]).flat(),
        ...message.subarray(CONTENT_TYPE),
      );
    const calls = async (count: number, options: Partial<DecryptStreamOptions>) => {
      const kms = new FakeKms();
      const opened = streamOf(made(count)).pipeThrough(decryptStream(kms, { keyId: KEY_ARN, ...options }));
      const { error } = await collectUntilFailure(opened);
      return `${kms.requests.length}, ${error.code}`;
    };
    for (const keyId of [KEY_ARN, OTHER_KEY_ARN, "any"]) {
      assert.equal(await calls(6, { keyId }), "0, ERR_ENVELOPE_LIMIT", keyId);
    }
    assert.equal(await calls(32, { maxEncryptedDataKeys: 31 }), "0, ERR_ENVELOPE_LIMIT");
    assert.equal(await calls(2, { maxEncryptedDataKeys: 1 }), "0, ERR_ENVELOPE_LIMIT");
    // Without the limit, each is a call.
    assert.equal(await calls(5, {}), "5, ERR_KMS");
    assert.equal(await calls(32, { maxEncryptedDataKeys: 32 }), "32, ERR_KMS");
    assert.equal(await calls(33, { maxEncryptedDataKeys: 32 }), "0, ERR_ENVELOPE_LIMIT");
    const { error } = await collectUntilFailure(streamOf(made(6)).pipeThrough(decryption()));
    assert.match(error.message, /its 6 encrypted data keys exceed maxEncryptedDataKeys$/);
    assert.match((error as { hint?: string }).hint ?? "", /^Raise maxEncryptedDataKeys, now 5, if /);
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
    const chunks = await Array.fromAsync(streamOf(empty).pipeThrough(decryption()));
    assert.deepEqual(chunks, []);
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
