import assert from "node:assert/strict";
import { AwsClient } from "aws4fetch";
import { describe, test } from "#test";
import type { CallOptions, Reply } from "./caller.ts";
import { amzDate, assertRefused, KmsFixture, recipient, recipientKeys } from "./kms_fixture.ts";

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

  test("revoked credentials: UnrecognizedClientException, as if never issued", async () => {
    const credentials = kms.enclave.kms.issueCredentials();
    assert.equal((await kms.decrypt({}, { credentials })).status, 200);
    kms.enclave.kms.revokeCredentials(credentials);
    assertRefused(await kms.decrypt({}, { credentials }), "UnrecognizedClientException", /is invalid\.$/);
  });

  test("credentials can be rotated: the old ones stay good, expire or are forgotten", async () => {
    const outcomes = {
      keep: undefined,
      expire: "ExpiredTokenException",
      revoke: "UnrecognizedClientException",
    };
    for (const [old, kmsCode] of Object.entries(outcomes)) {
      const credentials = kms.enclave.credentials;
      const fresh = kms.enclave.rotateCredentials({ old: old as "keep" });
      assert.notEqual(fresh.accessKeyId, credentials.accessKeyId);
      assert.equal(kms.enclave.clientOptions.credentials, fresh);
      assert.equal((await kms.decrypt()).status, 200, "the fixture signs with the new ones");
      const reply = await kms.decrypt({}, { credentials });
      if (kmsCode === undefined) assert.equal(reply.status, 200);
      else assertRefused(reply, kmsCode);
    }
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

describe("the clock of KMS", () => {
  const at = (offsetMinutes: number) => {
    kms.enclave.kms.clockOffsetMs = offsetMinutes * 60_000;
    return { [Symbol.dispose]: () => void (kms.enclave.kms.clockOffsetMs = 0) };
  };

  /** Reads the lead of the Date header, in minutes. */
  const shownBy = ({ headers }: Reply) =>
    Math.round((Date.parse(String(headers["date"])) - Date.now()) / 60_000);

  test("shows in every answer, of success and of refusal", async () => {
    for (const minutes of [-4, 4]) {
      using _moved = at(minutes);
      const replies = [
        await kms.decrypt(),
        await kms.decrypt({ KeyId: "alias/none" }),
        await kms.call("GenerateRandom", { NumberOfBytes: 1 }),
        await kms.decrypt({}, { headers: { authorization: undefined } }),
      ];
      assert.deepEqual(replies.map(({ status }) => status), [200, 400, 200, 400]);
      for (const reply of replies) assert.equal(shownBy(reply), minutes);
    }
    assert.ok(Math.abs(shownBy(await kms.decrypt())) === 0);
  });

  test("ahead: Signature expired, in KMS's words; by the clock of its Date header all is well", async () => {
    using _moved = at(60);
    const datetime = amzDate(Date.now());
    const reply = await kms.decrypt({}, { datetime });
    assertRefused(reply, "InvalidSignatureException");
    const text = String(reply.members["message"]);
    const [, signed = "", limit = "", now = ""] =
      /^Signature expired: (\w+) is now earlier than (\w+) \((\w+) - 5 min\.\)$/.exec(text) ?? [];
    assert.equal(signed, datetime, text);
    assert.equal(timeOf(now) - timeOf(limit), 5 * 60_000);
    assert.equal(shownBy(reply), 60);
    const corrected = amzDate(Date.parse(String(reply.headers["date"])));
    assert.equal((await kms.decrypt({}, { datetime: corrected })).status, 200);
  });

  test("behind: Signature not yet current", async () => {
    using _moved = at(-60);
    const reply = await kms.decrypt();
    assertRefused(reply, "InvalidSignatureException");
    const text = String(reply.members["message"]);
    const [, signed = "", limit = "", now = ""] =
      /^Signature not yet current: (\w+) is still later than (\w+) \((\w+) \+ 5 min\.\)$/.exec(text) ?? [];
    assert.ok(timeOf(signed) > timeOf(limit), text);
    assert.equal(timeOf(limit) - timeOf(now), 5 * 60_000);
    const corrected = amzDate(Date.parse(String(reply.headers["date"])));
    assert.equal((await kms.decrypt({}, { datetime: corrected })).status, 200);
  });

  test("is the module's too: documents are fresh by it, however far the process is off", async () => {
    const { publicKey } = recipientKeys();
    for (const minutes of [-3 * 24 * 60, -10, 10, 3 * 24 * 60]) {
      using _moved = at(minutes);
      const Recipient = await recipient(kms.enclave.nsm, publicKey);
      const datetime = amzDate(minutesFromNow(minutes));
      assert.equal((await kms.decrypt({ Recipient }, { datetime })).status, 200, `${minutes} minutes`);
    }
  });

  test("does not let credentials expire", async () => {
    using _moved = at(3 * 24 * 60);
    assert.equal((await kms.decrypt({}, { datetime: amzDate(minutesFromNow(3 * 24 * 60)) })).status, 200);
  });

  test("takes finite numbers only", () => {
    for (const offset of [NaN, Infinity]) {
      assert.throws(() => (kms.enclave.kms.clockOffsetMs = offset), RangeError);
    }
    assert.equal(kms.enclave.kms.clockOffsetMs, 0);
  });
});

/** Parses the time that {@link amzDate} wrote. */
function timeOf(text: string): number {
  return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

function minutesFromNow(minutes: number): number {
  return Date.now() + minutes * 60_000;
}
