import assert from "node:assert/strict";
import { describe, test } from "#test";
import { fillSecret, secretMemberOf } from "../../aws_sdk/secret_members.ts";

const request = (target?: string, name = "x-amz-target") => ({
  headers: target === undefined ? {} : { "content-type": "application/x-amz-json-1.1", [name]: target },
});

describe("secretMemberOf()", () => {
  for (
    const [operation, member] of [
      ["Decrypt", "Plaintext"],
      ["GenerateDataKey", "Plaintext"],
      ["GenerateDataKeyPair", "PrivateKeyPlaintext"],
      ["GenerateRandom", "Plaintext"],
      ["DeriveSharedSecret", "SharedSecret"],
      ["Encrypt", undefined],
      ["GenerateDataKeyWithoutPlaintext", undefined],
      ["toString", undefined],
    ] as const
  ) {
    test(`${operation}: ${member ?? "none"}, by the request or else by the command's name`, () => {
      assert.equal(secretMemberOf({}, request(`TrentService.${operation}`)), member);
      assert.equal(secretMemberOf({}, request(`TrentService.${operation}`, "X-Amz-Target")), member);
      assert.equal(secretMemberOf({ commandName: `${operation}Command` }, request()), member);
      assert.equal(secretMemberOf({ commandName: `${operation}Command` }, {}), member);
    });
  }

  test("the request counts where the name of the command is another", () => {
    const decrypt = request("TrentService.Decrypt");
    assert.equal(secretMemberOf({ commandName: "EncryptCommand" }, decrypt), "Plaintext");
    const encrypt = request("TrentService.Encrypt");
    assert.equal(secretMemberOf({ commandName: "DecryptCommand" }, encrypt), undefined);
  });

  test("another service's operation of the same name has no member", () => {
    for (const target of ["Other.Decrypt", "Decrypt", "", "trentservice.Decrypt", "a.TrentService.Decrypt"]) {
      assert.equal(secretMemberOf({ commandName: "DecryptCommand" }, request(target)), undefined, target);
    }
  });

  test("a name that is no text has none", () => {
    assert.equal(secretMemberOf({ commandName: 1 }, {}), undefined);
    assert.equal(secretMemberOf({}, {}), undefined);
  });
});

describe("fillSecret()", () => {
  const envelope = new Uint8Array([1, 2]);
  const open = (given: Uint8Array) => Promise.resolve(given.map((byte) => byte + 1));

  for (const inClear of [undefined, null, new Uint8Array()]) {
    test(`puts the secret in the place of the envelope, beside ${JSON.stringify(inClear)}`, async () => {
      const output = { KeyId: "a", Plaintext: inClear, CiphertextForRecipient: envelope };
      await fillSecret(output, "Plaintext", open);
      assert.deepEqual(output, { KeyId: "a", Plaintext: new Uint8Array([2, 3]) });
    });
  }

  for (const inClear of [new Uint8Array(1), "", 0, {}]) {
    test(`refuses ${JSON.stringify(inClear)} in clear, beside an envelope or alone`, async () => {
      for (const CiphertextForRecipient of [envelope, undefined]) {
        const output = { Plaintext: inClear, CiphertextForRecipient };
        await assert.rejects(fillSecret(output, "Plaintext", () => assert.fail("it was opened")), {
          code: "ERR_PROTOCOL",
          message: "Cannot use KMS's answer: it has Plaintext unencrypted",
          hint: /TLS-inspecting proxy/,
        });
      }
    });
  }

  for (const given of [undefined, null, new Uint8Array(), "AQI=", [1, 2]]) {
    test(`refuses ${JSON.stringify(given)} for an envelope`, async () => {
      const output = { CiphertextForRecipient: given };
      await assert.rejects(fillSecret(output, "SharedSecret", () => assert.fail("it was opened")), {
        code: "ERR_PROTOCOL",
        message: "Cannot use KMS's answer: no CiphertextForRecipient",
      });
    });
  }
});
