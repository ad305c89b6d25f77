import { hash } from "node:crypto";
import type { OwnedCredentials } from "./credentials.ts";
import { encodeHex } from "../core/encoding.ts";
import { DisposedError } from "../core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../core/secret_bytes.ts";
import { hmac } from "../native/hmac.ts";

/** Media type of every request to KMS. */
export const KMS_CONTENT_TYPE = "application/x-amz-json-1.1";

/** Request to sign: `POST /` on KMS. */
export interface SignableRequest {
  /** Value of the Host header. */
  readonly hostName: string;
  /** Name of the operation, such as `Decrypt`. */
  readonly operation: string;
  /** Body of any length. */
  readonly body: Uint8Array;
}

/**
 * Signer of requests to KMS with AWS Signature Version 4.
 *
 * The secret access key stays bytes, and so do the keys that HMAC derives from it, in OpenSSL where there is one. The
 * signing key of the day is kept between requests and wiped when the day or the credentials change; SigV4 makes it
 * useless for any other day, region or service.
 *
 * Not guaranteed: the session token becomes a JavaScript string, since it travels in an HTTP header.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export class SigV4Signer implements Disposable {
  readonly #region: string;
  #cached: { readonly name: string; readonly key: SecretBytes } | undefined;
  #disposed = false;

  /**
   * Starts without a key.
   *
   * @param region Region that the signatures are valid for, already checked
   */
  constructor(region: string) {
    this.#region = region;
  }

  /**
   * Signs a request.
   *
   * @param request The request
   * @param credentials Credentials that sign it
   * @param date Time of signing; KMS refuses one that is off by more than five minutes
   * @returns All headers to send, the signature among them, with names in lowercase
   * @throws {DisposedError} After dispose
   */
  sign(request: SignableRequest, credentials: OwnedCredentials, date: Date): Record<string, string> {
    if (this.#disposed) throw new DisposedError("SigV4Signer");
    const time = date.toISOString().replace(/[-:]|\.\d{3}/g, "");
    const headers = signedHeaders(request, credentials, time);
    const names = Object.keys(headers).join(";");
    const scope = `${time.slice(0, 8)}/${this.#region}/kms/aws4_request`;
    const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${
      sha256(canonicalRequest(headers, names, request.body))
    }`;
    const signature = encodeHex(hmac("sha256", this.#signingKey(credentials, scope), encode(text)));
    headers["authorization"] = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, ` +
      `SignedHeaders=${names}, Signature=${signature}`;
    return headers;
  }

  /** Wipes the signing key. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#forget();
  }

  // The digest stands in for the secret, so that no second copy of it is kept to compare with.
  #signingKey(credentials: OwnedCredentials, scope: string): Uint8Array<ArrayBuffer> {
    const name = `${scope} ${sha256(credentials.secretAccessKey.bytes)}`;
    if (this.#cached?.name !== name) {
      this.#forget();
      this.#cached = { name, key: deriveKey(credentials.secretAccessKey.bytes, scope) };
    }
    return this.#cached.key.bytes;
  }

  #forget(): void {
    this.#cached?.key[Symbol.dispose]();
    this.#cached = undefined;
  }
}

/**
 * Makes the headers of an unsigned request.
 *
 * @param request The request
 * @returns The headers, with names in lowercase
 */
export function unsignedHeaders(
  { hostName, operation }: Omit<SignableRequest, "body">,
): Record<string, string> {
  return { "content-type": KMS_CONTENT_TYPE, "host": hostName, "x-amz-target": `TrentService.${operation}` };
}

// In the order of their names, as the canonical request wants them.
function signedHeaders(
  { hostName, operation }: SignableRequest,
  { sessionToken }: OwnedCredentials,
  time: string,
): Record<string, string> {
  return {
    "content-type": KMS_CONTENT_TYPE,
    "host": hostName,
    "x-amz-date": time,
    ...(sessionToken === undefined ? {} : { "x-amz-security-token": asciiText(sessionToken.bytes) }),
    "x-amz-target": `TrentService.${operation}`,
  };
}

function canonicalRequest(headers: Record<string, string>, names: string, body: Uint8Array): string {
  let lines = "";
  for (const name of Object.keys(headers)) lines += `${name}:${headers[name]}\n`;
  return `POST\n/\n\n${lines}\n${names}\n${sha256(body)}`;
}

function deriveKey(secret: Uint8Array, scope: string): SecretBytes {
  let key = allocateOffHeap(4 + secret.length);
  key.set([0x41, 0x57, 0x53, 0x34]); // AWS4
  key.set(secret, 4);
  for (const part of scope.split("/")) {
    const previous = key;
    try {
      key = hmac("sha256", previous, encode(part));
    } finally {
      previous.fill(0);
    }
  }
  return new SecretBytes(key);
}

/** Hashes in one step: a `Hash` object keeps its last block, which could be the secret access key. */
function sha256(data: string | Uint8Array): string {
  return hash("sha256", data, "hex");
}

const encoder = new TextEncoder();

function encode(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

function asciiText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
