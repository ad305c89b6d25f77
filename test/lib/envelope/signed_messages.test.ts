import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import {
  decryptFile,
  decryptMessage,
  type DecryptOptions,
  decryptStream,
  encryptFile,
  encryptMessage,
} from "../../../lib/envelope/mod.ts";
import { holdUntilEnd } from "../../../lib/envelope/held_plaintext.ts";
import { awsDecrypt, awsEncrypt, Suite } from "./aws.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { forge, type Forgery, PUBLIC_KEY_NAME, signingKey } from "./forge.ts";
import { collect, collectUntilFailure, decrypt, decryption, encrypt, pattern, streamOf } from "./streams.ts";

const FRAME = 1024;
const NEVER = new AbortController().signal;
const PLAINTEXT = pattern(3 * FRAME + 100);
const CONTEXT = { tenant: "a", grüße: "日本" };
const SIGNED_SUITE = Suite.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384;

/** Opens a message at once, and copies its plaintext. */
async function openAtOnce(message: Uint8Array, options: Partial<DecryptOptions> = {}): Promise<Uint8Array> {
  using plaintext = await decryptMessage(new FakeKms(), message, { keyId: KEY_ARN, ...options });
  return plaintext.bytes.slice();
}

/** Expects a fault of a message that is opened as a stream and at once, and that neither gives plaintext. */
async function expectFault(message: Uint8Array, code: string, text?: string): Promise<void> {
  const { plaintext, error } = await collectUntilFailure(streamOf(message).pipeThrough(decryption()));
  assert.equal(error.code, `ERR_ENVELOPE_${code}`);
  assert.equal(plaintext.length, 0);
  if (text !== undefined) assert.equal(error.message, `Cannot decrypt message: ${text}`);
  await assert.rejects(openAtOnce(message), { code: error.code, message: error.message });
}

/** Cuts a signed message before its footer. */
function split(message: Uint8Array): { body: Uint8Array; footer: Uint8Array } {
  for (let length = 72; length <= 104; length++) {
    const at = message.length - length - 2;
    if (message[at] === 0 && message[at + 1] === length && message[at + 2] === 0x30) {
      return { body: message.subarray(0, at), footer: message.subarray(at) };
    }
  }
  throw new assert.AssertionError({ message: "The message has no footer" });
}

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

describe("signed messages", () => {
  for (const length of [0, 1, FRAME - 1, FRAME, FRAME + 1, 4 * FRAME, 20_000]) {
    for (const encryptionContext of [{}, CONTEXT]) {
      const what = `${length} bytes, ${Object.keys(encryptionContext).length} pairs`;
      test(`of ours are opened by AWS's library and by us: ${what}`, async () => {
        const plaintext = pattern(length);
        const options = { frameBytes: FRAME, signed: true, encryptionContext };
        const message = await encryptMessage(new FakeKms(), plaintext, { keyId: KEY_ARN, ...options });
        for (const one of [await encrypt(plaintext, options), message]) {
          assert.deepEqual([...one.subarray(0, 3)], [2, 0x05, 0x78]);
          const opened = await awsDecrypt(one);
          assert.deepEqual(opened.plaintext, plaintext);
          const { [PUBLIC_KEY_NAME]: publicKey, ...rest } = opened.encryptionContext;
          assert.deepEqual(rest, encryptionContext);
          assert.equal(publicKey?.length, 68);
          const expected = length > 0 ? { encryptionContext: CONTEXT } : {};
          const given = Object.keys(encryptionContext).length > 0 ? expected : {};
          assert.deepEqual(await decrypt(one, given), plaintext);
          assert.deepEqual(await openAtOnce(one, given), plaintext);
        }
      });

      test(`of AWS's library are opened by us: ${what}`, async () => {
        const plaintext = pattern(length);
        const message = await awsEncrypt(plaintext, {
          suiteId: SIGNED_SUITE,
          frameLength: FRAME,
          encryptionContext,
        });
        assert.deepEqual(await decrypt(message), plaintext);
        assert.deepEqual(
          await decrypt(message, { releaseUnverified: true, signature: "require" }),
          plaintext,
        );
        assert.deepEqual(await openAtOnce(message), plaintext);
      });
    }
  }

  test("have a key pair each, also of one data key's owner", async () => {
    const messages = [await encrypt(PLAINTEXT, { signed: true }), await encrypt(PLAINTEXT, { signed: true })];
    const contexts = await Promise.all(
      messages.map(async (one) => (await awsDecrypt(one)).encryptionContext),
    );
    assert.notEqual(contexts[0]?.[PUBLIC_KEY_NAME], contexts[1]?.[PUBLIC_KEY_NAME]);
  });

  test("are not written unless they are asked for", async () => {
    assert.deepEqual([...(await encrypt(PLAINTEXT)).subarray(0, 3)], [2, 0x04, 0x78]);
    assert.deepEqual([...(await encrypt(PLAINTEXT, { signed: false })).subarray(0, 3)], [2, 0x04, 0x78]);
    await assert.rejects(encrypt(PLAINTEXT, { signed: "yes" } as never), TypeError);
  });

  test("leave less of the context to the caller, and nothing of the format's names", async () => {
    const longest = { a: "x".repeat(8192 - 1 - 12) };
    for (let room = 0; room < 200; room++) {
      const encryptionContext = { a: longest.a.slice(room) };
      const outcome = await encrypt(new Uint8Array(1), { signed: true, encryptionContext }).catch((error) =>
        error
      );
      if (outcome instanceof RangeError) {
        assert.match(
          outcome.message,
          /^encryptionContext must have(?:, with what the format adds,)? at most/,
        );
        continue;
      }
      assert.ok(room > 68);
      assert.equal((await awsDecrypt(outcome)).plaintext.length, 1);
      return;
    }
    assert.fail("No context was short enough");
  });

  test("do not let the caller name the public key", async () => {
    const encryptionContext = { [PUBLIC_KEY_NAME]: "A".repeat(68) };
    await assert.rejects(encrypt(PLAINTEXT, { signed: true, encryptionContext }), TypeError);
    await assert.rejects(encrypt(PLAINTEXT, { encryptionContext }), TypeError);
    await assert.rejects(decrypt(await encrypt(PLAINTEXT), { encryptionContext }), TypeError);
  });
});

describe("a signed message gives no plaintext", () => {
  test("before its end, unless that is asked for", async () => {
    const message = await encrypt(PLAINTEXT, { frameBytes: FRAME, signed: true });
    const { body } = split(message);
    const held = await collectUntilFailure(streamOf(body).pipeThrough(decryption()));
    assert.deepEqual([held.plaintext.length, held.error.code], [0, "ERR_ENVELOPE_TRUNCATED"]);
    const released = streamOf(body).pipeThrough(decryption({ releaseUnverified: true }));
    const { plaintext, error } = await collectUntilFailure(released);
    assert.equal(error.message, "Cannot decrypt message: it ends before its signature");
    assert.deepEqual(plaintext, PLAINTEXT.slice(0, 3 * FRAME));
  });

  test("when somebody who may decrypt it has changed it, unless that risk is taken", async () => {
    const { privateKey, pair } = signingKey();
    const genuine = await forge({ ...signedParts(pair), signingKey: privateKey });
    assert.deepEqual(await openAtOnce(genuine), PLAINTEXT.slice(0, 2 * FRAME));
    const { footer } = split(genuine);
    // With the data key anybody makes frames that are genuine to it; only the signature tells.
    const other = signingKey();
    const changed = [
      concat(await forge(signedParts(pair)), footer),
      await forge({ ...signedParts(pair), signingKey: other.privateKey }),
    ];
    for (const message of changed) {
      await expectFault(message, "SIGNATURE", "its signature is not genuine");
      const released = streamOf(message).pipeThrough(decryption({ releaseUnverified: true }));
      const { plaintext, error } = await collectUntilFailure(released);
      assert.equal(error.code, "ERR_ENVELOPE_SIGNATURE");
      assert.equal(plaintext.length, FRAME);
    }
  });

  test("when its signature was left out, and its suite with it", async () => {
    const { pair } = signingKey();
    const stripped = await forge({ ...signedParts(pair), suite: 0x0478 });
    await expectFault(stripped, "SIGNATURE", "it has a public key in its context, but no signature");
  });

  test("without a public key, or with one that is none, before KMS is asked", async () => {
    const { privateKey, pair } = signingKey();
    const point = pair[PUBLIC_KEY_NAME] ?? "";
    const bytes = Uint8Array.from(atob(point), (character) => character.charCodeAt(0));
    const text = (changed: Uint8Array) => btoa(String.fromCharCode(...changed));
    const none = "its public key is no point of P-384";
    const bad: [value: string | undefined, what: string][] = [
      [undefined, "it has no public key to verify its signature with"],
      ["", none],
      [point.slice(0, 64), none],
      [` ${point}`, none],
      [point.replace("==", ""), none],
      [text(bytes.with(0, 4)), none],
      [text(bytes.with(0, 0)), none],
      [text(Uint8Array.of(0)), none],
      [text(new Uint8Array(49).fill(255).with(0, 2)), none],
      [text(bytes.slice(0, 33)), none],
    ];
    // About half of all numbers are no first coordinate of a point.
    for (let step = 0; step < 24; step++) {
      const near = await forge({ ...signedParts({ [PUBLIC_KEY_NAME]: text(bytes.with(48, step)) }) });
      const { error } = await collectUntilFailure(streamOf(near).pipeThrough(decryption()));
      assert.match(error.code ?? "", /^ERR_ENVELOPE_(?:SIGNATURE|TRUNCATED)$/);
    }
    for (const [value, what] of bad) {
      const context = value === undefined ? {} : { [PUBLIC_KEY_NAME]: value };
      const message = await forge({ ...signedParts(context), signingKey: privateKey });
      await expectFault(message, "SIGNATURE", what);
      const kms = new FakeKms();
      await assert.rejects(decryptMessage(kms, message, { keyId: KEY_ARN }), {
        code: "ERR_ENVELOPE_SIGNATURE",
      });
      assert.equal(kms.requests.length, 0);
    }
  });

  test("with any byte of its footer changed, or cut off", async () => {
    const message = await encrypt(PLAINTEXT, { frameBytes: FRAME, signed: true });
    const { body, footer } = split(message);
    for (let at = 0; at < footer.length; at++) {
      await expectFault(concat(body, footer.subarray(0, at)), "TRUNCATED", "it ends before its signature");
      const changed = concat(body, footer.with(at, footer[at]! ^ 1 << at % 8));
      const { plaintext, error } = await collectUntilFailure(streamOf(changed).pipeThrough(decryption()));
      assert.match(error.code ?? "", /^ERR_ENVELOPE_(?:SIGNATURE|TRUNCATED|TRAILING)$/, `${at}`);
      assert.equal(plaintext.length, 0);
      await assert.rejects(openAtOnce(changed), { code: error.code });
    }
  });

  test("with a byte of its header or frames changed that nothing else authenticates", async () => {
    const { privateKey, pair } = signingKey();
    // A nonce that is written in two places would be malleable: here the tag covers each byte, and so does the hash.
    const message = await forge({ ...signedParts(pair), signingKey: privateKey });
    for (let at = 0; at < message.length; at += 7) {
      const changed = message.with(at, message[at]! ^ 1 << at % 8);
      const { plaintext } = await collectUntilFailure(streamOf(changed).pipeThrough(decryption()));
      assert.equal(plaintext.length, 0, `byte ${at}`);
    }
  });

  test("with the footer of another, a second one, or something behind it", async () => {
    const options = { frameBytes: FRAME, signed: true };
    const [one, other] = [await encrypt(PLAINTEXT, options), await encrypt(PLAINTEXT, options)];
    await expectFault(
      concat(split(one).body, split(other).footer),
      "SIGNATURE",
      "its signature is not genuine",
    );
    await expectFault(concat(one, split(one).footer), "TRAILING");
    await expectFault(concat(one, Uint8Array.of(0)), "TRAILING");
    await expectFault(
      concat(split(one).body, Uint8Array.of(0, 0)),
      "SIGNATURE",
      "its signature is not genuine",
    );
    const long = "its signature is longer than any";
    await expectFault(concat(split(one).body, Uint8Array.of(0, 105)), "SIGNATURE", long);
    await expectFault(concat(split(one).body, Uint8Array.of(255, 255)), "SIGNATURE", long);
  });

  test("with its frames swapped, repeated or left out", async () => {
    const message = await encrypt(PLAINTEXT, { frameBytes: FRAME, signed: true });
    const { body, footer } = split(message);
    const start = body.length - (24 + 100 + 16) - 3 * (FRAME + 32);
    const frame = (index: number) => body.subarray(start + index * (FRAME + 32)).subarray(0, FRAME + 32);
    const [head, last] = [body.subarray(0, start), body.subarray(start + 3 * (FRAME + 32))];
    await expectFault(concat(head, frame(1), frame(0), frame(2), last, footer), "ORDER");
    await expectFault(concat(head, frame(0), frame(0), frame(1), frame(2), last, footer), "ORDER");
    await expectFault(concat(head, frame(0), frame(2), last, footer), "ORDER");
    await expectFault(concat(head, frame(0), frame(1), frame(2), footer), "ORDER");
    assert.deepEqual(await openAtOnce(concat(head, frame(0), frame(1), frame(2), last, footer)), PLAINTEXT);
  });

  test("when it is longer than may be held", async () => {
    const message = await encrypt(PLAINTEXT, { frameBytes: FRAME, signed: true });
    const exact = { maxHeldBytes: PLAINTEXT.length };
    assert.deepEqual(await decrypt(message, exact), PLAINTEXT);
    const short = streamOf(message).pipeThrough(decryption({ maxHeldBytes: PLAINTEXT.length - 1 }));
    const { plaintext, error } = await collectUntilFailure(short);
    assert.deepEqual([plaintext.length, error.code], [0, "ERR_ENVELOPE_LIMIT"]);
    const none = { maxHeldBytes: 0, releaseUnverified: true };
    assert.deepEqual(await decrypt(message, none), PLAINTEXT);
    const unsigned = await encrypt(PLAINTEXT, { frameBytes: FRAME });
    assert.deepEqual(await decrypt(unsigned, { maxHeldBytes: 0 }), PLAINTEXT);
    for (const bad of [-1, 1.5, 2 ** 30 + 1]) {
      await assert.rejects(decrypt(message, { maxHeldBytes: bad }), RangeError);
    }
    await assert.rejects(decrypt(message, { releaseUnverified: 1 } as never), TypeError);
  });

  test("to whoever wants the other kind only", async () => {
    const [signed, unsigned] = [await encrypt(PLAINTEXT, { signed: true }), await encrypt(PLAINTEXT)];
    await assert.rejects(openAtOnce(signed, { signature: "refuse" }), { code: "ERR_ENVELOPE_SUITE" });
    await assert.rejects(openAtOnce(unsigned, { signature: "require" }), { code: "ERR_ENVELOPE_SIGNATURE" });
    assert.deepEqual(await openAtOnce(signed, { signature: "require" }), PLAINTEXT);
    assert.deepEqual(await openAtOnce(unsigned, { signature: "refuse" }), PLAINTEXT);
    await assert.rejects(openAtOnce(signed, { signature: "maybe" } as never), TypeError);
  });
});

describe("a signed file", () => {
  test("goes there and back, and leaves nothing when its signature is not genuine", async () => {
    const folder = await mkdtemp(join(tmpdir(), "enclave-kms-signed-"));
    try {
      const [plain, sealed, copy] = ["plain", "sealed", "copy"].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      const plaintext = pattern(300_000);
      await writeFile(plain, plaintext);
      await encryptFile(new FakeKms(), { from: plain, to: sealed, keyId: KEY_ARN, signed: true });
      const message = new Uint8Array(await readFile(sealed));
      assert.deepEqual((await awsDecrypt(message)).plaintext, plaintext);
      // A file needs no memory for what it holds back.
      await decryptFile(new FakeKms(), { from: sealed, to: copy, keyId: KEY_ARN, maxHeldBytes: 0 });
      assert.deepEqual(new Uint8Array(await readFile(copy)), plaintext);
      await rm(copy);
      await writeFile(sealed, message.with(message.length - 1, message.at(-1)! ^ 1));
      const opening = decryptFile(new FakeKms(), { from: sealed, to: copy, keyId: KEY_ARN });
      await assert.rejects(opening, { code: "ERR_ENVELOPE_SIGNATURE" });
      assert.deepEqual((await readdir(folder)).sort(), ["plain", "sealed"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("plaintext that is held", () => {
  async function* piecesOf(pieces: readonly Uint8Array<ArrayBuffer>[], failure?: Error) {
    for (const piece of pieces) yield piece;
    if (failure !== undefined) throw failure;
  }

  test("comes out whole and in order, whatever its pieces", async () => {
    for (
      const lengths of [[], [1], [65_536], [65_535, 1, 1], [1, 65_536, 1, 70_000, 5], [3, 200_000, 65_533, 3]]
    ) {
      const plaintext = pattern(lengths.reduce((sum, length) => sum + length, 0));
      let at = 0;
      const pieces = lengths.map((length) => plaintext.slice(at, at += length));
      const held = await Array.fromAsync(holdUntilEnd(piecesOf(pieces), plaintext.length, NEVER));
      assert.deepEqual(await collect(streamOf(...held)), plaintext);
      assert.ok(held.length <= 2 * Math.ceil(plaintext.length / 65_536) + 1);
    }
  });

  test("is wiped when the message fails, when it is too long, and when the reader goes", async () => {
    const make = () => [pattern(100), pattern(70_000), pattern(100_000)];
    const [failing, long, left] = [make(), make(), make()];
    const reason = new Error("broken");
    await assert.rejects(Array.fromAsync(holdUntilEnd(piecesOf(failing, reason), 1e6, NEVER)), reason);
    await assert.rejects(Array.fromAsync(holdUntilEnd(piecesOf(long), 150_000, NEVER)), {
      code: "ERR_ENVELOPE_LIMIT",
    });
    const reading = holdUntilEnd(piecesOf(left), 1e6, NEVER);
    const first = await reading.next();
    assert.deepEqual(first.value, pattern(100));
    await reading.return();
    for (const pieces of [failing, long, left]) {
      assert.deepEqual(pieces.map((piece) => piece.some((byte) => byte !== 0)), [false, false, false]);
    }
  });

  test("and the cipher's key are wiped when the reader cancels", async () => {
    const kms = new FakeKms();
    const message = await encrypt(PLAINTEXT, { frameBytes: FRAME, signed: true });
    const stream = streamOf(message).pipeThrough(decryptStream(kms, { keyId: KEY_ARN }));
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    assert.deepEqual(kms.secrets.map(({ length }) => length), [0]);
  });
});

function signedParts(pair: Forgery["encryptionContext"]): Partial<Forgery> {
  const frames = [PLAINTEXT.slice(0, FRAME), PLAINTEXT.slice(FRAME, 2 * FRAME)];
  return { suite: 0x0578, encryptionContext: pair, frames, frameBytes: FRAME };
}
