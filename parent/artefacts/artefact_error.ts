import { EnclaveKmsError, type ErrorDetails } from "../../lib/core/error_base.ts";

/**
 * Reason why an artefact is not to be had:
 *
 * - `missing`: no such object, version, bucket or file
 * - `denied`: S3, or this machine's file system, refuses to give it
 * - `region`: the bucket is in another region
 * - `clock`: this machine's clock is too far from S3's
 * - `credentials`: S3 does not take the credentials
 * - `too-large`: it has more bytes than `maxBytes`
 * - `digest`: it does not have the pinned SHA-256
 * - `changed`: it was replaced while it was read
 * - `redirect`: S3, or what answers in its place, sends elsewhere
 * - `unavailable`: S3 throttles or fails; tries were made until the deadline
 * - `refused`: anything else; `s3Code` has S3's word, where there is one
 */
export type ArtefactReason =
  | "missing"
  | "denied"
  | "region"
  | "clock"
  | "credentials"
  | "too-large"
  | "digest"
  | "changed"
  | "redirect"
  | "unavailable"
  | "refused";

/** Details of an artefact that is not to be had. */
export interface ArtefactErrorDetails extends ErrorDetails {
  /** See {@link ArtefactReason}. */
  readonly reason: ArtefactReason;
  /** Code in S3's answer, such as `NoSuchKey`. */
  readonly s3Code?: string | undefined;
  /** HTTP status of S3's answer. */
  readonly httpStatus?: number | undefined;
  /** Header `x-amz-request-id` of S3's answer. */
  readonly requestId?: string | undefined;
  /** Whether the same request may succeed later. Default: false. */
  readonly retryable?: boolean | undefined;
}

/** Failure to read an artefact: it is not there, not given, too large, or not the pinned one. */
export class ArtefactError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_ARTEFACT";
  /** See {@link ArtefactReason}. */
  readonly reason: ArtefactReason;
  /** Code in S3's answer, such as `NoSuchKey`. */
  readonly s3Code: string | undefined;
  /** HTTP status of S3's answer. */
  readonly httpStatus: number | undefined;
  /** Header `x-amz-request-id` of S3's answer. */
  readonly requestId: string | undefined;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;

  /**
   * Makes the error.
   *
   * @param message Failure, action first
   * @param details Reason, hint, and S3's answer
   */
  constructor(message: string, details: ArtefactErrorDetails) {
    super(message, details);
    this.reason = details.reason;
    this.s3Code = details.s3Code;
    this.httpStatus = details.httpStatus;
    this.requestId = details.requestId;
    this.retryable = details.retryable ?? false;
  }
}
