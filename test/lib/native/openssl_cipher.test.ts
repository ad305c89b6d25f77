import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv } from "node:crypto";
import fc from "fast-check";
import { describe, test } from "#test";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { OpensslError } from "../../../lib/core/errors.ts";
import { findLibcrypto, type Libcrypto, openLibcrypto } from "../../../lib/native/libcrypto.ts";
import { openCbc, OpensslGcm } from "../../../lib/native/openssl_cipher.ts";
import { isDisposed } from "../../support/disposed.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const found = openLibcrypto();
const REASON = found === undefined ? ` (skipped: ${findLibcrypto().reason})` : "";
const libcrypto = found!;

const bytes = (length: number, value = 7): Bytes => new Uint8Array(new ArrayBuffer(length)).fill(value);
const [KEY, IV, TAG, NONE] = [bytes(32, 1), bytes(12, 2), bytes(16, 3), bytes(0)];

/** Some bytes in the middle of others, which must not change. */
const arbitrary = (length: fc.Arbitrary<number>): fc.Arbitrary<Bytes> =>
  fc.tuple(length, fc.integer({ min: 0, max: 9 }), fc.integer()).map(([length, offset, seed]) => {
    const inside = new Uint8Array(new ArrayBuffer(offset + length + 5), offset, length);
    return inside.map((_, index) => (seed + index * 31) & 255) as Bytes;
  });
const upTo = (max: number) => arbitrary(fc.integer({ min: 0, max }));
const exactly = (length: number) => arbitrary(fc.constant(length));

function assertQueueEmpty(): void {
  assert.equal(libcrypto.call.ERR_peek_error(), 0);
}

/** The library with functions that fail, and the count of contexts that are not freed. */
function failing(call: Partial<Libcrypto["call"]>): { libcrypto: Libcrypto; live: () => number } {
  let live = 0;
  const counted: Partial<Libcrypto["call"]> = {
    EVP_CIPHER_CTX_new: () => {
      live++;
      return libcrypto.call.EVP_CIPHER_CTX_new();
    },
    EVP_CIPHER_CTX_free: (pointer) => {
      live--;
      libcrypto.call.EVP_CIPHER_CTX_free(pointer);
    },
  };
  return { libcrypto: { ...libcrypto, call: { ...libcrypto.call, ...counted, ...call } }, live: () => live };
}

function sealWithNode(key: Bytes, iv: Bytes, aad: Bytes, plaintext: Bytes): [ciphertext: Bytes, tag: Bytes] {
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(aad);
  const ciphertext = new Uint8Array([...cipher.update(plaintext), ...cipher.final()]);
  return [ciphertext, new Uint8Array(cipher.getAuthTag())];
}

/** Test cases 13 to 16 of "The Galois/Counter Mode of Operation", McGrew and Viega, which NIST took over. */
const ZERO_KEY = "00".repeat(32);
const FEFF_KEY = "feffe9928665731c6d6a8f9467308308".repeat(2);
const LONG =
  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
const LONG_SEALED =
  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
const GCM_CASES:
  readonly (readonly [key: string, iv: string, aad: string, plain: string, sealed: string, tag: string])[] = [
    [ZERO_KEY, "00".repeat(12), "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"],
    [
      ZERO_KEY,
      "00".repeat(12),
      "",
      "00".repeat(16),
      "cea7403d4d606b6e074ec5d3baf39d18",
      "d0d1c8a799996bf0265b98b5d48ab919",
    ],
    [FEFF_KEY, "cafebabefacedbaddecaf888", "", LONG, LONG_SEALED, "b094dac5d93471bdec1a502270e3cc6c"],
    [
      FEFF_KEY,
      "cafebabefacedbaddecaf888",
      "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      LONG.slice(0, 120),
      LONG_SEALED.slice(0, 120),
      "76fc6ece0f4e1768cddf8853bb2d551b",
    ],
  ];

describe.skipIf(found === undefined)(`OpensslGcm${REASON}`, () => {
  for (const [index, [key, iv, aad, plain, sealed, tag]] of GCM_CASES.entries()) {
    test(`knows the answer of NIST's case ${13 + index}, both ways`, () => {
      const [plaintext, ciphertext] = [decodeHex(plain), decodeHex(sealed)];
      const [made, madeTag, opened] = [bytes(plaintext.length), bytes(16), bytes(plaintext.length)];
      using sealing = OpensslGcm.forSealing(libcrypto, decodeHex(key));
      sealing.seal(decodeHex(iv), decodeHex(aad), plaintext, made, madeTag);
      assert.deepEqual([encodeHex(made), encodeHex(madeTag)], [sealed, tag]);
      using opening = OpensslGcm.forOpening(libcrypto, decodeHex(key));
      assert.equal(opening.open(decodeHex(iv), decodeHex(aad), ciphertext, decodeHex(tag), opened), true);
      assert.equal(encodeHex(opened), plain);
    });
  }

  test("seals as node:crypto does, and opens what that sealed, with one key for all messages", () => {
    using sealing = OpensslGcm.forSealing(libcrypto, KEY);
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    fc.assert(
      fc.property(exactly(12), upTo(100), upTo(5000), (iv, aad, plaintext) => {
        const [ciphertext, tag] = sealWithNode(KEY, iv, aad, plaintext);
        const [made, madeTag, opened] = [bytes(plaintext.length), bytes(16), bytes(plaintext.length)];
        sealing.seal(iv, aad, plaintext, made, madeTag);
        assert.deepEqual([made, madeTag], [ciphertext, tag]);
        assert.equal(opening.open(iv, aad, ciphertext, tag, opened), true);
        assert.deepEqual(opened, new Uint8Array(plaintext));
      }),
      { numRuns: 100 },
    );
  });

  test("takes another key in the place of the first, and the first again", () => {
    const plaintext = bytes(100, 0x44);
    using sealing = OpensslGcm.forSealing(libcrypto, KEY);
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    for (const key of [bytes(32, 9), KEY, bytes(32, 0), KEY]) {
      const [made, tag, opened] = [bytes(100), bytes(16), bytes(100)];
      sealing.rekey(key);
      sealing.seal(IV, KEY, plaintext, made, tag);
      assert.deepEqual([made, tag], sealWithNode(key, IV, KEY, plaintext));
      opening.rekey(bytes(32, 5));
      assert.equal(opening.open(IV, KEY, made, tag, opened), false);
      opening.rekey(key);
      assert.equal(opening.open(IV, KEY, made, tag, opened), true);
      assert.deepEqual(opened, plaintext);
    }
    assert.throws(() => sealing.rekey(bytes(31)), /^RangeError: key must have 32 bytes, not 31$/);
  });

  test("overwrites registers in between, and seals and opens as before", () => {
    const [plaintext, unused] = [bytes(100, 0x44), bytes(100)];
    using sealing = OpensslGcm.forSealing(libcrypto, KEY);
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    for (let time = 0; time < 2; time++) {
      const [made, tag, opened] = [bytes(100), bytes(16), bytes(100)];
      sealing.overwriteRegisters(IV, plaintext, unused);
      sealing.seal(IV, KEY, plaintext, made, tag);
      assert.deepEqual([made, tag], sealWithNode(KEY, IV, KEY, plaintext));
      opening.overwriteRegisters(IV, plaintext, unused);
      assert.equal(opening.open(IV, KEY, made, tag, opened), true);
      assert.deepEqual(opened, plaintext);
    }
    const wrong = /^RangeError: (?:iv must have 12|output must have 100) bytes, not 99$/;
    assert.throws(() => sealing.overwriteRegisters(bytes(99), plaintext, unused), wrong);
    assert.throws(() => sealing.overwriteRegisters(IV, plaintext, bytes(99)), wrong);
  });

  test("works in place, and writes nothing beside its output", () => {
    fc.assert(
      fc.property(exactly(32), upTo(300), (key, plaintext) => {
        const whole = bytes(plaintext.length + 16 + 20, 0x5a);
        const text = whole.subarray(10, 10 + plaintext.length);
        const tag = whole.subarray(10 + plaintext.length, 26 + plaintext.length);
        text.set(plaintext);
        using sealing = OpensslGcm.forSealing(libcrypto, key);
        sealing.seal(IV, NONE, text, text, tag);
        assert.deepEqual([new Uint8Array(text), new Uint8Array(tag)], sealWithNode(key, IV, NONE, plaintext));
        using opening = OpensslGcm.forOpening(libcrypto, key);
        assert.equal(opening.open(IV, NONE, text, tag, text), true);
        assert.deepEqual(new Uint8Array(text), new Uint8Array(plaintext));
        assert.deepEqual(whole.subarray(0, 10), bytes(10, 0x5a));
        assert.deepEqual(whole.subarray(-10), bytes(10, 0x5a));
      }),
      { numRuns: 50 },
    );
  });

  test("any changed bit is refused, the output wiped, the queue empty, and the next message opens", () => {
    const [aad, plaintext] = [bytes(20, 9), bytes(40, 0x77)];
    const [ciphertext, tag] = sealWithNode(KEY, IV, aad, plaintext);
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    const parts = { iv: bytes(12, 2), aad, ciphertext, tag };
    for (const part of Object.values(parts)) {
      for (let bit = 0; bit < part.length * 8; bit += 3) {
        part[bit >> 3]! ^= 1 << (bit & 7);
        const output = bytes(40, 0x11);
        assert.equal(opening.open(parts.iv, aad, ciphertext, tag, output), false);
        assert.deepEqual(output, bytes(40, 0));
        assertQueueEmpty();
        part[bit >> 3]! ^= 1 << (bit & 7);
      }
    }
    const output = bytes(40);
    assert.equal(opening.open(IV, aad, ciphertext, tag, output), true);
    assert.deepEqual(output, plaintext);
  });

  test("an empty message is judged by its tag, too", () => {
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    assert.equal(opening.open(IV, NONE, NONE, TAG, NONE), false);
    assert.equal(opening.open(IV, NONE, NONE, sealWithNode(KEY, IV, NONE, NONE)[1], NONE), true);
  });

  test("does not work after dispose, nor in the other direction", () => {
    const sealing = OpensslGcm.forSealing(libcrypto, KEY);
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    assert.throws(() => sealing.open(IV, NONE, NONE, TAG, NONE), /^TypeError: Cannot open: this key is for/);
    assert.throws(() => opening.seal(IV, NONE, NONE, NONE, TAG), /^TypeError: Cannot seal: this key is for/);
    sealing[Symbol.dispose]();
    sealing[Symbol.dispose]();
    assert.throws(() => sealing.seal(IV, NONE, NONE, NONE, TAG), isDisposed("OpensslGcm"));
  });

  test("refuses arguments of another length or type before C sees them", () => {
    using sealing = OpensslGcm.forSealing(libcrypto, KEY);
    using opening = OpensslGcm.forOpening(libcrypto, KEY);
    const shared = new Uint8Array(new SharedArrayBuffer(12)) as Uint8Array as Bytes;
    const whole = bytes(64);
    const [first, second] = [whole.subarray(0, 32), whole.subarray(8, 40)];
    const cases: readonly (readonly [() => unknown, RegExp])[] = [
      [() => OpensslGcm.forSealing(libcrypto, bytes(16)), /^RangeError: key must have 32 bytes, not 16$/],
      [() => OpensslGcm.forOpening(libcrypto, "k" as never), /^TypeError: key must be a Uint8Array/],
      [() => sealing.seal(bytes(16), NONE, NONE, NONE, TAG), /^RangeError: iv must have 12 bytes, not 16$/],
      [() => sealing.seal(shared, NONE, NONE, NONE, TAG), /^TypeError: iv must be .* over an ArrayBuffer$/],
      [() => sealing.seal(IV, NONE, NONE, NONE, bytes(12)), /^RangeError: tag must have 16 bytes, not 12$/],
      [() => sealing.seal(IV, "" as never, NONE, NONE, TAG), /^TypeError: additionalData must be/],
      [
        () => sealing.seal(IV, NONE, bytes(3), bytes(4), TAG),
        /^RangeError: ciphertext must have 3 bytes, not 4$/,
      ],
      [() => sealing.seal(IV, NONE, first, second, TAG), /^RangeError: ciphertext must not overlap/],
      [() => opening.open(IV, NONE, second, TAG, first), /^RangeError: plaintext must not overlap/],
      [
        () => opening.open(IV, NONE, bytes(4), TAG, bytes(3)),
        /^RangeError: plaintext must have 4 bytes, not 3$/,
      ],
      [() => opening.open(IV, NONE, NONE, NONE, NONE), /^RangeError: tag must have 16 bytes, not 0$/],
    ];
    for (const [call, expected] of cases) assert.throws(call, expected);
    sealing.seal(IV, NONE, whole.subarray(0, 8), whole.subarray(8, 16), TAG.slice());
  });

  test("refuses more bytes than a C int counts", () => {
    const huge = Object.create(Uint8Array.prototype) as Bytes;
    Object.defineProperties(huge, { buffer: { value: new ArrayBuffer(1) }, length: { value: 2 ** 31 } });
    using sealing = OpensslGcm.forSealing(libcrypto, KEY);
    for (const args of [[huge, NONE, NONE], [NONE, huge, huge]] as const) {
      assert.throws(
        () => sealing.seal(IV, ...args, TAG),
        /^RangeError: \w+ must have at most 2147483647 bytes$/,
      );
    }
  });

  const FAILURES: readonly (keyof Libcrypto["call"])[] = [
    "EVP_CIPHER_CTX_new",
    "EVP_CipherInit_ex2",
    "EVP_CipherUpdate",
    "EVP_CIPHER_CTX_ctrl",
    "EVP_CipherFinal_ex",
  ];
  for (const name of FAILURES) {
    test(`a failure of ${name} is an OpensslError or a refusal, and all is freed`, () => {
      const none = name.endsWith("new") ? null : 0;
      const replaced = failing({ [name]: () => none });
      const message = `Cannot use AES: ${name} returned ${none === null ? "NULL" : "0"}`;
      const plaintext = bytes(10);
      const open = () => {
        using opening = OpensslGcm.forOpening(replaced.libcrypto, KEY);
        return opening.open(IV, NONE, bytes(10), TAG, plaintext);
      };
      if (name === "EVP_CipherFinal_ex") assert.equal(open(), false);
      else assert.throws(open, (error) => error instanceof OpensslError && error.message === message);
      if (!/new|Init/.test(name)) assert.deepEqual(plaintext, bytes(10, 0));
      assert.throws(() => {
        using sealing = OpensslGcm.forSealing(replaced.libcrypto, KEY);
        sealing.seal(IV, NONE, bytes(10), bytes(10), TAG.slice());
      }, { name: "OpensslError", message, cFunction: name });
      assert.equal(replaced.live(), 0);
    });
  }
});

function encryptCbc(key: Bytes, iv: Bytes, plaintext: Bytes, padding = true): Bytes {
  const cipher = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(padding);
  return new Uint8Array([...cipher.update(plaintext), ...cipher.final()]);
}

describe.skipIf(found === undefined)(`openCbc()${REASON}`, () => {
  const iv = bytes(16, 2);

  test("knows NIST's answer (SP 800-38A, F.2.6), whose last block is no padding, and then with padding", () => {
    const key = decodeHex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
    const vector = decodeHex("000102030405060708090a0b0c0d0e0f");
    const plain =
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
    const sealed =
      "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b";
    assert.equal(openCbc(libcrypto, key, vector, decodeHex(sealed), bytes(64)), undefined);
    const padded = encryptCbc(key, vector, decodeHex(plain));
    assert.equal(encodeHex(padded.subarray(0, 64)), sealed);
    const output = bytes(80);
    assert.equal(openCbc(libcrypto, key, vector, padded, output), 64);
    assert.equal(encodeHex(output.subarray(0, 64)), plain);
    assert.deepEqual(output.subarray(64), bytes(16, 0));
  });

  test("opens what node:crypto encrypted, in place or into more memory, and wipes the rest", () => {
    fc.assert(
      fc.property(exactly(32), upTo(5000), fc.integer({ min: 0, max: 20 }), (key, plaintext, more) => {
        const ciphertext = encryptCbc(key, iv, plaintext);
        const output = bytes(ciphertext.length + more);
        assert.equal(openCbc(libcrypto, key, iv, ciphertext, output), plaintext.length);
        assert.deepEqual(output.subarray(0, plaintext.length), new Uint8Array(plaintext));
        assert.ok(output.subarray(plaintext.length).every((byte) => byte === 0));
        assert.equal(openCbc(libcrypto, key, iv, ciphertext, ciphertext), plaintext.length);
        assert.deepEqual(ciphertext, output.subarray(0, ciphertext.length));
      }),
      { numRuns: 100 },
    );
  });

  test("takes exactly the paddings that node:crypto takes; otherwise wipes, with the queue empty", () => {
    for (let last = 0; last < 256; last++) {
      for (const before of [last, last ^ 1]) {
        const block = bytes(16, before);
        block[15] = last;
        const ciphertext = encryptCbc(KEY, iv, block, false);
        const decipher = createDecipheriv("aes-256-cbc", KEY, iv);
        let expected: number | undefined;
        try {
          expected = decipher.update(ciphertext).length + decipher.final().length;
        } catch {
          expected = undefined;
        }
        const output = bytes(16, 0x33);
        assert.equal(openCbc(libcrypto, KEY, iv, ciphertext, output), expected, `${before} ${last}`);
        if (expected === undefined) assert.deepEqual(output, bytes(16, 0));
        assertQueueEmpty();
      }
    }
  });

  test("a length that is no number of blocks is as wrong as padding", () => {
    for (const length of [0, 1, 15, 17, 31]) {
      assert.equal(openCbc(libcrypto, KEY, iv, bytes(length), bytes(length)), undefined);
    }
  });

  test("refuses arguments that C would read or write beyond", () => {
    const whole = bytes(64);
    const cases: readonly (readonly [() => unknown, RegExp])[] = [
      [() => openCbc(libcrypto, bytes(31), iv, bytes(16), bytes(16)), /^RangeError: key must have 32 bytes/],
      [() => openCbc(libcrypto, KEY, bytes(12), bytes(16), bytes(16)), /^RangeError: iv must have 16 bytes/],
      [
        () => openCbc(libcrypto, KEY, iv, bytes(16), bytes(15)),
        /^RangeError: plaintext must have at least 16 bytes, not 15$/,
      ],
      [
        () => openCbc(libcrypto, KEY, iv, whole.subarray(1, 33), whole.subarray(0, 32)),
        /^RangeError: plaintext must not overlap with a part of what it is made from$/,
      ],
      [
        () => openCbc(libcrypto, KEY, iv, null as never, whole),
        /^TypeError: ciphertext must be a Uint8Array/,
      ],
    ];
    for (const [call, expected] of cases) assert.throws(call, expected);
  });

  for (const name of ["EVP_CIPHER_CTX_new", "EVP_CipherInit_ex2", "EVP_CipherUpdate"] as const) {
    test(`a failure of ${name} is an OpensslError, the output is wiped, and all is freed`, () => {
      const replaced = failing({ [name]: () => name.endsWith("new") ? null : 0 });
      const output = bytes(16);
      assert.throws(() => openCbc(replaced.libcrypto, KEY, iv, bytes(16), output), OpensslError);
      assert.deepEqual(output, bytes(16, 0));
      assert.equal(replaced.live(), 0);
    });
  }
});
