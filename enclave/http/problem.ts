import { AttestationError, EnclaveKmsError, type ErrorCode, KmsError } from "../../lib/core/errors.ts";
import type { Outcome } from "../telemetry/metrics.ts";
import type { FieldProblem, Problem } from "../../lib/wire/problem.ts";
import { BadRequestError } from "../service_errors.ts";

export { type Problem, PROBLEM_TYPE } from "../../lib/wire/problem.ts";

/** Statuses that the server itself answers with, in words. */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** HTTP status for each of our codes. Unlisted codes map to 500. */
const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_BAD_REQUEST: 400,
  ERR_TOKEN: 401,
  ERR_POLICY_DENIED: 403,
  ERR_CREDENTIALS_OLDER: 409,
  ERR_OVERLOADED: 503,
  ERR_CLOCK: 503,
  // The status of the log only, as nginx has it.
  ERR_CALLER_GONE: 499,
  ERR_CREDENTIALS: 503,
  ERR_LIBRARY_LOAD: 503,
  ERR_ATTESTATION_UNAVAILABLE: 503,
  ERR_ATTESTATION_REFUSED: 503,
  ERR_ATTESTATION_ANSWER: 503,
  ERR_ATTESTATION_BUSY: 503,
  ERR_DISPOSED: 503,
  ERR_TIMEOUT: 504,
  ERR_CONNECTION: 502,
  ERR_CERTIFICATE: 502,
  ERR_PROTOCOL: 502,
  ERR_SDK_KMS_DECRYPT: 502,
  ERR_SDK_KMS_REQUEST: 502,
  ERR_UNSUPPORTED_OPERATION: 501,
};

/** HTTP status for each exception of KMS: 4xx where the caller can change it. Unlisted exceptions map to 502. */
const KMS_STATUSES: Readonly<Record<string, number>> = {
  InvalidCiphertextException: 400,
  IncorrectKeyException: 400,
  InvalidKeyUsageException: 400,
  InvalidArnException: 400,
  ValidationException: 400,
  KMSInvalidMacException: 422,
  KMSInvalidSignatureException: 422,
  NotFoundException: 404,
  DisabledException: 409,
  KMSInvalidStateException: 409,
  AccessDeniedException: 403,
  ThrottlingException: 503,
  LimitExceededException: 503,
  KeyUnavailableException: 503,
};

/**
 * Chooses the HTTP status for a failure.
 *
 * @param failure Thrown error
 */
export function statusOf(failure: unknown): number {
  if (failure instanceof KmsError) return KMS_STATUSES[failure.kmsCode] ?? 502;
  if (failure instanceof AttestationError) return 503;
  if (failure instanceof EnclaveKmsError) return STATUSES[failure.code] ?? 500;
  return 500;
}

/**
 * Chooses the code that the caller gets for a failure.
 *
 * @param failure Thrown error
 */
export function codeOf(failure: unknown): string {
  return failure instanceof EnclaveKmsError ? failure.code : "ERR_INTERNAL";
}

/**
 * Makes a problem document.
 *
 * @param status HTTP status
 * @param code One of our codes
 * @param id Id of the request
 * @param errors The parts of the request that are wrong in form
 */
export function problem(status: number, code: string, id: string, errors?: readonly FieldProblem[]): Problem {
  const title = TITLES[status] ?? "Error";
  const base = { type: "about:blank", title, status, code, instance: `urn:uuid:${id}` };
  return errors === undefined ? base : { ...base, errors };
}

/**
 * Makes the problem document of a failure.
 *
 * @param failure Thrown error
 * @param id Id of the request
 */
export function problemOf(failure: unknown, id: string): Problem {
  const errors = failure instanceof BadRequestError ? failure.problems : undefined;
  return problem(statusOf(failure), codeOf(failure), id, errors);
}

/** Codes that ask the caller to come again. */
const BUSY: readonly string[] = ["ERR_OVERLOADED", "ERR_ATTESTATION_BUSY", "ERR_CLOCK"];

/**
 * Names the outcome of a request that failed, for log and metrics.
 *
 * @param failure Thrown error
 */
export function outcomeOf(failure: unknown): Outcome {
  const code = codeOf(failure);
  if (code === "ERR_POLICY_DENIED") return "denied";
  if (BUSY.includes(code)) return "busy";
  if (code === "ERR_CALLER_GONE") return "gone";
  const status = statusOf(failure);
  if (status === 504) return "timeout";
  return status >= 500 ? "failed" : "refused";
}
