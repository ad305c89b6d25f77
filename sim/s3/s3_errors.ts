import { randomUUID } from "node:crypto";
import type { HttpAnswer } from "../tls/http_message.ts";

/** Codes of S3's error answers that the simulator knows, with their HTTP status. */
const STATUS = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  ExpiredToken: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidToken: 400,
  InvalidURI: 400,
  MethodNotAllowed: 405,
  NoSuchBucket: 404,
  NoSuchKey: 404,
  NoSuchVersion: 404,
  PermanentRedirect: 301,
  PreconditionFailed: 412,
  RequestTimeTooSkewed: 403,
  RequestTimeout: 400,
  SignatureDoesNotMatch: 403,
  SlowDown: 503,
  TemporaryRedirect: 307,
  XAmzContentSHA256Mismatch: 400,
} as const;

/** Code of an error answer of S3, such as `NoSuchKey`. */
export type S3ErrorCode = keyof typeof STATUS;

/** A request that the simulated S3 refuses. */
export class S3Refusal extends Error {
  /** Code in the answer's XML. */
  readonly s3Code: S3ErrorCode;
  /** Elements of the XML beside code, message and ids. */
  readonly elements: Readonly<Record<string, string>>;
  /** Headers of the answer beside those of every one. */
  readonly headers: Readonly<Record<string, string>>;

  /**
   * Makes a refusal.
   *
   * @param s3Code Code in the answer's XML
   * @param message Message for people
   * @param parts More elements and headers
   */
  constructor(
    s3Code: S3ErrorCode,
    message: string = s3Code,
    parts: {
      readonly elements?: Readonly<Record<string, string>>;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message);
    this.name = "S3Refusal";
    this.s3Code = s3Code;
    this.elements = parts.elements ?? {};
    this.headers = parts.headers ?? {};
  }

  /** HTTP status that goes with the code. */
  get status(): number {
    return STATUS[this.s3Code];
  }
}

/**
 * Makes the answer of S3 to a request that it refuses.
 *
 * @param refusal The refusal
 * @param now The world's time, milliseconds since 1970
 */
export function errorAnswer(refusal: S3Refusal, now: number): HttpAnswer {
  const requestId = randomUUID().replaceAll("-", "").slice(0, 16).toUpperCase();
  const elements = {
    Code: refusal.s3Code,
    Message: refusal.message,
    ...refusal.elements,
    RequestId: requestId,
    HostId: "c2ltdWxhdGVkIFMzIGhvc3Q=",
  };
  const xml = Object.entries(elements).map(([name, text]) => `<${name}>${escapeXml(text)}</${name}>`);
  return {
    status: refusal.status,
    headers: {
      "x-amz-request-id": requestId,
      "content-type": "application/xml",
      date: new Date(now).toUTCString(),
      server: "AmazonS3",
      ...refusal.headers,
    },
    body: new TextEncoder().encode(
      `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${xml.join("")}</Error>`,
    ),
  };
}

function escapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? character);
}
