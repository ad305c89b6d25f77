import assert from "node:assert/strict";
import { describe, test } from "#test";
import { secretMemberOf } from "../../aws_sdk/secret_members.ts";

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
