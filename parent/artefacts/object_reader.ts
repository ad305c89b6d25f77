import type { AwsV4Signer } from "aws4fetch";
import type { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { concatBytes } from "../../lib/core/bytes.ts";
import { ProtocolError } from "../../lib/core/errors.ts";
import { ArtefactError } from "./artefact_error.ts";
import { type RequestWay, sendSingleRequest, type SingleAnswer } from "../single_request.ts";
import { MAX_S3_ERROR_BYTES, parseS3Error, refusalError, regionOf } from "./s3_refusal.ts";

/** Object to read, and how. */
export interface ObjectRequest extends RequestWay {
  /** Name in messages. */
  readonly name: string;
  /** URL of the object. */
  readonly url: URL;
  /** Region of the bucket. */
  readonly region: string;
  /** Version that the answer must name; undefined for the newest. */
  readonly versionId: string | undefined;
  /** Most bytes that are read. */
  readonly maxBytes: number;
}

/** Class of aws4fetch that signs. */
export type Signer = typeof AwsV4Signer;

/**
 * Reader of one object in as many tries as it takes. What has arrived is kept, and the next try asks for the rest of the
 * very same version, by its entity tag: bytes of two versions are never put together.
 */
export class ObjectReader {
  readonly #request: ObjectRequest;
  readonly #signer: Signer;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #etag: string | undefined;

  /**
   * Makes a reader that has nothing yet.
   *
   * @param request Object and limits
   * @param signer Class of aws4fetch
   */
  constructor(request: ObjectRequest, signer: Signer) {
    this.#request = request;
    this.#signer = signer;
  }

  /**
   * Makes one try.
   *
   * @param credentials Credentials that sign it
   * @param signal Ends it
   * @returns The object, whole
   * @throws {ArtefactError} When S3 refuses, or the object is too large or was replaced
   * @throws {ConnectionError | CertificateError | ProtocolError} When the connection or the answer is at fault
   */
  async read(credentials: OwnedCredentials, signal: AbortSignal): Promise<Uint8Array> {
    const conditions = this.#conditions();
    const headers = await this.#sign(conditions, credentials);
    const { url } = this.#request;
    using answer = await sendSingleRequest({ url, method: "GET", headers }, this.#request, signal);
    if (answer.status === 206 && conditions !== undefined) this.#checkPart(answer);
    else if (answer.status === 200) this.#begin(answer);
    else throw await this.#refusal(answer, conditions !== undefined);
    this.#checkVersion(answer);
    await this.#receive(answer);
    return concatBytes(this.#chunks);
  }

  /** Makes the headers that ask for the rest of what has arrived. */
  #conditions(): Readonly<Record<string, string>> | undefined {
    if (this.#length === 0 || this.#etag === undefined) return undefined;
    return { range: `bytes=${this.#length}-`, "if-match": this.#etag };
  }

  async #sign(
    conditions: Readonly<Record<string, string>> | undefined,
    credentials: OwnedCredentials,
  ): Promise<Readonly<Record<string, string>>> {
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const signer = new this.#signer({
      url: this.#request.url.href,
      headers: { ...conditions },
      accessKeyId,
      secretAccessKey: text(secretAccessKey.bytes),
      ...(sessionToken === undefined ? {} : { sessionToken: text(sessionToken.bytes) }),
      service: "s3",
      region: this.#request.region,
    });
    const { headers } = await signer.sign();
    return Object.fromEntries(headers);
  }

  #begin(answer: SingleAnswer): void {
    this.#forget();
    const etag = answer.header("etag");
    // Only a strong tag says that the bytes are the same.
    if (/^"[\x21\x23-\x7e]{1,128}"$/.test(etag ?? "")) this.#etag = etag;
  }

  #checkPart(answer: SingleAnswer): void {
    const [, from, to, size] =
      /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(answer.header("content-range") ?? "") ?? [];
    const isRest = Number(from) === this.#length && Number(to) === Number(size) - 1;
    if (isRest && answer.header("etag") === this.#etag) return;
    this.#forget();
    throw new ProtocolError(`Cannot read artefact ${this.#request.name}: S3 answered with another part`, {
      hint: "Does something answer in S3's place?",
    });
  }

  #checkVersion(answer: SingleAnswer): void {
    const { versionId, name } = this.#request;
    if (versionId === undefined || answer.header("x-amz-version-id") === versionId) return;
    throw new ProtocolError(`Cannot read artefact ${name}: S3 answered with another version than asked`, {
      hint: "Does something answer in S3's place?",
    });
  }

  async #receive(answer: SingleAnswer): Promise<void> {
    const { maxBytes, name } = this.#request;
    const told = lengthOf(answer);
    if (this.#length + (told ?? 0) > maxBytes) throw this.#tooLarge();
    let received = 0;
    for await (const chunk of answer.body()) {
      received += chunk.length;
      this.#length += chunk.length;
      if (this.#length > maxBytes) throw this.#tooLarge();
      this.#chunks.push(chunk);
    }
    if (told !== undefined && received === told) return;
    const why = told === undefined ? "does not tell its length" : "ended early";
    if (told === undefined) this.#forget();
    throw new ProtocolError(`Cannot read artefact ${name}: S3's answer ${why}`, {
      hint: "Does something on the way cut or rewrite answers?",
    });
  }

  async #refusal(answer: SingleAnswer, isResumed: boolean): Promise<ArtefactError> {
    const { name, region } = this.#request;
    if (isResumed && [412, 416].includes(answer.status)) {
      this.#forget();
      return new ArtefactError(`Cannot read artefact ${name}: it was replaced while it was read`, {
        reason: "changed",
        retryable: true,
        httpStatus: answer.status,
        hint: "Is it written again and again? Pin a version, or its SHA-256",
      });
    }
    const requestId = answer.header("x-amz-request-id");
    return refusalError({
      status: answer.status,
      requestId: /^[A-Za-z0-9]{1,64}$/.test(requestId ?? "") ? requestId : undefined,
      bucketRegion: regionOf(answer.header("x-amz-bucket-region")),
      parts: await readErrorBody(answer),
    }, { name, region });
  }

  #tooLarge(): ArtefactError {
    const { name, maxBytes } = this.#request;
    return new ArtefactError(`Cannot read artefact ${name}: it has more than ${maxBytes} bytes`, {
      reason: "too-large",
      hint: "Is it the right object? Raise maxBytes if it is",
    });
  }

  #forget(): void {
    this.#chunks = [];
    this.#length = 0;
    this.#etag = undefined;
  }
}

function lengthOf(answer: SingleAnswer): number | undefined {
  const text = answer.header("content-length");
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : undefined;
}

async function readErrorBody(answer: SingleAnswer): Promise<ReturnType<typeof parseS3Error>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body()) {
      length += chunk.length;
      if (length > MAX_S3_ERROR_BYTES) return undefined;
      chunks.push(chunk);
    }
  } catch {
    // The status says enough.
    return undefined;
  }
  return parseS3Error(concatBytes(chunks));
}
