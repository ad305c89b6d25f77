import type { LoggedCredentials } from "../../lib/aws/logged_credentials.ts";

/**
 * Reason for a push: the start, credentials that expire, another boot of the enclave, an enclave that has lost its
 * credentials or whose credentials KMS refused, or a call of `pushNow()`.
 */
export type PushReason = "start" | "expiring" | "restart" | "lost" | "asked";

/** Part that failed: the source of credentials, sending them, or watching the enclave. */
export type FailedPart = "source" | "send" | "watch";

/** Failure, without any secret. */
export interface PushFailure {
  /** Part that failed. */
  readonly part: FailedPart;
  /** Stable code; undefined when the error is none of this library's. */
  readonly code: string | undefined;
  /** Message; of an error that is none of this library's, its name alone. */
  readonly message: string;
  /** Likeliest cause, where it is known. */
  readonly hint: string | undefined;
  /** Time, in milliseconds since 1970. */
  readonly atMs: number;
}

/** State of the enclave as it was seen last. `unknown` before the first look, and without `watch`. */
export type EnclaveSightState = "unknown" | "ready" | "unready" | "unreachable";

/** Event of a {@link CredentialPusher}, for a log. It holds no secret, and of a key id the ends alone. */
export type PushEvent =
  /** The enclave took credentials. `isKept` tells that the source failed and older ones were sent. */
  | {
    readonly type: "pushed";
    readonly reason: PushReason;
    readonly credentials: LoggedCredentials;
    readonly isKept: boolean;
  }
  /** The source gave the same credentials again, though they will expire: it is asked again later. */
  | { readonly type: "unchanged"; readonly credentials: LoggedCredentials; readonly retryInMs: number }
  /** Something failed; `retryInMs` later it is tried again. */
  | { readonly type: "failed"; readonly failure: PushFailure; readonly retryInMs: number }
  /** The credentials expired, by this machine's clock. They stay in use, and AWS decides. */
  | { readonly type: "expired"; readonly credentials: LoggedCredentials }
  /** The enclave became ready, unready (`missing` names the parts) or unreachable. */
  | {
    readonly type: "enclave";
    readonly state: EnclaveSightState;
    readonly missing: readonly string[];
  };

/** Numbers of things that happened since the start. */
export interface PushCounts {
  /** Credentials that the enclave took. */
  readonly pushed: number;
  /** Answers of the source that were the same again. */
  readonly unchanged: number;
  /** Failures of the source. */
  readonly sourceFailed: number;
  /** Failures of sending. */
  readonly sendFailed: number;
  /** Times that the enclave could not be looked at any more. */
  readonly watchFailed: number;
  /** Other boots of the enclave that were seen. */
  readonly restarts: number;
}

/** State of a {@link CredentialPusher}. Times are in milliseconds since 1970. */
export interface PushState {
  /** Number of different credentials that the source gave, from 1; 0 before the first. */
  readonly generation: number;
  /** Last credentials that the source gave. */
  readonly credentials: LoggedCredentials | undefined;
  /** Expiration of those, where it is known. */
  readonly expiresAtMs: number | undefined;
  /** Whether the enclave took those, and was not seen without credentials or in another boot since. */
  readonly isDelivered: boolean;
  /** Time of the last push that the enclave took. */
  readonly pushedAtMs: number | undefined;
  /** Last failure, also when all has gone well since: compare the times. */
  readonly failure: PushFailure | undefined;
  /** The enclave as it was seen last. */
  readonly enclave: EnclaveSightState;
  /** Numbers of things that happened. */
  readonly counts: PushCounts;
}
