import assert from "node:assert/strict";
import { describe, test } from "#test";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import { chooseGcm, nodeChoice, opensslChoice } from "../../../lib/envelope/choose_gcm.ts";
import { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import { findLibcrypto, type Libcrypto } from "../../../lib/native/libcrypto.ts";
import { OpensslGcm } from "../../../lib/envelope/openssl_gcm.ts";
import { pattern } from "./streams.ts";

const MESSAGE_ID = pattern(32);
const LENGTHS = [0, 1, 999, 1000, 1001, 65_536];

/** Contexts in C: one for each direction, and one that overwrites registers. */
const CONTEXTS = 3;

const openssl = opensslChoice();
const node = nodeChoice();
const REASON = openssl === undefined ? ` (skipped: ${findLibcrypto().reason})` : "";

/** Makes the cipher of one message over either implementation. */
function cipherOver(choice: typeof node): MessageCipher {
  using dataKey = SecretBytes.copyOf(pattern(32));
  return new MessageCipher(dataKey, MESSAGE_ID, choice);
}

describe("chooseGcm()", () => {
  test("takes OpenSSL where there is one, once", () => {
    assert.equal(chooseGcm(), chooseGcm());
    const name = chooseGcm().gcm.constructor.name;
    assert.equal(name, findLibcrypto().libcrypto === undefined ? "NodeGcm" : "OpensslGcm");
  });
});

describe.skipIf(openssl === undefined)(`a message of OpenSSL and one of node:crypto${REASON}`, () => {
  test("are the same, and each opens the other's", () => {
    using one = cipherOver(openssl!);
    using other = cipherOver(node);
    assert.deepEqual(one.commitment, other.commitment);
    for (const length of LENGTHS) {
      const sealed = [one, other].map((cipher) => {
        const target = new Uint8Array(length + 16);
        cipher.seal(length, MESSAGE_ID, pattern(length), target);
        return target;
      });
      assert.deepEqual(sealed[0], sealed[1]);
      for (const cipher of [one, other]) {
        const plaintext = new Uint8Array(length);
        cipher.open(length, MESSAGE_ID, sealed[0]!, plaintext);
        assert.deepEqual(plaintext, pattern(length));
      }
    }
  });

  test("fail alike, and leave nothing in the target", () => {
    using one = cipherOver(openssl!);
    using other = cipherOver(node);
    const sealed = new Uint8Array(2500 + 16);
    one.seal(7, MESSAGE_ID, pattern(2500), sealed);
    sealed[2400]! ^= 1;
    const failures = [one, other].map((cipher) => {
      const plaintext = pattern(2500);
      try {
        cipher.open(7, MESSAGE_ID, sealed, plaintext);
      } catch (error) {
        assert.deepEqual(plaintext, new Uint8Array(2500));
        return { ...error as Error, message: (error as Error).message };
      }
    });
    assert.equal(failures[0]?.message, "Cannot decrypt message: frame 7 is not genuine");
    assert.deepEqual(failures[0], failures[1]);
  });
});

for (const [name, choice] of [["OpensslGcm", openssl], ["NodeGcm", node]] as const) {
  const skipped = choice === undefined;
  describe.skipIf(skipped)(`${name}${skipped ? REASON : ""}`, () => {
    const [nonce, associated] = [pattern(12), pattern(40)];

    test("takes keys in any order, again and again, in both directions", () => {
      using one = SecretBytes.copyOf(pattern(32));
      using other = SecretBytes.copyOf(pattern(33).subarray(1));
      const { gcm } = choice!;
      for (const key of [one, other, other, one]) {
        const sealed = new Uint8Array(100 + 16);
        gcm.seal(key, nonce, associated, pattern(100), sealed);
        gcm.forget(key === one ? other : one);
        const plaintext = new Uint8Array(100);
        assert.equal(gcm.open(key, nonce, associated, sealed, plaintext), true);
        assert.deepEqual(plaintext, pattern(100));
        assert.equal(gcm.open(key === one ? other : one, nonce, associated, sealed, plaintext), false);
        assert.deepEqual(plaintext, new Uint8Array(100));
        gcm.forget(key);
      }
    });

    test("has no use for a key that was wiped", () => {
      const key = SecretBytes.copyOf(pattern(32));
      const sealed = new Uint8Array(16);
      choice!.gcm.seal(key, nonce, associated, new Uint8Array(0), sealed);
      key[Symbol.dispose]();
      const disposed = { code: "ERR_DISPOSED" };
      assert.throws(() => choice!.gcm.open(key, nonce, associated, sealed, new Uint8Array(0)), disposed);
      assert.throws(() => choice!.gcm.seal(key, nonce, associated, new Uint8Array(0), sealed), disposed);
    });
  });
}

describe.skipIf(openssl === undefined)(`OpensslGcm${REASON}`, () => {
  /** Their contexts live as long as the process, as those of the library do. */
  const kept: OpensslGcm[] = [];

  /** The library, and the key that each live context has. */
  function watched(isFailing = (_key: Uint8Array) => false) {
    const { libcrypto } = findLibcrypto();
    const { call } = libcrypto!;
    const keys = new Map<unknown, string>();
    const watching: Partial<Libcrypto["call"]> = {
      EVP_CIPHER_CTX_free(pointer) {
        keys.delete(pointer);
        call.EVP_CIPHER_CTX_free(pointer);
      },
      EVP_CipherInit_ex2(pointer, cipher, key, ...rest) {
        if (key !== null) keys.set(pointer, key.toString());
        return key !== null && isFailing(key) ? 0 : call.EVP_CipherInit_ex2(pointer, cipher, key, ...rest);
      },
    };
    const gcm = new OpensslGcm({ ...libcrypto!, call: { ...call, ...watching } });
    kept.push(gcm);
    return { gcm, keys };
  }
  const ZERO_KEY = new Uint8Array(32).toString();
  const secretsIn = (keys: Map<unknown, string>) => [...keys.values()].filter((key) => key !== ZERO_KEY);
  const secrets = () =>
    Array.from({ length: 5 }, (_, index) => SecretBytes.copyOf(pattern(32 + index).subarray(index)));

  test("keeps one key in C at most, and overwrites that", () => {
    const { gcm, keys } = watched();
    const all = secrets();
    for (const key of all) {
      gcm.seal(key, pattern(12), pattern(40), pattern(10), new Uint8Array(26));
      assert.deepEqual(secretsIn(keys), [key.bytes.toString()]);
      gcm.open(key, pattern(12), pattern(40), pattern(26), new Uint8Array(10));
      assert.deepEqual(secretsIn(keys), [key.bytes.toString()]);
      assert.equal(keys.size, CONTEXTS);
    }
    gcm.forget(all[0]!);
    assert.deepEqual(secretsIn(keys), [all[4]!.bytes.toString()]);
    gcm.forget(all[4]!);
    gcm.forget(all[4]!);
    assert.deepEqual([secretsIn(keys), keys.size], [[], CONTEXTS]);
  });

  test("frees a context that does not take a key, or the zeros after it, and goes on with another", () => {
    for (const bad of [pattern(32).toString(), ZERO_KEY]) {
      let isBad = false;
      const { gcm, keys } = watched((key) => isBad && key.toString() === bad);
      const [key, other] = secrets();
      const seal = (secret: SecretBytes) => {
        const sealed = new Uint8Array(26);
        gcm.seal(secret, pattern(12), pattern(40), pattern(10), sealed);
        return sealed;
      };
      const expected = seal(key!);
      gcm.forget(key!);
      if (bad === ZERO_KEY) seal(key!);
      isBad = true;
      const failing = bad === ZERO_KEY ? () => gcm.forget(key!) : () => seal(key!);
      assert.throws(failing, { name: "OpensslError", cFunction: "EVP_CipherInit_ex2" });
      assert.deepEqual(secretsIn(keys), []);
      isBad = false;
      assert.notDeepEqual(seal(other!), expected);
      assert.deepEqual(seal(key!), expected);
    }
  });
});
