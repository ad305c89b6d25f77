import { EnclaveKmsError, type ErrorDetails } from "../../lib/core/error_base.ts";
import type { ImdsFailure } from "../../lib/core/error_code.ts";

/** Question to the metadata service. */
export type ImdsQuestion = "token" | "role" | "credentials" | "region";

/** Details of a failed question. */
export interface ImdsErrorDetails extends ErrorDetails {
  /** Question that failed. */
  readonly question: ImdsQuestion;
  /** HTTP status, where there was an answer. */
  readonly httpStatus?: number | undefined;
}

/**
 * Failure to get something from the instance's metadata service, with the likeliest cause as its hint. The code names
 * the failure; no message holds anything that the service sent but its status and its `Code`.
 */
export class ImdsError extends EnclaveKmsError {
  /** Stable code: one for each {@link ImdsFailure}. */
  readonly code: `ERR_IMDS_${ImdsFailure}`;
  /** Question that failed. */
  readonly question: ImdsQuestion;
  /** HTTP status, where there was an answer. */
  readonly httpStatus: number | undefined;

  /**
   * Names the failure.
   *
   * @param failure Kind of failure
   * @param message Failure, action first
   * @param details Question, status and hint
   */
  constructor(failure: ImdsFailure, message: string, details: ImdsErrorDetails) {
    super(message, details);
    this.code = `ERR_IMDS_${failure}`;
    this.question = details.question;
    this.httpStatus = details.httpStatus;
  }

  /** Whether the same question may succeed a moment later: the service was busy, silent, out of reach or cut off. */
  get isTransient(): boolean {
    return TRANSIENT.includes(this.code);
  }
}

const TRANSIENT: readonly string[] = [
  "ERR_IMDS_UNREACHABLE",
  "ERR_IMDS_SILENT",
  "ERR_IMDS_CUT",
  "ERR_IMDS_BUSY",
];

/** Words for a question after "Cannot get". */
const WORDS: Readonly<Record<ImdsQuestion, string>> = {
  token: "a token of the metadata service",
  role: "the instance's role",
  credentials: "the instance's credentials",
  region: "the instance's region",
};

const HINTS: Readonly<Record<ImdsFailure, string>> = {
  OFF: "Unset AWS_EC2_METADATA_DISABLED, or give other credentials",
  UNREACHABLE:
    "Is this an EC2 instance, and do its firewall and routes let this process reach 169.254.169.254? " +
    "Elsewhere, set AWS_EC2_METADATA_SERVICE_ENDPOINT or use other credentials",
  SILENT: "Is the instance overloaded?",
  CUT: "Does something stand between this process and the metadata service, such as a proxy?",
  BUSY: "Does something on this instance ask the metadata service all the time? It throttles",
  FORBIDDEN:
    "Is the metadata service switched off for this instance (HttpEndpoint), or does a proxy forward " +
    "the request with X-Forwarded-For?",
  VERSION_1:
    "Something that knows version 1 only answers there; version 1 is never used. Is it a mock or a proxy?",
  TOKEN: "Does something between this process and the metadata service drop or change the token?",
  NO_ROLE: "Attach an instance profile with a role to this instance",
  ROLE: "Was the role detached or replaced, or is the option `role` misspelt?",
  REFUSED: "May EC2 assume the role: does its trust policy name ec2.amazonaws.com, and does the role exist?",
  ANSWER: "Is what answers there the metadata service?",
};

/** Hint of silence when a token is asked for: the answer to that alone has a hop limit. */
const HOP_LIMIT =
  "In a container the answer needs two hops: raise the hop limit of the instance's metadata " +
  "options to 2 (HttpPutResponseHopLimit), or use the host's network";

/** Facts for the message of an {@link ImdsError}. */
export interface ImdsFacts {
  /** Reason, after a colon. */
  readonly reason: string;
  /** HTTP status, where there was an answer. */
  readonly httpStatus?: number | undefined;
  /** Error that this one was made from. */
  readonly cause?: unknown;
  /** Hint where there is a better one than the usual. */
  readonly hint?: string | undefined;
}

/**
 * Makes the error of a failed question.
 *
 * @param failure Kind of failure
 * @param question The question
 * @param facts Reason, status and cause
 */
export function imdsError(failure: ImdsFailure, question: ImdsQuestion, facts: ImdsFacts): ImdsError {
  const usual = failure === "SILENT" && question === "token" ? HOP_LIMIT : HINTS[failure];
  const { reason, httpStatus, cause, hint = usual } = facts;
  return new ImdsError(failure, `Cannot get ${WORDS[question]}: ${reason}`, {
    hint,
    question,
    httpStatus,
    cause,
  });
}
