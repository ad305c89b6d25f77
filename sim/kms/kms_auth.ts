import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { HttpRequest } from "../tls/http_message.ts";
import type { CredentialStore, SimulatedCredentials } from "./kms_credentials.ts";
import { KmsRefusal } from "./kms_errors.ts";

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
  const authorization = parseAuthorization(request.headers.get("authorization"));
  const { accessKeyId, date, region, service, signedHeaders, signature } = authorization;
  const timestamp = checkTime(request.headers.get("x-amz-date"), date, authority.now());
  if (region !== authority.region) throw wrong("Credential should be scoped to a valid region. ");
  if (service !== SERVICE) throw wrong(`Credential should be scoped to correct service: '${SERVICE}'. `);
  checkSignedHeaders(request, signedHeaders);
  const credentials = findCredentials(request, accessKeyId, authority.credentials);
  const scope = `${date}/${region}/${service}/aws4_request`;
  const toSign = [ALGORITHM, timestamp, scope, sha256(canonicalRequest(request, signedHeaders))].join("\n");
  const expected = hmac(signingKey(credentials.secretAccessKey, date, region), toSign);
  if (!timingSafeEqual(expected, signature)) throw wrong(MISMATCH);
}

const ALGORITHM = "AWS4-HMAC-SHA256";
const SERVICE = "kms";
const MAX_SKEW_MS = 5 * 60_000;
const MISMATCH = "The request signature we calculated does not match the signature you provided. " +
  "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

/** Headers that must be signed when they are present. `host` must be present. */
const ALWAYS_SIGNED = ["x-amz-date", "x-amz-target", "x-amz-security-token"];

interface Authorization {
  readonly accessKeyId: string;
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  readonly signature: Uint8Array;
}

const AUTHORIZATION = new RegExp(
  `^${ALGORITHM} +Credential=([^/,\\s]+)/(\\d{8})/([a-z0-9-]+)/([a-z0-9]+)/aws4_request, *` +
    "SignedHeaders=([a-z0-9;-]+), *Signature=([0-9a-f]{64})$",
);

function parseAuthorization(header: string | undefined): Authorization {
  if (header === undefined || header === "") throw new KmsRefusal("MissingAuthenticationTokenException");
  const match = AUTHORIZATION.exec(header);
  if (match === null) {
    throw new KmsRefusal("IncompleteSignatureException", "Authorization header is not a complete signature.");
  }
  const [, accessKeyId = "", date = "", region = "", service = "", names = "", hex = ""] = match;
  const signature = Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  return { accessKeyId, date, region, service, signedHeaders: names.split(";"), signature };
}

function checkTime(timestamp: string | undefined, scopeDate: string, now: number): string {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp ?? "");
  if (match === null || timestamp === undefined) {
    throw new KmsRefusal(
      "IncompleteSignatureException",
      "Authorization header requires existence of 'X-Amz-Date'.",
    );
  }
  if (!timestamp.startsWith(scopeDate)) {
    throw wrong("Date in Credential scope does not match YYYYMMDD from X-Amz-Date.");
  }
  const [, year, month, day, hour, minute, second] = match;
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  const [earliest, latest] = [now - MAX_SKEW_MS, now + MAX_SKEW_MS];
  if (signedAt < earliest) {
    const limit = `${amzDate(earliest)} (${amzDate(now)} - 5 min.)`;
    throw wrong(`Signature expired: ${timestamp} is now earlier than ${limit}`);
  }
  if (!(signedAt <= latest)) {
    const limit = `${amzDate(latest)} (${amzDate(now)} + 5 min.)`;
    throw wrong(`Signature not yet current: ${timestamp} is still later than ${limit}`);
  }
  return timestamp;
}

/** Formats a time as SigV4 does: `20260101T000000Z`. */
function amzDate(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d{3}/g, "");
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

/** Makes the canonical request. The path is `/` and there is no query: KMS has no other. */
function canonicalRequest({ method, headers, body }: HttpRequest, signedHeaders: readonly string[]): string {
  const lines = signedHeaders.map((name) =>
    `${name}:${(headers.get(name) ?? "").trim().replace(/ +/g, " ")}\n`
  );
  return [method, "/", "", lines.join(""), signedHeaders.join(";"), sha256(body)].join("\n");
}

function signingKey(secretAccessKey: string, date: string, region: string): Uint8Array {
  const start = new TextEncoder().encode(`AWS4${secretAccessKey}`);
  return [date, region, SERVICE, "aws4_request"].reduce<Uint8Array>((key, part) => hmac(key, part), start);
}

function hmac(key: Uint8Array, data: string): Uint8Array {
  return createHmac("sha256", key).update(data).digest();
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function wrong(message: string): KmsRefusal {
  return new KmsRefusal("InvalidSignatureException", message);
}
