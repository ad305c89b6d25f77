import { timingSafeEqual } from "node:crypto";
import type { CredentialStore } from "../kms/kms_credentials.ts";
import {
  ALGORITHM,
  type Authorization,
  expectedSignature,
  parseAuthorization,
  readAmzDate,
  sha256Hex,
} from "../sigv4.ts";
import type { HttpRequest } from "../tls/http_message.ts";
import { S3Refusal } from "./s3_errors.ts";
import type { ObjectTarget } from "./s3_target.ts";

/** Region, credentials and clock that a signature is checked against. */
export interface S3Authority {
  /** The credentials that are accepted. */
  readonly credentials: CredentialStore;
  /** The region of the endpoint. */
  readonly region: string;
  /** Reads the clock, milliseconds since 1970. */
  now(): number;
}

/** S3 takes a quarter of an hour, KMS five minutes. */
const MAX_SKEW_MS = 15 * 60_000;

const MISMATCH = "The request signature we calculated does not match the signature you provided. " +
  "Check your key and signing method.";

/**
 * Verifies AWS Signature Version 4 as S3 does: the path is encoded once, and a header tells the hash of the body.
 *
 * @param request With all headers as received
 * @param target Path and query of the request, parsed
 * @param authority Credentials, region and clock
 * @throws {S3Refusal} When the signature is missing, malformed, wrong, late, or of credentials that are not accepted
 */
export function authenticateS3(request: HttpRequest, target: ObjectTarget, authority: S3Authority): void {
  const { headers, method } = request;
  const authorization = readAuthorization(headers.get("authorization"), authority.region);
  const payloadHash = checkPayload(request);
  checkTime(headers.get("x-amz-date"), authorization, authority.now());
  checkSignedHeaders(headers, authorization.signedHeaders);
  const secret = findSecret(headers, authorization.accessKeyId, authority.credentials);
  const { canonicalPath: path, canonicalQuery: query } = target;
  const expected = expectedSignature({ method, path, query, headers, payloadHash }, authorization, secret);
  if (!timingSafeEqual(expected, authorization.signature)) {
    throw new S3Refusal("SignatureDoesNotMatch", MISMATCH, {
      elements: { AWSAccessKeyId: authorization.accessKeyId },
    });
  }
}

function readAuthorization(header: string | undefined, region: string): Authorization {
  if (header === undefined || header === "") throw new S3Refusal("AccessDenied", "Access Denied");
  if (!header.startsWith(ALGORITHM)) throw new S3Refusal("InvalidArgument", "Unsupported Authorization Type");
  const authorization = parseAuthorization(header);
  if (authorization === undefined) {
    throw new S3Refusal("AuthorizationHeaderMalformed", "The authorization header is malformed.");
  }
  if (authorization.service !== "s3") {
    const message = `The authorization header is malformed; incorrect service "${authorization.service}".`;
    throw new S3Refusal("AuthorizationHeaderMalformed", message);
  }
  if (authorization.region !== region) {
    const wrong = `the region '${authorization.region}' is wrong; expecting '${region}'`;
    throw new S3Refusal("AuthorizationHeaderMalformed", `The authorization header is malformed; ${wrong}`, {
      elements: { Region: region },
    });
  }
  return authorization;
}

function checkPayload({ headers, body }: HttpRequest): string {
  const hash = headers.get("x-amz-content-sha256");
  if (hash === undefined) {
    throw new S3Refusal("InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  }
  if (hash !== "UNSIGNED-PAYLOAD" && hash !== sha256Hex(body)) {
    throw new S3Refusal(
      "XAmzContentSHA256Mismatch",
      "The provided 'x-amz-content-sha256' header does not match.",
    );
  }
  return hash;
}

function checkTime(timestamp: string | undefined, { date }: Authorization, now: number): void {
  const signedAt = readAmzDate(timestamp);
  if (signedAt === undefined || timestamp === undefined || !timestamp.startsWith(date)) {
    throw new S3Refusal("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
  }
  if (Math.abs(signedAt - now) <= MAX_SKEW_MS) return;
  throw new S3Refusal(
    "RequestTimeTooSkewed",
    "The difference between the request time and the current time is too large.",
    {
      elements: {
        RequestTime: timestamp,
        ServerTime: new Date(now).toISOString().replace(/\.\d{3}/, ""),
        MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
      },
    },
  );
}

function checkSignedHeaders(headers: HttpRequest["headers"], signed: readonly string[]): void {
  const required = ["host", ...[...headers.keys()].filter((name) => name.startsWith("x-amz-"))];
  const missing = required.find((name) => !signed.includes(name));
  if (missing !== undefined) {
    throw new S3Refusal("AccessDenied", "There were headers present in the request which were not signed", {
      elements: { HeadersNotSigned: missing },
    });
  }
  const isSorted = signed.join() === [...new Set(signed)].sort().join();
  if (!isSorted || signed.some((name) => !headers.has(name))) {
    throw new S3Refusal("SignatureDoesNotMatch", MISMATCH);
  }
}

function findSecret(headers: HttpRequest["headers"], accessKeyId: string, store: CredentialStore): string {
  const found = store.find(accessKeyId);
  if (found === undefined) {
    throw new S3Refusal(
      "InvalidAccessKeyId",
      "The AWS Access Key Id you provided does not exist in our records.",
      { elements: { AWSAccessKeyId: accessKeyId } },
    );
  }
  if (headers.get("x-amz-security-token") !== found.credentials.sessionToken) {
    throw new S3Refusal("InvalidToken", "The provided token is malformed or otherwise invalid.");
  }
  if (found.expired) throw new S3Refusal("ExpiredToken", "The provided token has expired.");
  return found.credentials.secretAccessKey;
}
