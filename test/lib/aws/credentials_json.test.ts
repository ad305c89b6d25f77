import assert from "node:assert/strict";
import { describe, test } from "#test";
import { OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { encodeCredentialsJson, readCredentialsJson } from "../../../lib/aws/credentials_json.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: unknown) => bytes instanceof Uint8Array ? new TextDecoder().decode(bytes) : bytes;

const EXPIRATION = "2026-11-30T12:00:00.000Z";

describe("encodeCredentialsJson()", () => {
  test("writes what JSON.parse and readCredentialsJson() read", () => {
    for (
      const given of [
        { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "a/b+c" },
        { accessKeyId: 'AK"IA\\', secretAccessKey: '"\\"', sessionToken: "\\\\", expiration: EXPIRATION },
      ]
    ) {
      using owned = OwnedCredentials.copyOf(given);
      const bytes = encodeCredentialsJson(owned);
      const { sessionToken, expiration } = { sessionToken: undefined, expiration: undefined, ...given };
      assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes)), {
        AccessKeyId: given.accessKeyId,
        SecretAccessKey: given.secretAccessKey,
        ...(sessionToken !== undefined && { Token: sessionToken, Expiration: expiration }),
      });
      const read = readCredentialsJson(bytes);
      assert.ok("accessKeyId" in read);
      using again = OwnedCredentials.copyOf({
        ...read,
        expiration: read.expiresAtMs,
      });
      assert.ok(again.equals(owned));
      assert.equal(again.expiresAtMs, owned.expiresAtMs);
    }
  });
});

describe("readCredentialsJson()", () => {
  test("reads every form, with secrets as bytes of the input", () => {
    for (
      const form of [
        { AccessKeyId: "A", SecretAccessKey: "s/s", Token: "t", Expiration: EXPIRATION },
        { AccessKeyId: "A", SecretAccessKey: "s/s", SessionToken: "t", Expiration: EXPIRATION, Version: 1 },
        { accessKeyId: "A", secretAccessKey: "s/s", sessionToken: "t", expiration: Date.parse(EXPIRATION) },
        {
          Credentials: {
            AccessKeyId: "A",
            SecretAccessKey: "s/s",
            SessionToken: "t",
            Expiration: EXPIRATION,
          },
        },
      ]
    ) {
      const bytes = encode(JSON.stringify(form));
      const read = readCredentialsJson(bytes);
      assert.ok("accessKeyId" in read);
      assert.ok(read.secretAccessKey instanceof Uint8Array && read.sessionToken instanceof Uint8Array);
      assert.equal(read.secretAccessKey.buffer, bytes.buffer);
      assert.equal(read.sessionToken.buffer, bytes.buffer);
      assert.deepEqual(
        [read.accessKeyId, decode(read.secretAccessKey), decode(read.sessionToken), read.expiresAtMs],
        ["A", "s/s", "t", Date.parse(EXPIRATION)],
      );
    }
  });

  test("names what is wrong, and never its value", () => {
    const problems = (text: string) => readCredentialsJson(encode(text));
    assert.deepEqual(problems("nonsense"), [{ path: "", expected: "a JSON object of credentials" }]);
    assert.deepEqual(problems('{"AccessKeyId":"A","SecretAccessKey":1}'), [
      { path: "SecretAccessKey", expected: "a string" },
    ]);
    assert.deepEqual(problems('{"AccessKeyId":"A","SecretAccessKey":"s","SessionTokn":"t"}'), [{
      path: "SessionTokn",
      expected: "no other fields than AccessKeyId, SecretAccessKey, SessionToken, Token, Expiration, Code, " +
        "LastUpdated, Type, RoleArn, AccountId, Version",
    }]);
    assert.deepEqual(problems('{"AccessKeyId":"A","SecretAccessKey":"s s"}'), [
      { path: "SecretAccessKey", expected: "printable ASCII without spaces" },
    ]);
  });
});
