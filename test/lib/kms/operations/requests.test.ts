import assert from "node:assert/strict";
import { describe, test } from "#test";
import { DATA_KEY_PAIR_SPECS, DataKey, DataKeyPair } from "../../../../lib/kms/data_key.ts";
import { DECRYPT } from "../../../../lib/kms/operations/decrypt.ts";
import { DERIVE_SHARED_SECRET } from "../../../../lib/kms/operations/derive_shared_secret.ts";
import { ENCRYPT } from "../../../../lib/kms/operations/encrypt.ts";
import { GENERATE_DATA_KEY } from "../../../../lib/kms/operations/generate_data_key.ts";
import { GENERATE_DATA_KEY_PAIR } from "../../../../lib/kms/operations/generate_data_key_pair.ts";
import { GENERATE_MAC } from "../../../../lib/kms/operations/generate_mac.ts";
import { GENERATE_RANDOM } from "../../../../lib/kms/operations/generate_random.ts";
import { checkCall } from "../../../../lib/core/call_options.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";

const BYTES = new Uint8Array([1, 2, 3]);
const CONTEXT = { tenant: "a", "grüße": "" };
const TOKENS = ["token"];
/** Options that every request may have besides its own. */
const CALL = { signal: new AbortController().signal, timeoutMs: 5 };

/** Calls with what TypeScript would not let through. */
const give = (check: (request: never) => unknown, request: unknown) => () => check(request as never);

function refuses(name: "TypeError" | "RangeError", message: string | RegExp, check: () => unknown): void {
  assert.throws(check, { name, message });
}

describe("DECRYPT.check()", () => {
  test("passes a request with everything, and one with the ciphertext only", () => {
    const encryptionAlgorithm = "SYMMETRIC_DEFAULT";
    const request = { ciphertext: BYTES, keyId: "alias/a", encryptionContext: CONTEXT, encryptionAlgorithm };
    assert.deepEqual(DECRYPT.check({ ...request, ...CALL, grantTokens: TOKENS } as never), {
      ...request,
      grantTokens: TOKENS,
      dryRun: false,
    });
    assert.deepEqual(DECRYPT.check({ ciphertext: "AQID" }), {
      ciphertext: BYTES,
      keyId: undefined,
      encryptionAlgorithm: undefined,
      encryptionContext: undefined,
      grantTokens: undefined,
      dryRun: false,
    });
  });

  test("names the usual algorithm for a key that is named, and for no other", () => {
    const algorithmOf = (request: object) =>
      DECRYPT.check({ ciphertext: BYTES, ...request }).encryptionAlgorithm;
    assert.equal(algorithmOf({ keyId: "a" }), "SYMMETRIC_DEFAULT");
    assert.equal(algorithmOf({}), undefined);
    assert.equal(algorithmOf({ encryptionAlgorithm: "SYMMETRIC_DEFAULT" }), "SYMMETRIC_DEFAULT");
    for (const encryptionAlgorithm of ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]) {
      assert.equal(algorithmOf({ keyId: "a", encryptionAlgorithm }), encryptionAlgorithm);
      refuses(
        "TypeError",
        `encryptionAlgorithm ${encryptionAlgorithm} needs a keyId: the ciphertext of an asymmetric key does not name it`,
        () => algorithmOf({ encryptionAlgorithm }),
      );
    }
  });

  test("refuses what is wrong by its name", () => {
    const request = (fields: object) => give(DECRYPT.check, { ciphertext: BYTES, ...fields });
    refuses("TypeError", "The decrypt request must be a plain object", give(DECRYPT.check, undefined));
    refuses(
      "TypeError",
      /^encryptionAlgorithm must be one of SYMMETRIC/,
      request({ encryptionAlgorithm: "" }),
    );
    refuses("TypeError", "ciphertext must be a Uint8Array or base64", request({ ciphertext: 7 }));
    refuses("TypeError", "Cannot decode ciphertext: not canonical base64", request({ ciphertext: "AQI" }));
    refuses("RangeError", "ciphertext must have 1 to 6144 bytes, not 0", request({ ciphertext: "" }));
  });

  test("takes the longest ciphertext, in memory of its own", () => {
    const ciphertext = new Uint8Array(6144).fill(7);
    const checked = DECRYPT.check({ ciphertext });
    assert.deepEqual(checked.ciphertext, ciphertext);
    assert.notEqual(checked.ciphertext.buffer, ciphertext.buffer);
    assert.equal(checked.ciphertext.buffer.byteLength, 6144);
  });

  test("copies the context, and takes an empty one for none", () => {
    const encryptionContext: Record<string, string> = { ...CONTEXT };
    const checked = DECRYPT.check({ ciphertext: BYTES, encryptionContext });
    encryptionContext["tenant"] = "b";
    assert.deepEqual(checked.encryptionContext, CONTEXT);
    assert.ok(Object.isFrozen(checked.encryptionContext));
    assert.equal(
      DECRYPT.check({ ciphertext: BYTES, encryptionContext: {} }).encryptionContext,
      undefined,
    );
  });

  test("refuses contexts that are none", () => {
    const message = "encryptionContext must be a plain object";
    for (const encryptionContext of [null, 7, "a", () => {}]) {
      refuses("TypeError", message, give(DECRYPT.check, { ciphertext: BYTES, encryptionContext }));
    }
    refuses(
      "TypeError",
      "encryptionContext must have only strings as values",
      give(DECRYPT.check, { ciphertext: BYTES, encryptionContext: { a: 1 } }),
    );
  });

  test("takes a context of 128 pairs, and of 8192 bytes, and none greater", () => {
    const given = (encryptionContext: Record<string, string>) => ({ ciphertext: BYTES, encryptionContext });
    const pairs = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, ""]));
    assert.equal(Object.keys(DECRYPT.check(given(pairs(128))).encryptionContext ?? {}).length, 128);
    const tooMany = "encryptionContext must have at most 128 pairs, not 129";
    refuses("RangeError", tooMany, give(DECRYPT.check, given(pairs(129))));
    // Two names of a letter, one value in letters of three bytes, and two bytes for each pair.
    const long = (letters: number) => ({ a: "€".repeat(2000), b: "x".repeat(letters) });
    assert.deepEqual(DECRYPT.check(given(long(2186))).encryptionContext, long(2186));
    const tooLong = "encryptionContext must have at most 8192 bytes, not 8193";
    refuses("RangeError", tooLong, give(DECRYPT.check, given(long(2187))));
  });

  test("takes ten grant tokens of 8192 characters, and no token for none", () => {
    const grantTokens = Array.from({ length: 10 }, () => "x".repeat(8192));
    assert.deepEqual(DECRYPT.check({ ciphertext: BYTES, grantTokens }).grantTokens, grantTokens);
    assert.equal(DECRYPT.check({ ciphertext: BYTES, grantTokens: [] }).grantTokens, undefined);
  });

  test("refuses grant tokens that are none", () => {
    const tokens = (grantTokens: unknown) => give(DECRYPT.check, { ciphertext: BYTES, grantTokens });
    refuses("TypeError", "grantTokens must be an array of strings", tokens("token"));
    refuses("TypeError", "grantTokens must be an array of strings", tokens(null));
    refuses("RangeError", "grantTokens must have at most 10 tokens, not 11", tokens(Array(11).fill("x")));
    refuses("RangeError", "grantTokens' tokens must have 1 to 8192 characters", tokens([""]));
    refuses("RangeError", "grantTokens' tokens must have 1 to 8192 characters", tokens(["x".repeat(8193)]));
    refuses("TypeError", "grantTokens' tokens must be a string", tokens([7]));
  });

  test("takes every way to name a key, and nothing else", () => {
    const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    for (const keyId of ["1234abcd-12ab", arn, "alias/my_Key", "x".repeat(2048)]) {
      assert.equal(DECRYPT.check({ ciphertext: BYTES, keyId }).keyId, keyId);
    }
    for (const keyId of ["a b", " a", "a\n", "ä", "a?"]) {
      refuses(
        "TypeError",
        "keyId must be a key id, a key ARN, an alias name or an alias ARN",
        () => DECRYPT.check({ ciphertext: BYTES, keyId }),
      );
    }
  });
});

describe("ENCRYPT.check()", () => {
  const request = { plaintext: BYTES, keyId: "alias/a" };

  test("passes a request with everything, and one with what it needs", () => {
    const all = { keyId: "alias/a", encryptionContext: CONTEXT, grantTokens: TOKENS };
    const { plaintext, ...rest } = ENCRYPT.check(
      { ...all, ...CALL, plaintext: BYTES, encryptionAlgorithm: "RSAES_OAEP_SHA_1" } as never,
    );
    assert.deepEqual(rest, { ...all, encryptionAlgorithm: "RSAES_OAEP_SHA_1", dryRun: false });
    assert.deepEqual(plaintext.bytes, BYTES);
    const least = ENCRYPT.check(request);
    assert.equal(least.encryptionAlgorithm, "SYMMETRIC_DEFAULT");
    assert.deepEqual([least.encryptionContext, least.grantTokens], [undefined, undefined]);
  });

  test("copies the plaintext, also from SecretBytes, and leaves the original", () => {
    using secret = new SecretBytes(new Uint8Array(4096).fill(7));
    const { plaintext } = ENCRYPT.check({ ...request, plaintext: secret });
    assert.deepEqual(plaintext.bytes, secret.bytes);
    plaintext[Symbol.dispose]();
    assert.equal(secret.bytes[0], 7);
  });

  test("refuses plaintexts that are none, and asks for a key", () => {
    const plaintext = (value: unknown) => give(ENCRYPT.check, { ...request, plaintext: value });
    for (const value of [undefined, "text", [1]]) {
      refuses("TypeError", "plaintext must be a Uint8Array or SecretBytes", plaintext(value));
    }
    refuses("RangeError", "plaintext must have 1 to 4096 bytes, not 0", plaintext(new Uint8Array()));
    refuses("RangeError", "plaintext must have 1 to 4096 bytes, not 4097", plaintext(new Uint8Array(4097)));
    refuses("TypeError", "keyId must be a string", give(ENCRYPT.check, { plaintext: BYTES }));
    const misnamed = { ...request, encryptionAlgorithm: "ROT13" };
    refuses(
      "TypeError",
      /^encryptionAlgorithm must be one of SYMMETRIC/,
      give(ENCRYPT.check, misnamed),
    );
    refuses("TypeError", /^The encrypt request has no field/, give(ENCRYPT.check, { x: 1 }));
  });
});

describe("GENERATE_DATA_KEY.check()", () => {
  const lengthOf = (request: object) => GENERATE_DATA_KEY.check({ keyId: "a", ...request }).length;

  test("passes a request with everything, and one with what it needs", () => {
    const request = { keyId: "a", encryptionContext: CONTEXT, grantTokens: TOKENS };
    assert.deepEqual(GENERATE_DATA_KEY.check({ ...request, ...CALL, keySpec: "AES_128" } as never), {
      ...request,
      length: "AES_128",
      dryRun: false,
    });
    assert.deepEqual(GENERATE_DATA_KEY.check({ keyId: "a" }), {
      keyId: "a",
      length: "AES_256",
      encryptionContext: undefined,
      grantTokens: undefined,
      dryRun: false,
    });
  });

  test("knows two kinds, or a number of bytes, and not both", () => {
    assert.equal(lengthOf({ keySpec: "AES_256" }), "AES_256");
    for (const numberOfBytes of [1, 1024]) assert.equal(lengthOf({ numberOfBytes }), numberOfBytes);
    for (const numberOfBytes of [0, 1025]) {
      refuses(
        "RangeError",
        "numberOfBytes must be an integer from 1 to 1024",
        () => lengthOf({ numberOfBytes }),
      );
    }
    refuses("TypeError", "keySpec must be one of AES_128, AES_256", () => lengthOf({ keySpec: "AES_192" }));
    refuses(
      "TypeError",
      "keySpec and numberOfBytes both say how long the data key is: give one of them",
      () => lengthOf({ keySpec: "AES_256", numberOfBytes: 32 }),
    );
    refuses("TypeError", /^The data key request has no field/, () => lengthOf({ x: 1 }));
  });
});

describe("GENERATE_DATA_KEY_PAIR.check()", () => {
  test("passes every kind, and a request with everything", () => {
    for (const keyPairSpec of DATA_KEY_PAIR_SPECS) {
      assert.equal(GENERATE_DATA_KEY_PAIR.check({ keyId: "a", keyPairSpec }).keyPairSpec, keyPairSpec);
    }
    const request = {
      keyId: "a",
      keyPairSpec: "RSA_2048",
      encryptionContext: CONTEXT,
      grantTokens: TOKENS,
    } as const;
    assert.deepEqual(GENERATE_DATA_KEY_PAIR.check({ ...request, ...CALL } as never), {
      ...request,
      dryRun: false,
    });
  });

  test("refuses other kinds, and none", () => {
    const kinds = DATA_KEY_PAIR_SPECS.join(", ");
    assert.equal(DATA_KEY_PAIR_SPECS.length, 9);
    for (const keyPairSpec of ["RSA_1024", undefined]) {
      const request = { keyId: "a", keyPairSpec };
      refuses(
        "TypeError",
        `keyPairSpec must be one of ${kinds}`,
        give(GENERATE_DATA_KEY_PAIR.check, request),
      );
    }
    const misspelt = { keyId: "a", keyPairSpecs: "RSA_2048" };
    refuses("TypeError", /^The data key pair request has no/, give(GENERATE_DATA_KEY_PAIR.check, misspelt));
  });
});

describe("GENERATE_RANDOM.check()", () => {
  test("passes a number of bytes, and nothing else", () => {
    assert.deepEqual(GENERATE_RANDOM.check({ numberOfBytes: 32, ...CALL }), { numberOfBytes: 32 });
    refuses("TypeError", "numberOfBytes must be a number", give(GENERATE_RANDOM.check, {}));
    refuses(
      "TypeError",
      /^The random request has no field `keyId`/,
      give(GENERATE_RANDOM.check, { keyId: "a" }),
    );
  });
});

describe("DERIVE_SHARED_SECRET.check()", () => {
  const request = { keyId: "a", publicKey: "AQID" };

  test("passes a request with everything, and one with what it needs", () => {
    const all = { ...request, ...CALL, keyAgreementAlgorithm: "ECDH", grantTokens: TOKENS };
    const checked = {
      keyId: "a",
      publicKey: BYTES,
      keyAgreementAlgorithm: "ECDH",
      grantTokens: TOKENS,
      dryRun: false,
    };
    assert.deepEqual(DERIVE_SHARED_SECRET.check(all as never), checked);
    assert.deepEqual(DERIVE_SHARED_SECRET.check(request), { ...checked, grantTokens: undefined });
    assert.equal(
      DERIVE_SHARED_SECRET.check({ keyId: "a", publicKey: new Uint8Array(8192) }).publicKey.length,
      8192,
    );
  });

  test("refuses other algorithms, and keys that are none", () => {
    const check = (fields: object) => give(DERIVE_SHARED_SECRET.check, { ...request, ...fields });
    refuses("TypeError", "keyAgreementAlgorithm must be one of ECDH", check({ keyAgreementAlgorithm: "DH" }));
    refuses("TypeError", "publicKey must be a Uint8Array or base64", check({ publicKey: 7 }));
    refuses(
      "RangeError",
      "publicKey must have 1 to 8192 bytes, not 8193",
      check({ publicKey: new Uint8Array(8193) }),
    );
    refuses("TypeError", /^The shared secret request has no field/, check({ x: 1 }));
  });
});

describe("GENERATE_MAC.check()", () => {
  const request = { keyId: "a", message: BYTES, macAlgorithm: "HMAC_SHA_512" } as const;

  test("passes a request with everything, and one with what it needs", () => {
    const checked = { ...request, grantTokens: TOKENS, dryRun: false };
    assert.deepEqual(GENERATE_MAC.check({ ...request, ...CALL, grantTokens: TOKENS } as never), checked);
    const copied = GENERATE_MAC.check(request);
    assert.deepEqual(copied, { ...checked, grantTokens: undefined });
    assert.notEqual(copied.message.buffer, request.message.buffer);
    assert.equal(GENERATE_MAC.check({ ...request, message: new Uint8Array(4096) }).message.length, 4096);
  });

  test("takes base64 from a JSON body only", () => {
    refuses(
      "TypeError",
      "message must be a Uint8Array",
      give(GENERATE_MAC.check, { ...request, message: "AQID" }),
    );
    assert.deepEqual(GENERATE_MAC.checkJson?.({ ...request, message: "AQID" }).message, BYTES);
  });

  test("refuses other algorithms, and messages that are none", () => {
    const check = (fields: object) => give(GENERATE_MAC.check, { ...request, ...fields });
    const all = "HMAC_SHA_224, HMAC_SHA_256, HMAC_SHA_384, HMAC_SHA_512";
    for (const macAlgorithm of [undefined, "HMAC_SHA_1", "sha256", 7, ["HMAC_SHA_256"]]) {
      refuses("TypeError", `macAlgorithm must be one of ${all}`, check({ macAlgorithm }));
    }
    refuses("RangeError", "message must have 1 to 4096 bytes, not 0", check({ message: new Uint8Array(0) }));
    refuses(
      "RangeError",
      "message must have 1 to 4096 bytes, not 4097",
      check({ message: new Uint8Array(4097) }),
    );
    refuses("TypeError", /^The MAC request has no field/, check({ encryptionContext: {} }));
  });
});

describe("checkCall()", () => {
  test("has the client's time-out where the call has none", () => {
    assert.deepEqual(checkCall({}, 7), { signal: undefined, timeoutMs: 7 });
    assert.deepEqual(checkCall(CALL, 7), CALL);
    for (const timeoutMs of [1, 2 ** 31 - 1]) {
      assert.equal(checkCall({ timeoutMs }, 7).timeoutMs, timeoutMs);
    }
  });

  test("refuses time-outs and signals that are none", () => {
    for (const timeoutMs of [0, 2 ** 31]) {
      refuses(
        "RangeError",
        "timeoutMs must be an integer from 1 to 2147483647",
        () => checkCall({ timeoutMs }, 7),
      );
    }
    refuses("TypeError", "signal must be an AbortSignal", () => checkCall({ signal: {} as AbortSignal }, 7));
  });
});

describe("DataKey and DataKeyPair", () => {
  test("hold their parts, and wipe what is secret", () => {
    const [secret, other] = [SecretBytes.copyOf(BYTES), SecretBytes.copyOf(BYTES)];
    const parts = { plaintext: secret, ciphertext: BYTES, keyId: "a" };
    const dataKey = new DataKey(parts);
    assert.deepEqual({ ...dataKey }, parts);
    dataKey[Symbol.dispose]();
    const pairParts = {
      privateKey: other,
      privateKeyCiphertext: BYTES,
      publicKey: BYTES,
      keyPairSpec: "SM2",
      keyId: "a",
    } as const;
    const pair = new DataKeyPair(pairParts);
    assert.deepEqual({ ...pair }, pairParts);
    pair[Symbol.dispose]();
    assert.deepEqual([secret.length, other.length], [0, 0]);
  });
});
