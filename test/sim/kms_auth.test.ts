import assert from "node:assert/strict";
import { AwsClient } from "aws4fetch";
import { describe, test } from "#test";
import type { CallOptions } from "./caller.ts";
import { amzDate, assertRefused, KmsFixture } from "./kms_fixture.ts";

const kms = KmsFixture.use();

describe("signatures", () => {
  const cases:
    readonly (readonly [what: string, options: () => CallOptions, kmsCode: string, message?: RegExp])[] = [
      [
        "no signature",
        () => ({ headers: { authorization: undefined } }),
        "MissingAuthenticationTokenException",
      ],
      [
        "half a signature",
        () => ({ headers: { authorization: "AWS4-HMAC-SHA256 Credential=x" } }),
        "IncompleteSignatureException",
      ],
      [
        "an unknown access key",
        () => ({ credentials: { ...kms.enclave.credentials, accessKeyId: "AKIAUNKNOWN" } }),
        "UnrecognizedClientException",
      ],
      [
        "a wrong secret key",
        () => ({ credentials: { ...kms.enclave.credentials, secretAccessKey: "wrong" } }),
        "InvalidSignatureException",
        /does not match/,
      ],
      [
        "another session token",
        () => ({ credentials: { ...kms.enclave.credentials, sessionToken: "other" } }),
        "UnrecognizedClientException",
      ],
      ["no session token", () => {
        const { sessionToken: _, ...credentials } = kms.enclave.credentials;
        return { credentials };
      }, "UnrecognizedClientException"],
      ["another region", () => ({ region: "eu-west-1" }), "InvalidSignatureException", /valid region/],
      ["another service", () => ({ service: "s3" }), "InvalidSignatureException", /correct service: 'kms'/],
      [
        "a clock six minutes slow",
        () => ({ datetime: amzDate(minutesFromNow(-6)) }),
        "InvalidSignatureException",
        /expired/,
      ],
      [
        "a clock six minutes fast",
        () => ({ datetime: amzDate(minutesFromNow(6)) }),
        "InvalidSignatureException",
        /not yet current/,
      ],
      [
        "a changed body",
        () => ({ body: JSON.stringify({ CiphertextBlob: "AAAA" }) }),
        "InvalidSignatureException",
      ],
      [
        "a changed target",
        () => ({ headers: { "x-amz-target": "TrentService.Encrypt" } }),
        "InvalidSignatureException",
      ],
      [
        "a changed host",
        () => ({ headers: { host: "kms.eu-west-1.amazonaws.com" } }),
        "InvalidSignatureException",
      ],
      [
        "a date without its signature",
        () => ({ headers: { "x-amz-date": amzDate(minutesFromNow(-1)) } }),
        "InvalidSignatureException",
      ],
      [
        "no date",
        () => ({ headers: { "x-amz-date": undefined } }),
        "IncompleteSignatureException",
        /X-Amz-Date/,
      ],
    ];
  for (const [what, options, kmsCode, message] of cases) {
    test(`${what}: ${kmsCode}`, async () =>
      assertRefused(await kms.decrypt({}, options()), kmsCode, message));
  }

  test("clocks four minutes off pass", async () => {
    for (const minutes of [-4, 4]) {
      assert.equal((await kms.decrypt({}, { datetime: amzDate(minutesFromNow(minutes)) })).status, 200);
    }
  });

  test("a header of AWS's that is there has to be signed", async () => {
    const { headers } = await signedHeaders();
    assert.match(headers, /host;x-amz-date;x-amz-security-token;x-amz-target/);
    for (const name of ["x-amz-target", "x-amz-security-token", "host"]) {
      const authorization = headers.replace(new RegExp(`${name};|;${name}(?=,)`), "");
      assertRefused(
        await kms.decrypt({}, { headers: { authorization } }),
        "InvalidSignatureException",
        /must be a signed/,
      );
    }
  });

  test("expired credentials: ExpiredTokenException", async () => {
    const credentials = kms.enclave.kms.issueCredentials({ lifetimeMs: 60_000 });
    assert.equal((await kms.decrypt({}, { credentials })).status, 200);
    kms.enclave.kms.expireCredentials(credentials);
    assertRefused(await kms.decrypt({}, { credentials }), "ExpiredTokenException", /is expired$/);
  });

  async function signedHeaders(): Promise<{ headers: string }> {
    const aws = new AwsClient({ ...kms.enclave.credentials, region: kms.enclave.region, service: "kms" });
    const target = { "x-amz-target": "TrentService.Decrypt" };
    const signed = await aws.sign(`https://${kms.enclave.hostName}/`, {
      method: "POST",
      headers: target,
      body: "{}",
    });
    return { headers: signed.headers.get("authorization") ?? "" };
  }
});

function minutesFromNow(minutes: number): number {
  return Date.now() + minutes * 60_000;
}
