/**
 * Parts of AWS Signature Version 4 that the simulated services share: the header, the time, and the signature that the
 * right secret makes. Each service words its refusals itself.
 *
 * @module
 */
import { createHash, createHmac, createSecretKey, type KeyObject } from "node:crypto";

/** Name of the only algorithm. */
export const ALGORITHM = "AWS4-HMAC-SHA256";

/** Parts of an `authorization` header. */
export interface Authorization {
  /** Access key id, such as `ASIA…`. */
  readonly accessKeyId: string;
  /** Day of the scope, such as `20260101`. */
  readonly date: string;
  /** Region of the scope. */
  readonly region: string;
  /** Service of the scope, such as `kms`. */
  readonly service: string;
  /** Names of the signed headers, as they came. */
  readonly signedHeaders: readonly string[];
  /** Signature, 32 bytes. */
  readonly signature: Uint8Array;
}

const AUTHORIZATION = new RegExp(
  `^${ALGORITHM} +Credential=([^/,\\s]+)/(\\d{8})/([a-z0-9-]+)/([a-z0-9]+)/aws4_request, *` +
    "SignedHeaders=([a-z0-9;-]+), *Signature=([0-9a-f]{64})$",
);

/**
 * Reads an `authorization` header.
 *
 * @param header Value of the header
 * @returns Its parts; undefined when it is not of this form
 */
export function parseAuthorization(header: string): Authorization | undefined {
  const match = AUTHORIZATION.exec(header);
  if (match === null) return undefined;
  const [, accessKeyId = "", date = "", region = "", service = "", names = "", hex = ""] = match;
  const signature = Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  return { accessKeyId, date, region, service, signedHeaders: names.split(";"), signature };
}

/**
 * Reads a time as SigV4 writes it: `20260101T000000Z`.
 *
 * @param timestamp Value of `x-amz-date`
 * @returns Milliseconds since 1970; undefined when it is not of this form
 */
export function readAmzDate(timestamp: string | undefined): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp ?? "");
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/** Formats a time as SigV4 does: `20260101T000000Z`. */
export function amzDate(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

/** Parts of a request that its signature covers. */
export interface SignedParts {
  /** Method, such as `GET`. */
  readonly method: string;
  /** Path in its canonical form. */
  readonly path: string;
  /** Query in its canonical form. */
  readonly query: string;
  /** Headers by name in lowercase. */
  readonly headers: ReadonlyMap<string, string>;
  /** Last line of the canonical request: SHA-256 of the body in hex, or a word in its place. */
  readonly payloadHash: string;
}

/**
 * Makes the signature that the right secret would.
 *
 * @param parts Parts of the request
 * @param authorization Scope and signed headers, as the request names them
 * @param secretAccessKey Secret of that access key id
 * @returns 32 bytes
 */
export function expectedSignature(
  { method, path, query, headers, payloadHash }: SignedParts,
  { date, region, service, signedHeaders }: Authorization,
  secretAccessKey: string,
): Uint8Array {
  const lines = signedHeaders.map((name) =>
    `${name}:${(headers.get(name) ?? "").trim().replace(/ +/g, " ")}\n`
  );
  const canonical = [method, path, query, lines.join(""), signedHeaders.join(";"), payloadHash].join("\n");
  const scope = [date, region, service, "aws4_request"];
  const toSign = [ALGORITHM, headers.get("x-amz-date"), scope.join("/"), sha256Hex(canonical)].join("\n");
  return hmac(signingKey(secretAccessKey, scope), toSign);
}

const MAX_SIGNING_KEYS = 64;
/** Signing keys of the scopes asked for last: one request's is the next one's. */
const signingKeys = new Map<string, KeyObject>();

function signingKey(secretAccessKey: string, scope: readonly string[]): KeyObject {
  const name = JSON.stringify([secretAccessKey, ...scope]);
  const known = signingKeys.get(name);
  if (known !== undefined) return known;
  const start: Uint8Array = new TextEncoder().encode(`AWS4${secretAccessKey}`);
  const key = createSecretKey(scope.reduce(hmac, start));
  if (signingKeys.size >= MAX_SIGNING_KEYS) signingKeys.clear();
  signingKeys.set(name, key);
  return key;
}

/** Hashes in hex. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: Uint8Array | KeyObject, data: string): Uint8Array {
  return createHmac("sha256", key).update(data).digest();
}
