import assert from "node:assert/strict";
import { describe, test } from "#test";
import { concatBytes } from "../../../lib/core/bytes.ts";
import {
  encodeSecretFrame,
  MAX_SECRET_FRAME_BYTES,
  SECRET_FRAME_HEAD_BYTES,
  SECRET_FRAME_MAGIC,
  SecretFrameReader,
} from "../../../lib/wire/secret_frame.ts";
import { SIGNED_SECRET_MAGIC } from "../../../lib/wire/signed_secret.ts";

const TEXT = new TextEncoder().encode("AGE-SECRET-KEY-1TEST");

/** Reads bytes in chunks of one size, and ends. */
function read(bytes: Uint8Array, { chunk = bytes.length || 1, maxBytes = 64 } = {}): Uint8Array {
  const reader = new SecretFrameReader({ maxBytes });
  for (let at = 0; at < bytes.length; at += chunk) reader.push(bytes.subarray(at, at + chunk));
  return reader.end();
}

function fault(code: string): { code: string } {
  return { code: `ERR_SECRET_${code}` };
}

describe("encodeSecretFrame()", () => {
  test("writes the magic, the length in network order, and the content", () => {
    assert.deepEqual([...encodeSecretFrame(Uint8Array.of(7, 8))], [0x89, 0x45, 0x4b, 0x46, 0, 0, 0, 2, 7, 8]);
  });

  test("refuses to write what no reader takes", () => {
    assert.throws(() => encodeSecretFrame(new Uint8Array()), RangeError);
    assert.throws(() => encodeSecretFrame(new Uint8Array(MAX_SECRET_FRAME_BYTES + 1)), RangeError);
  });

  test("begins as no raw form does", () => {
    const forms = ["{", " {", "[", "\ufeff{", "age-encryption.org/v1\n", "-----BEGIN AGE"].map((text) =>
      new TextEncoder().encode(text)
    );
    for (const form of [...forms, Uint8Array.of(1, 2, 2, 0), SIGNED_SECRET_MAGIC]) {
      const same = form.findIndex((byte, i) => byte !== SECRET_FRAME_MAGIC[i]);
      assert.ok(same >= 0 && same < SECRET_FRAME_MAGIC.length);
    }
  });
});

describe("SecretFrameReader", () => {
  test("reads raw bytes and frames, whatever the chunks are", () => {
    for (const chunk of [1, 2, 3, 7, 8, 9, 1000]) {
      assert.deepEqual([...read(TEXT, { chunk })], [...TEXT]);
      assert.deepEqual([...read(encodeSecretFrame(TEXT), { chunk })], [...TEXT]);
    }
  });

  test("knows the end of a frame, and that raw bytes have none", () => {
    const frame = encodeSecretFrame(TEXT);
    const framed = new SecretFrameReader({ maxBytes: 64 });
    framed.push(frame.subarray(0, -1));
    assert.equal(framed.isComplete, false);
    framed.push(frame.subarray(-1));
    assert.equal(framed.isComplete, true);
    const raw = new SecretFrameReader({ maxBytes: 64 });
    raw.push(TEXT);
    assert.equal(raw.isComplete, false);
  });

  test("takes raw bytes that are the beginning of the magic only", () => {
    assert.deepEqual([...read(Uint8Array.of(0x89, 0x45, 0x4b, 0x47))], [0x89, 0x45, 0x4b, 0x47]);
    assert.throws(() => read(SECRET_FRAME_MAGIC.subarray(0, 3)), fault("TRUNCATED"));
  });

  test("takes exactly the cap, and refuses one byte more as soon as it is read or announced", () => {
    assert.equal(read(new Uint8Array(64).fill(1)).length, 64);
    assert.equal(read(encodeSecretFrame(new Uint8Array(64).fill(1)), { chunk: 1 }).length, 64);
    const raw = new SecretFrameReader({ maxBytes: 64 });
    raw.push(new Uint8Array(64).fill(1));
    assert.throws(() => raw.push(Uint8Array.of(1)), fault("TOO_LARGE"));
    const framed = new SecretFrameReader({ maxBytes: 64 });
    const head = encodeSecretFrame(new Uint8Array(65)).subarray(0, SECRET_FRAME_HEAD_BYTES);
    assert.throws(() => framed.push(head), fault("TOO_LARGE"));
  });

  test("refuses a length of 4 GiB before anything is allocated for it", () => {
    const head = concatBytes([SECRET_FRAME_MAGIC, [0xff, 0xff, 0xff, 0xff]]);
    assert.throws(() => read(head, { maxBytes: MAX_SECRET_FRAME_BYTES }), fault("TOO_LARGE"));
  });

  test("refuses a chunk far beyond the cap, without copying it", () => {
    const reader = new SecretFrameReader({ maxBytes: 64 });
    assert.throws(() => reader.push(new Uint8Array(2 ** 20)), fault("TOO_LARGE"));
  });

  test("refuses what is cut off, empty, or longer than announced", () => {
    const frame = encodeSecretFrame(TEXT);
    for (let length = 1; length < frame.length; length++) {
      assert.throws(() => read(frame.subarray(0, length)), fault("TRUNCATED"), String(length));
    }
    assert.throws(() => read(new Uint8Array()), fault("TRUNCATED"));
    assert.throws(() => read(concatBytes([frame, [0]])), fault("FRAME"));
    assert.throws(() => read(concatBytes([frame, [0]]), { chunk: 1 }), fault("FRAME"));
    assert.throws(() => read(concatBytes([SECRET_FRAME_MAGIC, [0, 0, 0, 0]])), fault("FRAME"));
  });

  test("hands over memory of its own, and is empty afterwards", () => {
    const reader = new SecretFrameReader({ maxBytes: 64 });
    reader.push(TEXT);
    const content = reader.end();
    assert.equal(content.buffer.byteLength, TEXT.length);
    assert.throws(() => reader.end(), fault("TRUNCATED"));
    assert.deepEqual([...content], [...TEXT]);
  });

  test("reads more than its first memory holds", () => {
    const large = Uint8Array.from({ length: 5000 }, (_, i) => i % 251 + 1);
    for (const chunk of [1, 999, 4096]) {
      assert.deepEqual(read(large, { chunk, maxBytes: 5000 }), large);
      assert.deepEqual(read(encodeSecretFrame(large), { chunk, maxBytes: 5000 }), large);
    }
  });

  test("refuses a cap that is none", () => {
    for (const maxBytes of [0, -1, 1.5, NaN, MAX_SECRET_FRAME_BYTES + 1]) {
      assert.throws(() => new SecretFrameReader({ maxBytes }), RangeError);
    }
  });
});
