import assert from "node:assert/strict";
import { readSeed } from "../../../sim/services/seed.ts";
import { describe, test } from "#test";

const CIPHERTEXT = { name: "a", key: "alias/a", plaintext: "a secret" };

describe("readSeed()", () => {
  test("reads every field", () => {
    const seed = readSeed(JSON.stringify({
      region: "eu-central-1",
      pcrs: { 0: "ab".repeat(48) },
      debug: false,
      credentials: { accessKeyId: "ASIAEXAMPLE", secretAccessKey: "s", sessionToken: "t" },
      keys: [{ alias: "alias/a", material: "AA==", policy: "everyone" }, { spec: "RSA_2048" }],
      ciphertexts: [{ ...CIPHERTEXT, encryptionContext: { tenant: "a" } }],
      buckets: [{ name: "sealed", objects: { "age-key": "AQID" } }],
    }));
    assert.equal(seed.region, "eu-central-1");
    assert.deepEqual(seed.pcrs, { 0: "ab".repeat(48) });
    assert.deepEqual(seed.keys.map(({ policy }) => policy), ["everyone", "enclave"]);
    assert.deepEqual([...seed.keys[0]?.material ?? []], [0]);
    assert.deepEqual({ ...seed.ciphertexts[0]?.encryptionContext }, { tenant: "a" });
    assert.deepEqual([...seed.buckets[0]?.objects[0]?.[1] ?? []], [1, 2, 3]);
  });

  test("an empty one is a seed", () => {
    assert.deepEqual(readSeed("{}").keys, []);
  });

  const wrong: Readonly<Record<string, readonly [string, RegExp]>> = {
    "no JSON": ["{", /^The seed must be JSON$/],
    "an array": ["[]", /^The seed must be a plain object/],
    "an unknown field": ['{"key":[]}', /^The seed has no field `key`: expected region, /],
    "a field that is a prototype's": ['{"__proto__":{"keys":[]}}', /has no field `__proto__`/],
    "a region that leaves the host name": ['{"region":"eu/../x"}', /^region must be/],
    "a short register": ['{"pcrs":{"0":"ab"}}', /^pcrs\[0\] must be/],
    "a register of 32 bytes": [
      JSON.stringify({ pcrs: { 0: "ab".repeat(32) } }),
      /^pcrs\[0\] must be 48 bytes/,
    ],
    "a misspelt policy": ['{"keys":[{"polcy":"everyone"}]}', /^The key keys\[0\] has no field `polcy`/],
    "another word as policy": ['{"keys":[{"policy":"all"}]}', /^keys\[0\]\.policy must be "enclave"/],
    "keys that are no list": ['{"keys":{}}', /^keys must be an array of at most 1000/],
    "a name with a slash": [
      JSON.stringify({ ciphertexts: [{ ...CIPHERTEXT, name: "../a" }] }),
      /^ciphertexts\[0\]\.name must be of letters/,
    ],
    "a name twice": [JSON.stringify({ ciphertexts: [CIPHERTEXT, CIPHERTEXT] }), /names that differ/],
    "two plaintexts": [
      JSON.stringify({ ciphertexts: [{ ...CIPHERTEXT, plaintextBase64: "AA==" }] }),
      /^ciphertexts\[0\] must have either plaintext or plaintextBase64$/,
    ],
    "a number in the context": [
      JSON.stringify({ ciphertexts: [{ ...CIPHERTEXT, encryptionContext: { n: 1 } }] }),
      /^ciphertexts\[0\]\.encryptionContext\.n must be a string$/,
    ],
    "credentials with a line feed": [
      '{"credentials":{"accessKeyId":"a","secretAccessKey":"a\\nb","sessionToken":"t"}}',
      /^credentials\.secretAccessKey must be visible ASCII$/,
    ],
    "a bucket with a capital": ['{"buckets":[{"name":"Aaa"}]}', /^buckets\[0\]\.name must be a bucket's$/],
    "an object that is no base64": [
      '{"buckets":[{"name":"aaa","objects":{"k":"a secret"}}]}',
      /^buckets\[0\]\.objects must be base64$/,
    ],
  };
  for (const [name, [text, message]] of Object.entries(wrong)) {
    test(`refuses ${name}, and says where without the value`, () => {
      assert.throws(() => readSeed(text), (error: Error) => {
        assert.match(error.message, message);
        return !error.message.includes("a secret");
      });
    });
  }
});
