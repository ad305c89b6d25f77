import { timingSafeEqual } from "node:crypto";
import type { HttpRequest } from "../tls/http_message.ts";
import type { CredentialStore, SimulatedCredentials } from "./kms_credentials.ts";
import { KmsRefusal } from "./kms_errors.ts";
import {
  amzDate,
  type Authorization,
  expectedSignature,
  parseAuthorization,
  readAmzDate,
  sha256Hex,
} from "../sigv4.ts";

/** Region, credentials and clock that a signature is checked against. */
export interface Authority {
  /** The credentials that are accepted. */
  readonly credentials: CredentialStore;
  /** The region of the endpoint. */
  readonly region: string;
  /** Reads the clock, milliseconds since 1970. */
  now(): number;
}

/**
 * Verifies AWS Signature Version 4 as AWS does.
 *
 * @param request With all headers as received
 * @param authority Credentials, region and clock
 * @throws {KmsRefusal} `MissingAuthenticationTokenException`, `IncompleteSignatureException`,
 *   `UnrecognizedClientException`, `ExpiredTokenException` or `InvalidSignatureException`
 */
export function authenticate(request: HttpRequest, authority: Authority): void {
  const authorization = readAuthorization(request.headers.get("authorization"));
  const { accessKeyId, date, region, service, signedHeaders, signature } = authorization;
  checkTime(request.headers.get("x-amz-date"), date, authority.now());
  if (region !== authority.region) throw wrong("Credential should be scoped to a valid region. ");
  if (service !== SERVICE) throw wrong(`Credential should be scoped to correct service: '${SERVICE}'. `);
  checkSignedHeaders(request, signedHeaders);
  const credentials = findCredentials(request, accessKeyId, authority.credentials);
  const { method, headers, body } = request;
  // KMS has no other path, and no query.
  const parts = { method, path: "/", query: "", headers, payloadHash: sha256Hex(body) };
  const expected = expectedSignature(parts, authorization, credentials.secretAccessKey);
  if (!timingSafeEqual(expected, signature)) throw wrong(MISMATCH);
}

const SERVICE = "kms";
const MAX_SKEW_MS = 5 * 60_000;
const MISMATCH = "The request signature we calculated does not match the signature you provided. " +
  "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

/** Headers that must be signed when they are present. `host` must be present. */
const ALWAYS_SIGNED = ["x-amz-date", "x-amz-target", "x-amz-security-token"];

function readAuthorization(header: string | undefined): Authorization {
  if (header === undefined || header === "") throw new KmsRefusal("MissingAuthenticationTokenException");
  const authorization = parseAuthorization(header);
  if (authorization !== undefined) return authorization;
  throw new KmsRefusal("IncompleteSignatureException", "Authorization header is not a complete signature.");
}

function checkTime(timestamp: string | undefined, scopeDate: string, now: number): void {
  const signedAt = readAmzDate(timestamp);
  if (signedAt === undefined || timestamp === undefined) {
    throw new KmsRefusal(
      "IncompleteSignatureException",
      "Authorization header requires existence of 'X-Amz-Date'.",
    );
  }
  if (!timestamp.startsWith(scopeDate)) {
    throw wrong("Date in Credential scope does not match YYYYMMDD from X-Amz-Date.");
  }
  const [earliest, latest] = [now - MAX_SKEW_MS, now + MAX_SKEW_MS];
  if (signedAt < earliest) {
    const limit = `${amzDate(earliest)} (${amzDate(now)} - 5 min.)`;
    throw wrong(`Signature expired: ${timestamp} is now earlier than ${limit}`);
  }
  if (!(signedAt <= latest)) {
    const limit = `${amzDate(latest)} (${amzDate(now)} + 5 min.)`;
    throw wrong(`Signature not yet current: ${timestamp} is still later than ${limit}`);
  }
}

function checkSignedHeaders({ headers }: HttpRequest, signedHeaders: readonly string[]): void {
  const required = ["host", ...ALWAYS_SIGNED.filter((name) => headers.has(name))];
  const missing = required.find((name) => !signedHeaders.includes(name)) ??
    signedHeaders.find((name) => !headers.has(name));
  if (missing !== undefined) throw wrong(`'${missing}' must be a signed header that is present.`);
  if (signedHeaders.join() !== [...new Set(signedHeaders)].sort().join()) throw wrong(MISMATCH);
}

function findCredentials(
  { headers }: HttpRequest,
  accessKeyId: string,
  store: CredentialStore,
): SimulatedCredentials {
  const found = store.find(accessKeyId);
  if (found === undefined || headers.get("x-amz-security-token") !== found.credentials.sessionToken) {
    throw new KmsRefusal("UnrecognizedClientException");
  }
  if (found.expired) throw new KmsRefusal("ExpiredTokenException");
  return found.credentials;
}

function wrong(message: string): KmsRefusal {
  return new KmsRefusal("InvalidSignatureException", message);
}
