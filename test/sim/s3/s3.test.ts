/**
 * The simulated S3, with the clients of others as witnesses: AWS's own and aws4fetch must be let in, and only with the
 * right secret.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Agent } from "node:https";
import { request as httpRequest } from "node:http";
import { GetObjectCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { AwsClient } from "aws4fetch";
import { describe, test } from "#test";
import { S3_FAULTS, type S3Fault, SimulatedS3 } from "../../../sim/mod.ts";

const CONTENT = new TextEncoder().encode("sealed bytes, which are no secret");

/** Keys that travel encoded, each in another way. */
const ODD_KEYS = ["a b+c", "ä/ö/€", "%41", "a//b", "(x)!*'~", "a=b&c", "q?r#s"];

async function start(options: Parameters<typeof SimulatedS3.start>[0] = {}) {
  const s3 = await SimulatedS3.start({ region: "eu-central-1", ...options });
  s3.createBucket("sealed");
  s3.putObject("sealed", "age-key", CONTENT);
  return s3;
}

function awsClient(s3: SimulatedS3, options: S3ClientConfig = {}): S3Client {
  const { region, credentials, endpoint, trustedCertificates } = s3;
  const httpsAgent = new Agent({ ca: trustedCertificates ?? [] });
  const requestHandler = { httpsAgent };
  return new S3Client({
    region,
    credentials,
    endpoint,
    forcePathStyle: true,
    maxAttempts: 1,
    requestHandler,
    ...options,
  });
}

async function getByAws(
  client: S3Client,
  parts: { Bucket?: string; Key?: string; VersionId?: string; Range?: string } = {},
) {
  try {
    const answer = await client.send(new GetObjectCommand({ Bucket: "sealed", Key: "age-key", ...parts }));
    return { ...answer, bytes: await answer.Body?.transformToByteArray() };
  } finally {
    client.destroy();
  }
}

/** Asks with aws4fetch. */
async function ask(s3: SimulatedS3, path = "/sealed/age-key", options: AskOptions = {}) {
  const { credentials = s3.credentials, region = s3.region, headers = {}, skewMs, change } = options;
  const client = new AwsClient({ ...credentials, region, service: "s3", retries: 0 });
  const datetime = new Date(Date.now() + (skewMs ?? 0)).toISOString().replace(/[:-]|\.\d{3}/g, "");
  const signed = await client.sign(`${s3.endpoint}${path}`, { headers, aws: { datetime } });
  const changed = new Headers(signed.headers);
  for (const [name, value] of Object.entries(change ?? {})) {
    if (value === undefined) changed.delete(name);
    else changed.set(name, value);
  }
  const answer = await fetch(signed.url, { headers: changed, redirect: "manual" });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    code: /<Code>(.*?)<\/Code>/.exec(text)?.[1],
  };
}

interface AskOptions {
  readonly credentials?: SimulatedS3["credentials"];
  readonly region?: string;
  readonly headers?: Record<string, string>;
  readonly skewMs?: number;
  readonly change?: Readonly<Record<string, string | undefined>>;
}

describe("SimulatedS3", () => {
  test("gives @aws-sdk/client-s3 an object, over TLS, with its entity tag and version", async () => {
    await using s3 = await start({ tls: true });
    const answer = await getByAws(awsClient(s3));
    assert.deepEqual(answer.bytes, CONTENT);
    assert.match(answer.ETag ?? "", /^"[0-9a-f]{32}"$/);
    const again = await getByAws(awsClient(s3), { VersionId: answer.VersionId ?? "" });
    assert.equal(again.ETag, answer.ETag);
    const part = await getByAws(awsClient(s3), { Range: "bytes=7-11" });
    assert.equal(new TextDecoder().decode(part.bytes), "bytes");
    assert.equal(part.ContentRange, `bytes 7-11/${CONTENT.length}`);
  });

  test("refuses client-s3 with a wrong secret, an unknown id and an expired token", async () => {
    await using s3 = await start();
    const other = s3.issueCredentials();
    const secretAccessKey = `${s3.credentials.secretAccessKey}x`;
    const wrong = awsClient(s3, { credentials: { ...s3.credentials, secretAccessKey } });
    await assert.rejects(getByAws(wrong), { name: "SignatureDoesNotMatch" });
    const unknown = awsClient(s3, { credentials: { ...s3.credentials, accessKeyId: "ASIAUNKNOWN" } });
    await assert.rejects(getByAws(unknown), { name: "InvalidAccessKeyId" });
    s3.expireCredentials(other);
    await assert.rejects(getByAws(awsClient(s3, { credentials: other })), { name: "ExpiredToken" });
    const { sessionToken } = other;
    const mixed = awsClient(s3, { credentials: { ...s3.credentials, sessionToken } });
    await assert.rejects(getByAws(mixed), { name: "InvalidToken" });
  });

  test("both clients sign odd keys, and find their objects", async () => {
    await using s3 = await start();
    for (const key of ODD_KEYS) {
      s3.putObject("sealed", key, new TextEncoder().encode(key));
      const { bytes } = await getByAws(awsClient(s3), { Key: key });
      assert.equal(new TextDecoder().decode(bytes), key);
      const path = key.split("/").map(encodeURIComponent).join("/");
      assert.equal((await ask(s3, `/sealed/${path}`)).text, key, key);
    }
  });

  test("takes aws4fetch's signature, and none that was changed", async () => {
    await using s3 = await start();
    assert.equal((await ask(s3)).status, 200);
    const cases: readonly (readonly [what: string, options: AskOptions, status: number, code: string])[] = [
      [
        "a wrong secret",
        { credentials: { ...s3.credentials, secretAccessKey: "x" } },
        403,
        "SignatureDoesNotMatch",
      ],
      ["another region", { region: "us-east-1" }, 400, "AuthorizationHeaderMalformed"],
      ["no signature", { change: { authorization: undefined } }, 403, "AccessDenied"],
      [
        "half a signature",
        { change: { authorization: "AWS4-HMAC-SHA256 x" } },
        400,
        "AuthorizationHeaderMalformed",
      ],
      ["another algorithm", { change: { authorization: "AWS x:y" } }, 400, "InvalidArgument"],
      ["a clock 16 minutes fast", { skewMs: 16 * 60_000 }, 403, "RequestTimeTooSkewed"],
      ["a clock 16 minutes slow", { skewMs: -16 * 60_000 }, 403, "RequestTimeTooSkewed"],
      ["no hash of the body", { change: { "x-amz-content-sha256": undefined } }, 400, "InvalidRequest"],
      [
        "another hash",
        { change: { "x-amz-content-sha256": "0".repeat(64) } },
        400,
        "XAmzContentSHA256Mismatch",
      ],
      ["a header that is not signed", { change: { "x-amz-acl": "private" } }, 403, "AccessDenied"],
      ["another token", { change: { "x-amz-security-token": "x" } }, 400, "InvalidToken"],
    ];
    for (const [what, options, status, code] of cases) {
      const answer = await ask(s3, undefined, options);
      assert.deepEqual([answer.status, answer.code], [status, code], what);
    }
    const signed = await new AwsClient({ ...s3.credentials, region: s3.region, service: "s3" })
      .sign(`${s3.endpoint}/sealed/age-key`);
    for (const path of ["/sealed/other", "/sealed/age-key?versionId=x"]) {
      const answer = await fetch(`${s3.endpoint}${path}`, { headers: signed.headers });
      assert.match(await answer.text(), /<Code>SignatureDoesNotMatch</, path);
    }
  });

  test("says of what is not there what S3 says", async () => {
    await using s3 = await start();
    s3.createBucket("unlisted", { listable: false });
    s3.createBucket("elsewhere", { region: "eu-west-1" });
    s3.createBucket("closed", { readable: false });
    const of = async (path: string) => {
      const { status, code, headers } = await ask(s3, path);
      return [status, code, headers.get("x-amz-bucket-region")];
    };
    assert.deepEqual(await of("/sealed/none"), [404, "NoSuchKey", null]);
    assert.deepEqual(await of("/unlisted/none"), [403, "AccessDenied", null]);
    assert.deepEqual(await of("/closed/none"), [403, "AccessDenied", null]);
    assert.deepEqual(await of("/none/none"), [404, "NoSuchBucket", null]);
    assert.deepEqual(await of("/elsewhere/none"), [301, "PermanentRedirect", "eu-west-1"]);
    assert.deepEqual(await of("/sealed/age-key?versionId=none"), [404, "NoSuchVersion", null]);
    assert.deepEqual(await of("/sealed/"), [405, "MethodNotAllowed", null]);
  });

  test("gives a part, and refuses it when the object is another one", async () => {
    await using s3 = await start();
    const { etag } = s3.putObject("sealed", "age-key", CONTENT);
    const headers = { range: "bytes=7-", "if-match": etag };
    const part = await ask(s3, undefined, { headers });
    assert.deepEqual([part.status, part.text], [206, "bytes, which are no secret"]);
    s3.putObject("sealed", "age-key", new Uint8Array(50));
    assert.equal((await ask(s3, undefined, { headers })).code, "PreconditionFailed");
    assert.equal((await ask(s3, undefined, { headers: { range: "bytes=50-" } })).code, "InvalidRange");
  });

  test("finds the bucket in the host name", async () => {
    await using s3 = await start();
    const { region, credentials, endpoint } = s3;
    const signer = new AwsClient({ ...credentials, region, service: "s3" });
    const host = `sealed.s3.${region}.amazonaws.com`;
    const { headers } = await signer.sign(`https://${host}/age-key`);
    const { status, text } = await rawGet(`${endpoint}/age-key`, { ...Object.fromEntries(headers), host });
    assert.deepEqual([status, text], [200, new TextDecoder().decode(CONTENT)]);
  });

  test("every fault of the table makes a difference to a plain reader, or none that it could see", async () => {
    const harmless: readonly S3Fault["kind"][] = ["latency", "slow", "wholeForPart", "wrongPart"];
    for (const { name, fault } of S3_FAULTS.filter(({ fault }) => fault.kind !== "hang")) {
      await using s3 = await start();
      s3.injectFault(fault, { times: 1 });
      const outcome = await ask(s3).then(({ status, text }) => `${status} ${text}`, () => "failed");
      const isWhole = outcome === `200 ${new TextDecoder().decode(CONTENT)}`;
      assert.equal(isWhole, harmless.includes(fault.kind), `${name}: ${outcome.slice(0, 80)}`);
      const isBack = (await ask(s3)).status === 200;
      assert.ok(isBack, name);
      assert.equal(s3.requests[0]?.fault, fault.kind, name);
    }
  });

  test("refuses a misspelt fault, option and bucket", async () => {
    await using s3 = await start();
    assert.throws(() => s3.injectFault({ kind: "cutt" } as unknown as S3Fault), TypeError);
    await assert.rejects(SimulatedS3.start({ regoin: "x" } as unknown as { region: string }), TypeError);
    assert.throws(() => s3.putObject("none", "k", CONTENT), { s3Code: "NoSuchBucket" });
  });

  test("takes credentials that another service issued", async () => {
    await using s3 = await start();
    const { credentials } = await start().then(async (other) => {
      await using closed = other;
      return closed;
    });
    assert.equal((await ask(s3, undefined, { credentials })).code, "InvalidAccessKeyId");
    s3.acceptCredentials(credentials);
    assert.equal((await ask(s3, undefined, { credentials })).status, 200);
  });
});

function rawGet(
  url: string,
  headers: Record<string, string>,
): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { headers, agent: false }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => text += chunk);
      answer.on("end", () => resolve({ status: answer.statusCode, text }));
    });
    sent.on("error", reject);
    sent.end();
  });
}
