/**
 * AWS's own clients through the parent's relay, to services that check their signatures.
 *
 * @module
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import {
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { GetParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { describe, test } from "#test";
import { TimeoutError } from "../../lib/core/errors.ts";
import { vsockRequestHandler, type VsockRequestHandlerOptions } from "../../aws_sdk/mod.ts";
import { until } from "../support/until.ts";
import { CREDENTIALS, REGION, type SignedRequest, startServices } from "./fake_services.ts";

const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
/** The SDK makes no checksum of web streams on Node.js. */
const NO_CHECKSUM: S3ClientConfig = { requestChecksumCalculation: "WHEN_REQUIRED" };
const BIG = new Uint8Array(randomBytes(3_000_000));

/** S3 that keeps what is put, and the other services with one thing each. */
async function startAws(options: Partial<VsockRequestHandlerOptions> = {}, s3Options: S3ClientConfig = {}) {
  const objects = new Map<string, Uint8Array>();
  const held: ServerResponse[] = [];
  const services = await startServices((request, response) => {
    if (request.target.includes("/stuck")) held.push(response);
    else if (request.service === "s3") answerS3(objects, request, response);
    else answerOther(request, response);
  });
  const requestHandler = services.handler(options);
  const common = { region: REGION, credentials: CREDENTIALS, requestHandler, logger: SILENT };
  const s3 = new S3Client({ ...common, forcePathStyle: true, maxAttempts: 1, ...s3Options });
  return {
    services,
    objects,
    held,
    common,
    requestHandler,
    s3,
    get: (Key: string, abortSignal?: AbortSignal) =>
      s3.send(new GetObjectCommand({ Bucket: "b", Key }), abortSignal === undefined ? {} : { abortSignal }),
    async [Symbol.asyncDispose]() {
      s3.destroy();
      await services[Symbol.asyncDispose]();
    },
  };
}

function answerS3(
  objects: Map<string, Uint8Array>,
  { method, target, headers, body }: SignedRequest,
  response: ServerResponse,
): void {
  const [path = ""] = target.split("?");
  if (method === "PUT") {
    objects.set(path, "x-amz-decoded-content-length" in headers ? unchunk(body) : body);
    return void response.writeHead(200, { etag: '"1"', "content-length": "0" }).end();
  }
  const object = objects.get(path);
  if (object === undefined) return void response.writeHead(404, { "content-length": "0" }).end();
  response.writeHead(200, { "content-length": String(object.length), "x-amz-meta-a": "b" });
  response.end(method === "HEAD" ? undefined : object);
}

/** Reads the body that the SDK makes of a stream, with a checksum behind it. */
function unchunk(body: Uint8Array): Uint8Array {
  const parts: number[][] = [];
  for (let at = 0;;) {
    const end = body.indexOf(13, at);
    const length = Number.parseInt(new TextDecoder().decode(body.subarray(at, end)), 16);
    if (!(length > 0)) return Uint8Array.from(parts.flat());
    parts.push([...body.subarray(end + 2, end + 2 + length)]);
    at = end + 2 + length + 2;
  }
}

function answerOther({ service, headers }: SignedRequest, response: ServerResponse): void {
  const type = { "content-type": service === "sts" ? "text/xml" : "application/x-amz-json-1.1" };
  const answers: Readonly<Record<string, string>> = {
    "secretsmanager.GetSecretValue": JSON.stringify({ Name: "a", SecretString: "attack at dawn" }),
    "AmazonSSM.GetParameter": JSON.stringify({ Parameter: { Name: "a", Value: "at noon" } }),
    undefined: '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">' +
      "<GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult>" +
      "</GetCallerIdentityResponse>",
  };
  const body = answers[String(headers["x-amz-target"])] ?? "";
  // In parts: chunked.
  response.writeHead(200, type).write(body.slice(0, 10));
  response.end(body.slice(10));
}

const names = (error: unknown): unknown => (error as Error).name;

describe("vsockRequestHandler()", () => {
  test("takes clients of many services to theirs, signatures untouched", async () => {
    await using aws = await startAws();
    const secrets = new SecretsManagerClient(aws.common);
    const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: "a" }));
    assert.equal(SecretString, "attack at dawn");
    const ssm = new SSMClient(aws.common);
    const { Parameter } = await ssm.send(new GetParameterCommand({ Name: "a" }));
    assert.equal(Parameter?.Value, "at noon");
    const sts = new STSClient(aws.common);
    const { Account } = await sts.send(new GetCallerIdentityCommand({}));
    assert.equal(Account, "111122223333");
    assert.deepEqual(aws.services.seen.map(({ service }) => service), ["secretsmanager", "ssm", "sts"]);
  });

  const bodies: readonly (readonly [string, () => NonNullable<PutBody>, Uint8Array, number?])[] = [
    ["text", () => "héllo", new TextEncoder().encode("héllo")],
    ["bytes", () => BIG, BIG],
    ["no bytes", () => new Uint8Array(), new Uint8Array()],
    ["a stream of Node.js with its length", () => Readable.from(slices(BIG)), BIG, BIG.length],
    ["a stream of Node.js", () => Readable.from(slices(BIG.subarray(0, 200_000))), BIG.subarray(0, 200_000)],
    ["a Blob", () => new Blob([BIG]), BIG, BIG.length],
  ];

  for (const [what, make, expected, ContentLength] of bodies) {
    test(`sends ${what} and reads it back`, async () => {
      await using aws = await startAws({}, what === "a Blob" ? NO_CHECKSUM : {});
      await aws.s3.send(
        new PutObjectCommand({
          Bucket: "b",
          Key: "k",
          Body: make(),
          ...(ContentLength === undefined ? {} : { ContentLength }),
        }),
      );
      const { Body, Metadata } = await aws.get("k");
      assert.deepEqual(Metadata, { a: "b" });
      assert.deepEqual(await Body?.transformToByteArray(), expected);
    });
  }

  test("sends a web stream, and gives one", async () => {
    await using aws = await startAws({}, NO_CHECKSUM);
    const part = BIG.slice(0, 100_000);
    const Body = new Blob([part]).stream();
    await aws.s3.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body, ContentLength: part.length }));
    const answer = await aws.get("k");
    const read: number[] = [];
    for await (const chunk of answer.Body?.transformToWebStream() as ReadableStream<Uint8Array>) {
      read.push(...chunk);
    }
    assert.deepEqual(Uint8Array.from(read), part);
  });

  test("leaves the path of odd keys as it was signed", async () => {
    await using aws = await startAws();
    for (const Key of ["a/../b", "./a", "a//b", "%41 +c", "(x)!*'~", "ä?€#s"]) {
      await aws.s3.send(new PutObjectCommand({ Bucket: "b", Key, Body: Key }));
      assert.equal(await (await aws.get(Key)).Body?.transformToString(), Key);
    }
    assert.equal(aws.objects.size, 6);
  });

  test("reads the head of an answer without a body, and one that says there is none", async () => {
    await using aws = await startAws();
    await aws.s3.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: "hello" }));
    const head = await aws.s3.send(new HeadObjectCommand({ Bucket: "b", Key: "k" }));
    assert.equal(head.ContentLength, 5);
    await assert.rejects(aws.get("absent"), (error) =>
      (error as { $metadata?: { httpStatusCode?: number } })
        .$metadata?.httpStatusCode === 404);
  });

  test("uses a connection again, and no more of them than it may", async () => {
    await using aws = await startAws({ maxConnections: 2, connectionMaxIdleMs: 600_000 });
    await aws.s3.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: "hello" }));
    for (let count = 0; count < 3; count++) await (await aws.get("k")).Body?.transformToString();
    assert.equal(aws.services.connectionCount, 1);
    const all = Array.from({ length: 10 }, async () => await (await aws.get("k")).Body?.transformToString());
    assert.deepEqual(new Set(await Promise.all(all)), new Set(["hello"]));
    assert.ok(aws.services.connectionCount <= 2, `${aws.services.connectionCount} connections`);
  });

  test("a stuck request stops no other, and ends when its caller wants no more", async () => {
    await using aws = await startAws();
    await aws.s3.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: "hello" }));
    const stop = new AbortController();
    const stuck = aws.get("stuck", stop.signal).catch(names);
    await until(() => aws.held.length === 1);
    assert.equal(await (await aws.get("k")).Body?.transformToString(), "hello");
    stop.abort();
    assert.equal(await stuck, "AbortError");
    await until(() => aws.held[0]?.destroyed === true);
  });

  test("who waits for a connection is told so when its time is up, and the next one gets it", async () => {
    await using aws = await startAws({ maxConnections: 1 });
    aws.objects.set("/b/k", new TextEncoder().encode("hello"));
    const stop = new AbortController();
    const stuck = aws.get("stuck", stop.signal).catch(names);
    await until(() => aws.held.length === 1);
    const get = new GetObjectCommand({ Bucket: "b", Key: "k" });
    const waiting = aws.s3.send(get, { requestTimeout: 50 });
    await assert.rejects(waiting, { name: "TimeoutError", stage: "free-connection" });
    const next = aws.get("k");
    stop.abort();
    assert.equal(await stuck, "AbortError");
    assert.equal(await (await next).Body?.transformToString(), "hello");
  });

  test("refuses what its caller has aborted, before it asks for anything", async () => {
    await using aws = await startAws();
    assert.equal(await aws.get("k", AbortSignal.abort()).catch(names), "AbortError");
    assert.equal(aws.services.connectionCount, 0);
  });

  test("an abort of a signal that has onabort only, as the SDK's own kind, ends a request that runs", async () => {
    await using aws = await startAws();
    const signal = { aborted: false, onabort: null as (() => void) | null };
    const stuck = aws.get("stuck", signal as never).catch(names);
    await until(() => aws.held.length === 1);
    signal.aborted = true;
    signal.onabort?.();
    assert.equal(await stuck, "AbortError");
    await until(() => aws.held[0]?.destroyed === true);
  });

  test("an abort ends a body that is being read", async () => {
    await using aws = await startAws();
    aws.objects.set("/b/big", BIG);
    const stop = new AbortController();
    const { Body } = await aws.get("big", stop.signal);
    stop.abort();
    await assert.rejects(async () => await Body?.transformToByteArray(), { name: "AbortError" });
  });

  test("a body that nobody reads gives its connection back", async () => {
    await using aws = await startAws({ maxConnections: 1, idleTimeoutMs: 500 });
    aws.objects.set("/b/big", BIG);
    aws.objects.set("/b/k", new TextEncoder().encode("hello"));
    let unread: Awaited<ReturnType<typeof aws.get>> | undefined;
    // On a busy machine the time may be up while it connects.
    await until(async () => (unread = await aws.get("big").catch(() => undefined)) !== undefined);
    let text: string | undefined;
    // The wait for the connection has the same limit: it may end just before.
    await until(async () => {
      text = await aws.get("k").then((answer) => answer.Body?.transformToString(), () => undefined);
      return text !== undefined;
    });
    assert.equal(text, "hello");
    await assert.rejects(async () => await unread?.Body?.transformToByteArray(), TimeoutError);
  });

  test("destroy() closes what is idle, leaves what runs, and the next request connects again", async () => {
    await using aws = await startAws();
    aws.objects.set("/b/k", new TextEncoder().encode("hello"));
    aws.objects.set("/b/big", BIG);
    await (await aws.get("k")).Body?.transformToString();
    const running = await aws.get("big");
    aws.requestHandler.destroy();
    assert.deepEqual(await running.Body?.transformToByteArray(), BIG);
    await until(() => aws.services.sockets.size === 0);
    assert.equal(await (await aws.get("k")).Body?.transformToString(), "hello");
  });

  test("a failing source ends its own request with its own error", async () => {
    await using aws = await startAws();
    const reason = new Error("the disk is gone");
    const Body = Readable.from((async function* () {
      yield BIG.subarray(0, 1000);
      await Promise.resolve();
      throw reason;
    })());
    const put = new PutObjectCommand({ Bucket: "b", Key: "k", Body, ContentLength: 5000 });
    await assert.rejects(aws.s3.send(put), (error) => error === reason || (error as Error).cause === reason);
    assert.equal(aws.objects.size, 0);
  });

  for (const [what, extra] of [["longer", 1], ["shorter", -1]] as const) {
    test(`a body that is ${what} than its header says is no next request`, async () => {
      await using aws = await startAws({}, NO_CHECKSUM);
      const Body = Readable.from(slices(BIG.subarray(0, 1000)));
      const put = new PutObjectCommand({ Bucket: "b", Key: "k", Body, ContentLength: 1000 - extra });
      await assert.rejects(aws.s3.send(put), { name: "TypeError", message: /content-length/ });
      assert.equal(aws.objects.size, 0);
    });
  }

  test("refuses requests that cannot go this way", async () => {
    await using aws = await startAws();
    const request = {
      method: "GET",
      protocol: "https:",
      hostname: `s3.${REGION}.amazonaws.com`,
      path: "/",
      headers: {},
    };
    for (
      const [change, message] of [
        [{ protocol: "http:" }, /would be sent unencrypted/],
        [{ hostname: "127.0.0.1" }, /DNS name/],
        [{ port: 8443 }, /leads to port 443/],
        [{ method: "GET / HTTP/1.1\r\nx: y" }, /method is malformed/],
        [{ path: "/ HTTP/1.1\r\nx: y" }, /path is malformed/],
        [{ headers: { a: "b\r\nc: d" } }, /header is malformed/],
        [{ username: "a" }, /user name/],
        [{ headers: { "Content-Length": "0x5" }, body: "hello" }, /content-length is not a number/],
        [{ headers: { "content-length": "5.0" }, body: "hello" }, /content-length is not a number/],
        [{ headers: { "content-length": "9007199254740993" } }, /content-length is not a number/],
        [
          { headers: { "content-length": "5", "Transfer-Encoding": "chunked" }, body: "hello" },
          /content-length beside transfer-encoding/,
        ],
        [{ headers: { "transfer-encoding": "gzip, chunked" }, body: "hello" }, /is not chunked/],
        [{ body: 1 }, /body must be/],
      ] as const
    ) {
      await assert.rejects(aws.requestHandler.handle({ ...request, ...change }), {
        name: "TypeError",
        message,
      });
    }
    assert.equal(aws.services.connectionCount, 0);
  });

  test("refuses options that would be passed over", () => {
    const endpoint = { transport: "tcp", host: "127.0.0.1", port: 1 } as const;
    for (
      const [options, message] of [
        [{}, /Either relay or endpoint/],
        [{ relay: endpoint, endpoint }, /Either relay or endpoint/],
        [{ endpoint, rejectUnauthorized: false }, /no field `rejectUnauthorized`/],
        [{ endpoint, maxConnections: 0 }, /maxConnections/],
        [{ endpoint, trustedCertificates: "none" }, /trustedCertificates/],
      ] as const
    ) assert.throws(() => vsockRequestHandler(options as VsockRequestHandlerOptions), { message });
  });
});

type PutBody = ConstructorParameters<typeof PutObjectCommand>[0]["Body"];

function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}
