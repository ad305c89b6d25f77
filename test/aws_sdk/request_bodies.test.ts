/**
 * Bodies of requests that fail, or would be sent again when nothing of them is left.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { describe, test } from "#test";
import { type Answer, CREDENTIALS, REGION, startServices } from "./fake_services.ts";

const BYTES = new Uint8Array(1000);

type PutBody = NonNullable<ConstructorParameters<typeof PutObjectCommand>[0]["Body"]>;

async function startS3(answer: Answer) {
  const services = await startServices(answer);
  const requestHandler = services.handler();
  const s3 = new S3Client({
    region: REGION,
    credentials: CREDENTIALS,
    requestHandler,
    forcePathStyle: true,
    maxAttempts: 3,
    requestChecksumCalculation: "WHEN_REQUIRED",
  });
  return {
    services,
    requestHandler,
    put: (Body: unknown) =>
      s3.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: Body as PutBody, ContentLength: 1000 })),
    send: (Body: unknown) => s3.send(new PutObjectCommand({ Bucket: "b", Key: "k", Body: Body as PutBody })),
    async [Symbol.asyncDispose]() {
      s3.destroy();
      await services[Symbol.asyncDispose]();
    },
  };
}

const accept: Answer = (_, response) => void response.writeHead(200, { "content-length": "0" }).end();

async function* generate() {
  await Promise.resolve();
  yield BYTES;
}

describe("bodies of the AWS SDK's requests", () => {
  test("a generator is not tried again as if it were empty", async () => {
    await using aws = await startS3((_, response) => response.destroy());
    await assert.rejects(aws.send(generate()), { name: "TypeError", message: /cannot be sent twice/ });
    assert.deepEqual(aws.services.seen.map(({ body }) => body.length), [1000]);
  });

  for (
    const [what, make] of [
      ["a generator", generate],
      ["a stream", () => Readable.from(generate())],
      ["a web stream", () => new Blob([BYTES]).stream()],
    ] as const
  ) {
    test(`${what} is sent once, and never what is left of it`, async () => {
      await using aws = await startS3(accept);
      const body = make();
      await aws.send(body);
      await assert.rejects(aws.send(body));
      assert.deepEqual(aws.services.seen.map((request) => request.body.length), [1000]);
    });
  }

  test("what can be read again is tried again", async () => {
    let count = 0;
    await using aws = await startS3((request, response) =>
      count++ === 0 ? void response.destroy() : accept(request, response)
    );
    await aws.put({ [Symbol.asyncIterator]: generate });
    assert.deepEqual(aws.services.seen.map(({ body }) => body.length), [1000, 1000]);
  });

  test("an error of the source with a code of the system is not taken for a broken connection", async () => {
    await using aws = await startS3(accept);
    const reason = Object.assign(new Error("no such file"), { code: "ENOENT" });
    const body = new Readable({ read: () => void body.destroy(reason) });
    await assert.rejects(aws.put(body), (error) => error === reason);
    assert.equal("$retryable" in reason, false);
    assert.equal(aws.services.seen.length, 0);
  });

  test("a time without an end is none", async () => {
    await using aws = await startS3(accept);
    const request = { method: "GET", protocol: "https:", path: "/", headers: {} };
    const hostname = `s3.${REGION}.amazonaws.com`;
    const { response } = await aws.requestHandler.handle({ ...request, hostname }, {
      requestTimeout: Infinity,
    });
    assert.equal(response.statusCode, 403, "no signature");
    response.body.destroy();
  });
});
