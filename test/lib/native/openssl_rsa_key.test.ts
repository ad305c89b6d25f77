import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { constants, createPublicKey, generateKeyPairSync, publicEncrypt, randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "#test";
import { DisposedError, OpensslError } from "../../../lib/core/errors.ts";
import { allocateOffHeap } from "../../../lib/core/secret_bytes.ts";
import { MAX_COMPUTING } from "../../../lib/native/blocking_calls.ts";
import { copyFromC } from "../../../lib/native/libc.ts";
import { findLibcrypto, type Libcrypto } from "../../../lib/native/libcrypto.ts";
import { OpensslRsaKey } from "../../../lib/native/openssl_rsa_key.ts";
import { encryptNumber, modulusOf, padOaep, toBytes } from "../../support/oaep.ts";

const { libcrypto: found, reason } = findLibcrypto();
const WHY = found === undefined ? ` (skipped: ${reason})` : "";
const libcrypto = found as Libcrypto;

const secretOf = (length: number) => new Uint8Array(randomBytes(length));

/** Both ways to open. */
const WAYS = {
  "on this thread": (
    key: OpensslRsaKey,
    wrapped: Uint8Array<ArrayBuffer>,
    content: Uint8Array<ArrayBuffer>,
  ) => Promise.resolve(key.unwrap(wrapped, content)),
  "on another thread": (
    key: OpensslRsaKey,
    wrapped: Uint8Array<ArrayBuffer>,
    content: Uint8Array<ArrayBuffer>,
  ) => key.unwrapElsewhere(wrapped, content),
};

/** Library of which some functions are others. */
function replace(
  call: Partial<Libcrypto["call"]>,
  callAsync: Partial<Libcrypto["callAsync"]> = {},
): Libcrypto {
  return {
    ...libcrypto,
    call: { ...libcrypto.call, ...call },
    callAsync: { ...libcrypto.callAsync, ...callAsync },
  };
}

describe.skipIf(found === undefined)(`OpensslRsaKey${WHY}`, () => {
  let key: OpensslRsaKey;

  beforeAll(async () => {
    key = await OpensslRsaKey.create(libcrypto);
  });
  afterAll(() => key[Symbol.dispose]());

  test("has a public key that others read", () => {
    assert.equal(key.publicKey.length, 294);
    const read = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
    assert.equal(read.asymmetricKeyType, "rsa");
    assert.deepEqual(
      [read.asymmetricKeyDetails?.modulusLength, read.asymmetricKeyDetails?.publicExponent],
      [2048, 65_537n],
    );
  });

  test("is another one each time", async () => {
    using other = await OpensslRsaKey.create(libcrypto);
    assert.notDeepEqual(other.publicKey, key.publicKey);
  });

  for (const [way, unwrap] of Object.entries(WAYS)) {
    test(`opens ${way} what node:crypto and this test's own OAEP encrypt`, async () => {
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      const to = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
      for (let round = 0; round < 10; round++) {
        const secret = secretOf(32);
        const byNode = publicEncrypt({ key: to, padding, oaepHash: "sha256" }, secret);
        for (const wrapped of [new Uint8Array(byNode), encryptNumber(key.publicKey, padOaep(secret))]) {
          const content = allocateOffHeap(32);
          assert.equal(await unwrap(key, wrapped, content), true);
          assert.deepEqual(content, secret);
        }
      }
    });

    test(`refuses ${way} whatever else it may be, and leaves no error in OpenSSL's queue`, async () => {
      const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey;
      const modulus = modulusOf(key.publicKey);
      const good = padOaep(secretOf(32));
      const type2 = Uint8Array.from(good, (byte, index) => index === 0 ? 0 : index === 1 ? 2 : byte || 1);
      const contents: Readonly<Record<string, Uint8Array | bigint>> = {
        ...Object.fromEntries(
          [0, 1, 16, 31, 33, 64, 190].map((length) => [`${length} bytes`, padOaep(secretOf(length))]),
        ),
        "a first byte of 1": padOaep(secretOf(32), { first: 1 }),
        "a separator of 2": padOaep(secretOf(32), { separator: 2 }),
        "no separator": padOaep(new Uint8Array(32), { separator: 0 }),
        "a label": padOaep(secretOf(32), { label: "label" }),
        "another hash": padOaep(secretOf(32), { hash: "sha1" }),
        "PKCS #1 v1.5": type2,
        "one": 1n,
        "the modulus less one": modulus - 1n,
      };
      const wrong: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
        ...Object.fromEntries(
          Object.entries(contents).map(([name, number]) => [name, encryptNumber(key.publicKey, number)]),
        ),
        "another key": encryptNumber(stranger.export({ format: "der", type: "spki" }), good),
        "zero": new Uint8Array(256),
        "the modulus": toBytes(modulus),
        "more than the modulus": toBytes(modulus + 1n),
        "the largest number": new Uint8Array(256).fill(0xff),
        "noise": secretOf(256),
      };
      for (const [name, wrapped] of Object.entries(wrong)) {
        assert.equal(await unwrap(key, wrapped, allocateOffHeap(32)), false, name);
        assert.equal(libcrypto.call.ERR_peek_error(), 0, name);
      }
    });

    test(`refuses arguments of other lengths ${way}, before C sees them`, async () => {
      const [wrapped, content] = [new Uint8Array(256), new Uint8Array(32)];
      const refused = async (open: () => Promise<boolean>) =>
        await assert.rejects(async () => await open(), RangeError);
      for (const length of [0, 255, 257]) await refused(() => unwrap(key, new Uint8Array(length), content));
      for (const length of [0, 31, 33, 256]) {
        await refused(() => unwrap(key, wrapped, new Uint8Array(length)));
      }
    });

    test(`wipes what C left ${way}, when it opens and when it does not`, async () => {
      const places: (readonly [place: Parameters<typeof copyFromC>[0], content: Uint8Array])[] = [];
      const watching = replace({
        RSA_padding_check_PKCS1_OAEP_mgf1(...args) {
          places.push([args[2], copyFromC(args[2], 256)]);
          return libcrypto.call.RSA_padding_check_PKCS1_OAEP_mgf1(...args);
        },
      });
      using own = await OpensslRsaKey.create(watching);
      for (const padded of [padOaep(secretOf(32)), padOaep(secretOf(33))]) {
        await unwrap(own, encryptNumber(own.publicKey, padded), allocateOffHeap(32));
        const [place, before] = places.at(-1)!;
        assert.deepEqual(before, padded);
        assert.deepEqual(copyFromC(place, 256), new Uint8Array(256));
      }
    });

    test(`opens nothing ${way} after dispose`, async () => {
      const own = await OpensslRsaKey.create(libcrypto);
      own[Symbol.dispose]();
      own[Symbol.dispose]();
      await assert.rejects(
        async () => await unwrap(own, new Uint8Array(256), new Uint8Array(32)),
        (error) => error instanceof DisposedError && /OpensslRsaKey/.test(error.message),
      );
    });
  }

  test("opens many at once, each into its own memory, and few of them in C at a time", async () => {
    let [inC, most] = [0, 0];
    const counting = replace({}, {
      async EVP_PKEY_decrypt(...args) {
        most = Math.max(most, ++inC);
        const result = await libcrypto.callAsync.EVP_PKEY_decrypt(...args);
        inC--;
        return result;
      },
    });
    using own = await OpensslRsaKey.create(counting);
    await Promise.all(Array.from({ length: 64 }, async (_, index) => {
      const secret = secretOf(32);
      const isRight = index % 3 !== 0;
      const wrapped = encryptNumber(own.publicKey, padOaep(isRight ? secret : secretOf(31)));
      const content = allocateOffHeap(32);
      assert.equal(await own.unwrapElsewhere(wrapped, content), isRight);
      if (isRight) assert.deepEqual(content, secret);
    }));
    assert.equal(most, MAX_COMPUTING);
  });
});

describe.skipIf(found === undefined)(`release of an OpensslRsaKey${WHY}`, () => {
  /** Names of what is allocated and freed, in order. */
  function journal(calls: Partial<Libcrypto["callAsync"]> = {}, replaced: Partial<Libcrypto["call"]> = {}) {
    const lines: string[] = [];
    const { call } = libcrypto;
    const noting = replace({
      EVP_PKEY_free: (pointer) => (lines.push("free key"), call.EVP_PKEY_free(pointer)),
      EVP_PKEY_CTX_free: (pointer) => (lines.push("free context"), call.EVP_PKEY_CTX_free(pointer)),
      ...replaced,
    }, calls);
    return { lines, noting };
  }

  const wrappedFor = (key: OpensslRsaKey) => encryptNumber(key.publicKey, padOaep(secretOf(32)));

  test("frees the key after the contexts that use it", async () => {
    const { lines, noting } = journal();
    const key = await OpensslRsaKey.create(noting);
    assert.deepEqual(lines.splice(0), ["free context"]);
    key.unwrap(wrappedFor(key), allocateOffHeap(32));
    key.unwrap(wrappedFor(key), allocateOffHeap(32));
    assert.deepEqual(lines, []);
    key[Symbol.dispose]();
    key[Symbol.dispose]();
    assert.deepEqual(lines, ["free context", "free key"]);
  });

  test("waits for what is in C and for what waits in line, which all open", async () => {
    const gate = Promise.withResolvers<void>();
    let inC = 0;
    const { lines, noting } = journal({
      async EVP_PKEY_decrypt(...args) {
        inC++;
        const result = await libcrypto.callAsync.EVP_PKEY_decrypt(...args);
        await gate.promise;
        return result;
      },
    });
    const key = await OpensslRsaKey.create(noting);
    lines.splice(0);
    const calls = Array.from(
      { length: MAX_COMPUTING + 2 },
      () => key.unwrapElsewhere(wrappedFor(key), allocateOffHeap(32)),
    );
    while (inC < MAX_COMPUTING) await turn();
    key[Symbol.dispose]();
    await assert.rejects(key.unwrapElsewhere(new Uint8Array(256), new Uint8Array(32)), DisposedError);
    assert.deepEqual(lines, []);
    gate.resolve();
    assert.deepEqual(await Promise.all(calls), calls.map(() => true));
    assert.equal(lines.at(-1), "free key");
    assert.deepEqual(lines.filter((line) => line === "free context").length, MAX_COMPUTING);
  });

  const STEPS = [
    "EVP_PKEY_CTX_new_from_name",
    "EVP_PKEY_keygen_init",
    "EVP_PKEY_CTX_set_rsa_keygen_bits",
    "EVP_PKEY_generate",
    "i2d_PUBKEY",
    "EVP_PKEY_CTX_new_from_pkey",
    "EVP_PKEY_decrypt_init",
    "EVP_PKEY_CTX_set_rsa_padding",
    "EVP_PKEY_decrypt",
  ] as const;
  for (const [index, name] of STEPS.entries()) {
    test(`frees everything when ${name} fails, and says so`, async () => {
      const isPointer = name.startsWith("EVP_PKEY_CTX_new");
      const fail = () => isPointer ? null : name === "EVP_PKEY_CTX_set_rsa_keygen_bits" ? -2 : 0;
      const { lines, noting } = journal({ [name]: () => Promise.resolve(0) }, { [name]: fail });
      const run = async () => {
        using key = await OpensslRsaKey.create(noting);
        key.unwrap(wrappedFor(key), allocateOffHeap(32));
      };
      await assert.rejects(run, (error) => {
        assert.ok(error instanceof OpensslError, String(error));
        assert.equal(error.cFunction, name);
        return true;
      });
      assert.equal(libcrypto.call.ERR_peek_error(), 0);
      const contexts = index === 0 ? 0 : index < 6 ? 1 : 2;
      assert.deepEqual(
        lines,
        [...new Array(contexts).fill("free context"), ...index < 4 ? [] : ["free key"]],
      );
    });
  }

  test("an opening elsewhere that OpenSSL itself fails is its error, not a wrong content", async () => {
    const { lines, noting } = journal({ EVP_PKEY_decrypt: () => Promise.resolve(-1) });
    const key = await OpensslRsaKey.create(noting);
    const opening = key.unwrapElsewhere(wrappedFor(key), allocateOffHeap(32));
    await assert.rejects(
      opening,
      (error) => error instanceof OpensslError && error.cFunction === "EVP_PKEY_decrypt",
    );
    lines.splice(0);
    key[Symbol.dispose]();
    assert.deepEqual(lines, ["free context", "free key"]);
  });
});
