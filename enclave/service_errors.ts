import { EnclaveKmsError } from "../lib/core/errors.ts";
import type { FieldProblem } from "../lib/wire/problem.ts";

/** Error for a request that is wrong in form: the parts, and what was expected there. It never holds what was sent. */
export class BadRequestError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_BAD_REQUEST";
  /** Parts that are wrong. */
  readonly problems: readonly FieldProblem[];

  /**
   * Makes the error.
   *
   * @param problems The parts that are wrong
   */
  constructor(problems: readonly FieldProblem[]) {
    super("Cannot read the request: it is wrong in form", {
      hint: "The answer names the parts that are wrong",
    });
    this.problems = problems;
  }
}

/** Error for a caller that closed the connection before there was an answer: the request is broken off. */
export class CallerGoneError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CALLER_GONE";

  /** Makes the error. */
  constructor() {
    super("Cannot answer the request: the caller is gone", {
      hint: "Is the caller less patient than requestTimeoutMs, or did it restart?",
    });
  }
}

/** Error for credentials that expire before those in force, which stay in force. */
export class CredentialsOlderError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CREDENTIALS_OLDER";

  /** Makes the error. */
  constructor() {
    super("Cannot set the credentials: they expire before those in force", {
      hint: "Do two processes on the parent send credentials, or did this request arrive late? " +
        "Send them with `force: true` to set them all the same",
    });
  }
}

/** Error for more requests than the server takes at once. */
export class OverloadedError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_OVERLOADED";

  /** Makes the error. */
  constructor() {
    super("Cannot take the request: too many wait already", {
      hint: "Is KMS slow, or is maxConcurrent too low for the load? The caller may try again",
    });
  }
}
