import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";

/** Details of an answer that is not the enclave's. */
export interface ChannelErrorDetails extends ErrorDetails {
  /** Status of the answer in the clear, where there was one. */
  readonly status?: number | undefined;
}

/** Answer that is not sealed, or not by the enclave, to this request. Nothing in it is true but that it came. */
export class ChannelError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CHANNEL";
  /** Status of the answer in the clear, which the parent may have made up; undefined where there was none. */
  readonly status: number | undefined;

  /**
   * Makes the error.
   *
   * @param message Failure, action first
   * @param details The hint, and the status
   */
  constructor(message: string, details: ChannelErrorDetails) {
    super(message, details);
    this.status = details.status;
  }
}

/**
 * Enclave that has started anew, or another one, which has not seen the request. It is not sent there by itself: the
 * enclave before may have served it, whatever the parent says. The next request goes to the new one. The same goes for a
 * request whose date is refused when the enclave may have served it and forgotten its id.
 */
export class ChannelRenewedError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CHANNEL_RENEWED";

  /**
   * Makes the error.
   *
   * @param why Reason why it cannot be told. Default: the enclave was replaced
   */
  constructor(why = "the enclave was replaced meanwhile") {
    super(`Cannot tell whether the request was served: ${why}`, {
      hint: "Did the enclave restart? Ask again where asking twice does no harm, or set `resend` to `always`",
    });
  }
}
