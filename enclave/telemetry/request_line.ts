import { createHash } from "node:crypto";
import type { LoggedCredentials } from "../../lib/aws/logged_credentials.ts";
import { EnclaveKmsError, KmsError, TimeoutError } from "../../lib/core/errors.ts";
import type { Principal } from "../../lib/policy/principal.ts";
import type { Outcome, Protocol } from "./metrics.ts";

/** Longest text of the caller's, or about it, in the log, in characters. */
const MAX_LOGGED_LENGTH = 256;

/** Failure of a request, as the log has it. */
export interface LoggedFailure {
  /** Code of an error of this package. */
  readonly code?: string | undefined;
  /** Name of KMS's exception. */
  readonly kmsCode?: string | undefined;
  /** Id that KMS gave the request. */
  readonly requestId?: string | undefined;
  /** Thing that was waited for when the time was up. */
  readonly stage?: string | undefined;
  /** Message of an error of this package but KMS's: for the log alone. */
  readonly message?: string | undefined;
  /** Hint of an error of this package: for the log alone. */
  readonly hint?: string | undefined;
  /** Name of any other error. */
  readonly name?: string | undefined;
  /** Place of any other error: for the log alone. */
  readonly at?: readonly string[] | undefined;
}

/** Caller of a request who was proved to be somebody, as the log has them. */
export interface LoggedCaller {
  /** Kind of proof: `Token`, `Certificate` or `Parent`. */
  readonly type: string;
  /** Issuer of a token. */
  readonly issuer?: string | undefined;
  /** SHA-256 of a token's subject, hex. */
  readonly subjectSha256?: string | undefined;
  /** SHA-256 of a certificate, hex. */
  readonly sha256?: string | undefined;
}

/** Line that the log has of a request. */
export interface RequestLine {
  readonly id: string;
  /** Trace that the caller named; absent when they named none. */
  readonly trace?: string | undefined;
  /** Span of the caller's in that trace. */
  readonly parentSpan?: string | undefined;
  readonly protocol: Protocol;
  readonly cid: number;
  readonly caller: LoggedCaller | undefined;
  readonly operation: string;
  readonly key: string | undefined;
  readonly ciphertextSha256: string | undefined;
  readonly credentials: LoggedCredentials | undefined;
  readonly decision: {
    readonly policy: string;
    readonly allowed: boolean;
    readonly reason: string | undefined;
    readonly determining: readonly (string | undefined)[];
  } | undefined;
  readonly outcome: Outcome;
  readonly answer: number | string;
  readonly failure: LoggedFailure | undefined;
  readonly policyMs: number | undefined;
  readonly ms: number;
}

/**
 * Describes a caller for the log, without the subject, which may be a person's address: its SHA-256 can be searched for.
 *
 * @param principal The caller
 * @returns Undefined for a caller who was not proved to be anybody
 */
export function describePrincipal(principal: Principal): LoggedCaller | undefined {
  switch (principal.type) {
    case "Caller":
      return undefined;
    case "Token": {
      const { type, issuer, subject } = principal;
      return { type, issuer: cut(issuer), subjectSha256: createHash("sha256").update(subject).digest("hex") };
    }
    case "Certificate":
    case "Parent":
      return { ...principal };
  }
}

/**
 * Describes an error for the log. Ours hold no secret. Of others only the name and the place are kept: their messages
 * may repeat their input.
 *
 * @param failure Thrown value
 */
export function describeFailure(failure: unknown): LoggedFailure {
  if (failure instanceof KmsError) {
    const { code, kmsCode, requestId, hint } = failure;
    return { code, kmsCode: cut(kmsCode), requestId: cut(requestId), hint };
  }
  if (failure instanceof EnclaveKmsError) {
    const stage = failure instanceof TimeoutError ? { stage: failure.stage } : {};
    return { code: failure.code, ...stage, message: cut(failure.message), hint: failure.hint };
  }
  if (!(failure instanceof Error)) return { name: typeof failure };
  const frames = (failure.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return { name: cut(failure.name), at: frames.slice(0, 4).map((line) => line.trim()) };
}

/**
 * Cuts a text of the caller's, or about it.
 *
 * @param text The text
 */
export function cut(text: string | undefined): string | undefined {
  if (text === undefined || text.length <= MAX_LOGGED_LENGTH) return text;
  return `${text.slice(0, MAX_LOGGED_LENGTH)}…`;
}

/**
 * Rounds to microseconds.
 *
 * @param ms Milliseconds
 */
export function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
