import { checkFields, checkText } from "../../lib/core/checks.ts";
import { failureOf, readBody, statusOf } from "./sdk_answer.ts";
import type { SharedKeyStore, StoreCall } from "./store.ts";

/** `S3` of `@aws-sdk/client-s3`, as far as it is used: the client with a method for each operation. */
export interface S3Like {
  /** Reads an object. */
  getObject(
    input: { readonly Bucket: string; readonly Key: string },
    options: { readonly abortSignal: AbortSignal },
  ): Promise<{ readonly Body?: unknown; readonly ContentLength?: number | undefined }>;
  /** Writes an object. */
  putObject(
    input: {
      readonly Bucket: string;
      readonly Key: string;
      readonly Body: Uint8Array;
      readonly ContentType: string;
      readonly IfNoneMatch: string;
    },
    options: { readonly abortSignal: AbortSignal },
  ): Promise<unknown>;
}

/** Place of the records in S3. */
export interface S3KeyStoreOptions {
  /** Name of the bucket. */
  readonly bucket: string;
  /** Beginning of the objects' keys, such as `enclave/keys/`. Default: none. */
  readonly prefix?: string | undefined;
}

/**
 * Makes a store of a bucket of S3, by conditional writes (`If-None-Match: *`). The role needs `s3:GetObject` and
 * `s3:PutObject` for the objects, and `s3:ListBucket` for the bucket: without it S3 answers 403 for an object that is
 * not there, which is no answer here.
 *
 * Not guaranteed: that nobody deletes or replaces an object. The role may do so unless the bucket's policy denies it;
 * docs/fleets.md has one.
 *
 * @param s3 Client `S3` of `@aws-sdk/client-s3`; not owned
 * @param options Bucket, and the beginning of the keys
 * @returns The store
 * @throws {TypeError} When the client has not these methods, or an option is unknown or of a wrong type
 * @throws {RangeError} When an option is empty or too long
 * @example
 * ```ts
 * import { S3 } from "@aws-sdk/client-s3";
 * import { s3KeyStore } from "enclave-kms/enclave";
 *
 * // In an enclave with credentialsFromParent() and vsockRequestHandler() of "enclave-kms/aws".
 * const s3 = new S3({ region: "eu-central-1" });
 * const store = s3KeyStore(s3, { bucket: "orders-keys", prefix: "shared/" });
 * typeof store.create; // "function"
 * ```
 */
export function s3KeyStore(s3: S3Like, options: S3KeyStoreOptions): SharedKeyStore {
  const given = checkFields("options of s3KeyStore", options, ["bucket", "prefix"]);
  const Bucket = checkText("bucket", given.bucket, 255);
  const prefix = given.prefix === undefined ? "" : checkText("prefix", given.prefix, 512);
  if (typeof s3?.getObject !== "function" || typeof s3.putObject !== "function") {
    throw new TypeError("s3 must be the client S3 of @aws-sdk/client-s3, with a method for each operation");
  }
  return {
    read: (name, call) => read(s3, { Bucket, Key: `${prefix}${name}` }, call),
    async create(name, bytes, { signal }) {
      const object = { Bucket, Key: `${prefix}${name}`, Body: bytes, ContentType: "application/json" };
      try {
        await s3.putObject({ ...object, IfNoneMatch: "*" }, { abortSignal: signal });
        return true;
      } catch (error) {
        // 409 is a write of another at the same time, which may still fail: it is a failure, to be tried again.
        if (statusOf(error) === 412) return false;
        throw error;
      }
    },
  };
}

async function read(
  s3: S3Like,
  object: { readonly Bucket: string; readonly Key: string },
  { signal, maxBytes }: StoreCall,
): Promise<Uint8Array | undefined> {
  try {
    const { Body } = await s3.getObject(object, { abortSignal: signal });
    return await readBody(Body, maxBytes);
  } catch (error) {
    // NoSuchBucket has the same status.
    if (failureOf(error) === "NoSuchKey") return undefined;
    throw error;
  }
}
