import { createHash, randomBytes } from "node:crypto";
import type { HttpAnswer } from "../tls/http_message.ts";
import { S3Refusal } from "./s3_errors.ts";

/** One version of an object. */
export interface SimulatedObject {
  /** Content; the simulator's own copy. */
  readonly body: Uint8Array;
  /** Entity tag with its quotation marks. */
  readonly etag: string;
  /** Id of the version. */
  readonly versionId: string;
  /** Time of writing, milliseconds since 1970. */
  readonly writtenAt: number;
}

/** Options of a bucket. */
export interface CreateBucketOptions {
  /** Region of the bucket; another than the endpoint's is answered with a redirect. Default: the endpoint's. */
  readonly region?: string | undefined;
  /** Whether the callers may list it: only then a missing object is 404 and not 403. Default: true. */
  readonly listable?: boolean | undefined;
  /** Whether the callers may read objects. Default: true. */
  readonly readable?: boolean | undefined;
}

/** Bucket with its objects. */
export interface Bucket
  extends Required<{ [Name in keyof CreateBucketOptions]: NonNullable<CreateBucketOptions[Name]> }> {
  /** Versions of each object by key, the newest last. */
  readonly objects: Map<string, SimulatedObject[]>;
}

/**
 * Writes a version of an object.
 *
 * @param bucket Bucket
 * @param key Key
 * @param body Content, which is copied
 * @param now Time of writing, milliseconds since 1970
 */
export function writeObject(bucket: Bucket, key: string, body: Uint8Array, now: number): SimulatedObject {
  const object = {
    body: body.slice(),
    etag: `"${createHash("md5").update(body).digest("hex")}"`,
    versionId: randomBytes(24).toString("base64url"),
    writtenAt: now,
  };
  bucket.objects.set(key, [...bucket.objects.get(key) ?? [], object]);
  return object;
}

/**
 * Finds the version that a request asks for.
 *
 * @param bucket Bucket
 * @param key Key
 * @param versionId Version, or undefined for the newest
 * @throws {S3Refusal} As S3 refuses: 403 for a missing object where the caller may not list
 */
export function findObject(bucket: Bucket, key: string, versionId: string | undefined): SimulatedObject {
  if (!bucket.readable) throw new S3Refusal("AccessDenied", "Access Denied");
  const versions = bucket.objects.get(key) ?? [];
  const found = versionId === undefined
    ? versions.at(-1)
    : versions.find((one) => one.versionId === versionId);
  if (found !== undefined) return found;
  if (!bucket.listable) throw new S3Refusal("AccessDenied", "Access Denied");
  if (versionId !== undefined) {
    throw new S3Refusal("NoSuchVersion", "The specified version does not exist.", { elements: { Key: key } });
  }
  throw new S3Refusal("NoSuchKey", "The specified key does not exist.", { elements: { Key: key } });
}

/**
 * Makes the answer with an object, or with the part that a `range` header names.
 *
 * @param object Version of the object
 * @param headers Headers of the request
 * @param now The world's time, milliseconds since 1970
 * @throws {S3Refusal} `PreconditionFailed` by `if-match`, `InvalidRange` by `range`
 */
export function objectAnswer(
  object: SimulatedObject,
  headers: ReadonlyMap<string, string>,
  now: number,
): HttpAnswer {
  const expected = headers.get("if-match");
  if (expected !== undefined && expected !== object.etag) {
    throw new S3Refusal(
      "PreconditionFailed",
      "At least one of the pre-conditions you specified did not hold",
      {
        elements: { Condition: "If-Match" },
      },
    );
  }
  const range = readRange(headers.get("range"), object.body.length);
  const part = range === undefined ? {} : {
    "content-range": `bytes ${range.from}-${range.to - 1}/${object.body.length}`,
  };
  return {
    status: range === undefined ? 200 : 206,
    headers: {
      "x-amz-request-id": randomBytes(8).toString("hex").toUpperCase(),
      date: new Date(now).toUTCString(),
      "last-modified": new Date(object.writtenAt).toUTCString(),
      etag: object.etag,
      "x-amz-version-id": object.versionId,
      "accept-ranges": "bytes",
      "content-type": "application/octet-stream",
      server: "AmazonS3",
      ...part,
    },
    body: range === undefined ? object.body : object.body.subarray(range.from, range.to),
  };
}

function readRange(header: string | undefined, size: number): { from: number; to: number } | undefined {
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header ?? "");
  if (match === null) return undefined;
  const from = Number(match[1]);
  const to = match[2] === "" ? size : Math.min(Number(match[2]) + 1, size);
  if (from >= size || to <= from) {
    throw new S3Refusal("InvalidRange", "The requested range is not satisfiable");
  }
  return { from, to };
}
