import { checkRegion } from "../../lib/aws/region.ts";
import { ArtefactError, type ArtefactReason } from "./artefact_error.ts";

/** Longest error answer that is read, in bytes. */
export const MAX_S3_ERROR_BYTES = 16_384;

/** Parts of an error answer of S3 that are used. */
export interface S3ErrorParts {
  /** Code, such as `NoSuchKey`: letters and digits, at most 64. */
  readonly code: string;
  /** Region that S3 names. */
  readonly region: string | undefined;
  /** S3's time, milliseconds since 1970. */
  readonly serverTime: number | undefined;
}

/** Answer of S3 that is no object. */
export interface S3Refusal {
  /** HTTP status. */
  readonly status: number;
  /** Header `x-amz-request-id`, if it has the form of one. */
  readonly requestId: string | undefined;
  /** Header `x-amz-bucket-region`. */
  readonly bucketRegion: string | undefined;
  /** Body; undefined when it is none of S3's. */
  readonly parts: S3ErrorParts | undefined;
}

const DOCUMENT =
  /^\s*(?:<\?xml version="1\.0"(?: encoding="[Uu][Tt][Ff]-8")?\s*\?>\s*)?<Error>([^]*)<\/Error>\s*$/;
const ELEMENT = /\s*<([A-Za-z]{1,64})>([^<>]*)<\/\1>\s*|\s*<[A-Za-z]{1,64}\/>\s*/y;

/**
 * Reads the XML of an error answer: one element `Error` that holds elements with text, and nothing else of XML.
 *
 * @param body At most {@link MAX_S3_ERROR_BYTES} bytes
 * @returns The parts that are used; undefined when it is anything else, or has a part twice
 */
export function parseS3Error(body: Uint8Array): S3ErrorParts | undefined {
  if (body.length > MAX_S3_ERROR_BYTES) return undefined;
  const text = decode(body);
  const inner = DOCUMENT.exec(text ?? "")?.[1];
  const elements = inner === undefined ? undefined : readElements(inner);
  const code = elements?.get("Code");
  if (elements === undefined || code === undefined || !/^[A-Za-z0-9.]{1,64}$/.test(code)) return undefined;
  return {
    code,
    region: regionOf(elements.get("Region")),
    serverTime: timeOf(elements.get("ServerTime")),
  };
}

/**
 * Makes the error of a refusal, with its likeliest cause.
 *
 * @param refusal S3's answer
 * @param asked Artefact, in the words of messages, and the region that was asked
 * @param now This machine's time, milliseconds since 1970
 */
export function refusalError(
  refusal: S3Refusal,
  asked: { readonly name: string; readonly region: string },
  now: number = Date.now(),
): ArtefactError {
  const { status, parts, requestId } = refusal;
  const s3Code = parts?.code;
  const { reason, hint } = explain(refusal, asked.region, now);
  const word = s3Code === undefined ? `status ${status}` : `${s3Code} (${status})`;
  const retryable = reason === "unavailable";
  const details = { reason, hint, s3Code, httpStatus: status, requestId, retryable };
  return new ArtefactError(`Cannot read artefact ${asked.name}: S3 answered ${word}`, details);
}

const RETRYABLE_CODES = ["SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling"];

const CREDENTIAL_CODES = [
  "ExpiredToken",
  "InvalidAccessKeyId",
  "InvalidToken",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired",
];

function explain(refusal: S3Refusal, asked: string, now: number): { reason: ArtefactReason; hint: string } {
  const { status, parts } = refusal;
  const code = parts?.code ?? "";
  const region = refusal.bucketRegion ?? parts?.region;
  if (region !== undefined && region !== asked && (status < 400 || status === 400)) {
    return { reason: "region", hint: `The bucket is in ${region}, and ${asked} was asked: set the region` };
  }
  if (RETRYABLE_CODES.includes(code) || status >= 500 || status === 429 || status === 408) {
    return { reason: "unavailable", hint: "S3 throttles or fails: try again later, or raise timeoutMs" };
  }
  if (code === "RequestTimeTooSkewed") return { reason: "clock", hint: skewHint(parts?.serverTime, now) };
  if (CREDENTIAL_CODES.includes(code)) {
    return {
      reason: "credentials",
      hint: "Are the credentials those of the instance's role, and still valid?",
    };
  }
  if (status === 403) return { reason: "denied", hint: DENIED };
  if (status === 404) return { reason: "missing", hint: MISSING[code] ?? "Does the endpoint lead to S3?" };
  if (status < 400) {
    return {
      reason: "redirect",
      hint: "Redirects are not followed: is the region right, and is it S3 that answers?",
    };
  }
  return { reason: "refused", hint: "Look S3's code up in its list of error responses" };
}

const DENIED =
  "Without s3:ListBucket S3 says 403 of a missing key, too: is the key right, may the role s3:GetObject " +
  "it (s3:GetObjectVersion for a version), and kms:Decrypt if the bucket is encrypted with SSE-KMS?";

const MISSING: Readonly<Record<string, string>> = {
  NoSuchKey: "There is no such object in the bucket: is the key right, letter for letter?",
  NoSuchBucket: "There is no such bucket: is its name right, and does the endpoint lead to S3?",
  NoSuchVersion: "The object has no such version: was it deleted, or is versioning off?",
};

function skewHint(serverTime: number | undefined, now: number): string {
  if (serverTime === undefined) return "Set this machine's clock: it is over 15 minutes from S3's";
  const minutes = Math.round(Math.abs(now - serverTime) / 60_000);
  return `Set this machine's clock: it is ${minutes} minutes ${
    now < serverTime ? "behind" : "ahead of"
  } S3's`;
}

function decode(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return undefined;
  }
}

function readElements(inner: string): ReadonlyMap<string, string> | undefined {
  const found = new Map<string, string>();
  const reader = new RegExp(ELEMENT);
  while (reader.lastIndex < inner.length) {
    const match = reader.exec(inner);
    if (match === null) return undefined;
    const [, name, text = ""] = match;
    if (name === undefined) continue;
    if (found.has(name)) return undefined;
    found.set(name, text);
  }
  return found;
}

/**
 * Takes a region by its form.
 *
 * @param text Text of others
 * @returns The region; undefined when it is none
 */
export function regionOf(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : checkRegion(text);
  } catch {
    return undefined;
  }
}

function timeOf(text: string | undefined): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/.test(text ?? "")) return undefined;
  const time = Date.parse(text ?? "");
  return Number.isNaN(time) ? undefined : time;
}
