import { EnclaveKmsError } from "../../lib/core/errors.ts";

/** Error for a token that is not taken. Neither the message nor the hint holds any of it. */
export class TokenError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_TOKEN";

  /**
   * Makes the error.
   *
   * @param why Reason, to follow "Cannot take the token: "
   * @param hint Likeliest cause
   */
  constructor(why: string, hint: string) {
    super(`Cannot take the token: ${why}`, { hint });
  }
}

/** Error for a token or a certificate that comes before KMS has told the time, by which both are judged. */
export class ClockError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CLOCK";

  /**
   * Makes the error.
   *
   * @param judged Thing that cannot be judged
   */
  constructor(judged: "token" | "certificate") {
    super(`Cannot judge the ${judged}: KMS has not told the time yet`, {
      hint:
        "Is the proxy to KMS running on the parent, and is this clock less than a day off? /readyz has `clock`",
    });
  }
}
