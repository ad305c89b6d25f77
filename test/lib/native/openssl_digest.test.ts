import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, test } from "#test";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { findLibcrypto, type Libcrypto, openLibcrypto } from "../../../lib/native/libcrypto.ts";
import { DIGEST_BYTES, digestInto, type DigestName, hmacInto } from "../../../lib/native/openssl_digest.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const found = openLibcrypto();
const REASON = found === undefined ? ` (skipped: ${findLibcrypto().reason})` : "";
const libcrypto = found!;

const NAMES = Object.keys(DIGEST_BYTES) as DigestName[];
const bytes = (length: number, value = 7): Bytes => new Uint8Array(new ArrayBuffer(length)).fill(value);
const ascii = (text: string) => new TextEncoder().encode(text);

const digest = (name: DigestName, data: Bytes): string => {
  const output = bytes(DIGEST_BYTES[name]);
  digestInto(libcrypto, name, data, output);
  return encodeHex(output);
};

const hmac = (name: DigestName, key: Bytes, data: Bytes): string => {
  const output = bytes(DIGEST_BYTES[name]);
  hmacInto(libcrypto, name, key, data, output);
  return encodeHex(output);
};

/** The library with one function that fails. */
const failing = (call: Partial<Libcrypto["call"]>): Libcrypto => ({
  ...libcrypto,
  call: { ...libcrypto.call, ...call },
});

describe.skipIf(found === undefined)(`digestInto()${REASON}`, () => {
  test("knows the answers of FIPS 180-4 for abc and for nothing", () => {
    assert.equal(
      digest("sha256", ascii("abc")),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    assert.equal(
      digest("sha384", ascii("abc")),
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    );
    assert.equal(
      digest("sha512", ascii("abc")),
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    );
    assert.equal(
      digest("sha256", bytes(0)),
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });

  test("agrees with node:crypto", () => {
    const data = fc.uint8Array({ maxLength: 3000 });
    fc.assert(fc.property(fc.constantFrom(...NAMES), data, (name, data) => {
      assert.equal(digest(name, data as Bytes), createHash(name).update(data).digest("hex"));
    }));
  });

  test("refuses wrong arguments, and fails as an OpensslError", () => {
    assert.throws(
      () => digestInto(libcrypto, "sha256", bytes(1), bytes(64)),
      /^RangeError: output must have 32 bytes, not 64$/,
    );
    assert.throws(
      () => digestInto(libcrypto, "sha512", "x" as never, bytes(64)),
      /^TypeError: data must be a Uint8Array/,
    );
    assert.throws(() => digestInto(libcrypto, "md5" as never, bytes(1), bytes(16)), RangeError);
    assert.throws(() => digestInto(failing({ EVP_Digest: () => 0 }), "sha256", bytes(1), bytes(32)), {
      name: "OpensslError",
      message: "Cannot hash: EVP_Digest returned 0",
    });
  });
});

describe.skipIf(found === undefined)(`hmacInto()${REASON}`, () => {
  test("knows the answers of RFC 4231", () => {
    const [key, data] = [bytes(20, 0x0b), ascii("Hi There")];
    assert.equal(
      hmac("sha256", key, data),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    );
    assert.equal(
      hmac("sha384", key, data),
      "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
    );
    assert.equal(
      hmac("sha512", key, data),
      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    );
    const long = ascii("Test Using Larger Than Block-Size Key - Hash Key First");
    assert.equal(
      hmac("sha256", bytes(131, 0xaa), long),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    );
    assert.equal(
      hmac("sha256", ascii("Jefe"), ascii("what do ya want for nothing?")),
      encodeHex(decodeHex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")),
    );
  });

  test("agrees with node:crypto, for empty keys and data, too", () => {
    const data = fc.uint8Array({ maxLength: 300 });
    fc.assert(fc.property(fc.constantFrom(...NAMES), data, data, (name, key, data) => {
      assert.equal(hmac(name, key as Bytes, data as Bytes), createHmac(name, key).update(data).digest("hex"));
    }));
    for (const [key, data] of [[bytes(0), bytes(0)], [bytes(0), bytes(9)], [bytes(9), bytes(0)]] as const) {
      assert.equal(hmac("sha512", key, data), createHmac("sha512", key).update(data).digest("hex"));
    }
  });

  test("refuses wrong arguments, and fails as an OpensslError", () => {
    assert.throws(
      () => hmacInto(libcrypto, "sha384", bytes(1), bytes(1), bytes(32)),
      /^RangeError: output must have 48 bytes, not 32$/,
    );
    assert.throws(
      () => hmacInto(libcrypto, "sha256", null as never, bytes(1), bytes(32)),
      /^TypeError: key must be a Uint8Array over an ArrayBuffer$/,
    );
    assert.throws(
      () => hmacInto(failing({ HMAC: () => null }), "sha256", bytes(1), bytes(1), bytes(32)),
      { name: "OpensslError", message: "Cannot compute an HMAC: HMAC returned NULL", cFunction: "HMAC" },
    );
  });
});
