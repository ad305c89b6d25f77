/**
 * Errors that this library throws on its own account, each with a stable `code` and a `hint`.
 *
 * Mistakes of the caller (a wrong type, a ciphertext that is too long) are plain `TypeError` and
 * `RangeError`; an aborted call rejects with the signal's own reason. No message, hint or property of
 * these classes ever holds a secret.
 *
 * @module
 */

import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";
import type { TimeoutStage } from "./timeout_stage.ts";

export * from "./attestation_error.ts";
export { ChannelError, type ChannelErrorDetails, ChannelRenewedError } from "./channel_error.ts";
export { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";
export type { ErrorCode } from "./error_code.ts";
export { KmstoolError } from "./kmstool_error.ts";
export * from "./secret_error.ts";
export { SharedKeyError, type SharedKeyFault } from "./shared_key_error.ts";
export { ImageError } from "./image_error.ts";
export { KeyPolicyError } from "./key_policy_error.ts";
export {
  NativeError,
  type NativeErrorDetails,
  OpensslError,
  SdkGenericError,
  SdkInitError,
  SdkKmsClientError,
  SdkKmsConfigError,
  SdkKmsDecryptError,
  SdkKmsRequestError,
  SystemCallError,
} from "./native_error.ts";
export { LaunchError, type LaunchErrorDetails } from "./launch_error.ts";
export type { TimeoutStage } from "./timeout_stage.ts";

/** Failure to load a native library or one of its symbols, or to call C at all on this runtime. */
export class LibraryLoadError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_LIBRARY_LOAD";
}

/** Answer of KMS to a request that it refused. */
export interface KmsErrorDetails extends ErrorDetails {
  /** Name of the exception on the wire, such as `AccessDeniedException`. */
  readonly kmsCode: string;
  /** Header `x-amzn-requestid`, where KMS sent one. */
  readonly requestId: string | undefined;
  /** HTTP status. */
  readonly httpStatus: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** See {@link KmsError.throttled}. Default: false. */
  readonly throttled?: boolean | undefined;
  /** See {@link KmsError.credentialsRefused}. Default: false. */
  readonly credentialsRefused?: boolean | undefined;
}

/** Refusal by KMS. */
export class KmsError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_KMS";
  /** Name of the exception on the wire, such as `AccessDeniedException`. */
  readonly kmsCode: string;
  /** Header `x-amzn-requestid`, where KMS sent one. */
  readonly requestId: string | undefined;
  /** HTTP status. */
  readonly httpStatus: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** Whether KMS throttles: the account asks for more than its quota in this region allows. */
  readonly throttled: boolean;
  /**
   * Whether KMS refuses the credentials: they have expired, it does not know them, or they did not make the signature.
   * Only other credentials can help then.
   */
  readonly credentialsRefused: boolean;

  /**
   * Makes an error of KMS's answer.
   *
   * @param message Refusal, action first
   * @param details KMS's answer and the hint
   */
  constructor(message: string, details: KmsErrorDetails) {
    super(message, details);
    this.kmsCode = details.kmsCode;
    this.requestId = details.requestId;
    this.httpStatus = details.httpStatus;
    this.retryable = details.retryable;
    this.throttled = details.throttled ?? false;
    this.credentialsRefused = details.credentialsRefused ?? false;
  }
}

/** Failure to connect to KMS, or a connection that broke. */
export class ConnectionError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CONNECTION";
}

/** Refusal of the peer's certificate, or lack of certificates to judge it by. Never retried. */
export class CertificateError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CERTIFICATE";
}

/** Details of a passed deadline. */
export interface TimeoutErrorDetails extends ErrorDetails {
  /** Stage that the call was in when its time was up. */
  readonly stage: TimeoutStage;
}

/**
 * Deadline that passed.
 *
 * @example
 * ```ts
 * import { TimeoutError } from "enclave-kms";
 *
 * const isProxyOrKms = (error: unknown) =>
 *   error instanceof TimeoutError && ["connect", "tls", "kms", "body"].includes(error.stage);
 * isProxyOrKms(new Error()); // false
 * ```
 */
export class TimeoutError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_TIMEOUT";
  /** Stage that the call was in when its time was up. */
  readonly stage: TimeoutStage;

  /**
   * Names the stage that took too long.
   *
   * @param message Failure, action first
   * @param details The stage and the hint
   */
  constructor(message: string, details: TimeoutErrorDetails) {
    super(message, details);
    this.stage = details.stage;
  }
}

/** Operation that the engine in use does not offer; nothing was sent. */
export class UnsupportedOperationError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_UNSUPPORTED_OPERATION";
}

/** Answer that the protocol does not allow: not JSON, oversized, or not the envelope that KMS sends. */
export class ProtocolError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_PROTOCOL";
}

/** Credentials that are missing or malformed, or that their provider failed to give. */
export class CredentialsError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CREDENTIALS";
}

/** Denial by a policy. */
export class PolicyDeniedError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_POLICY_DENIED";
}

/** Place of the fault in a policy; an unknown part of it is undefined. */
export interface PolicyErrorDetails extends ErrorDetails {
  /** Line, from 1. */
  readonly line?: number | undefined;
  /** Column in Unicode characters, from 1. */
  readonly column?: number | undefined;
  /** Policy at fault: its `@id`, or `policy` and its number from 0. */
  readonly policyId?: string | undefined;
}

/** Failure to load a policy: it is malformed, does not fit the schema, or cannot decide. */
export class PolicyLoadError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_POLICY_LOAD";
  /** Line of the fault, from 1. */
  readonly line: number | undefined;
  /** Column of the fault in Unicode characters, from 1. */
  readonly column: number | undefined;
  /** Policy at fault: its `@id`, or `policy` and its number from 0. */
  readonly policyId: string | undefined;

  /**
   * Names a fault, and its place.
   *
   * @param message Failure, action first
   * @param details The place, as far as it is known, and the hint
   */
  constructor(message: string, details: PolicyErrorDetails) {
    super(message, details);
    this.line = details.line;
    this.column = details.column;
    this.policyId = details.policyId;
  }
}

/** Parts of an enclave that are not there yet. */
export interface NotReadyErrorDetails extends ErrorDetails {
  /** Names of the parts; none when the enclave did not answer. */
  readonly missing: readonly string[];
}

/** Enclave that was not ready after the last question for it. */
export class NotReadyError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_NOT_READY";
  /** Names of the parts that the enclave said are missing, such as `credentials`; none when it did not answer. */
  readonly missing: readonly string[];

  /**
   * Names the missing parts.
   *
   * @param message Failure, action first
   * @param details The parts and the hint
   */
  constructor(message: string, details: NotReadyErrorDetails) {
    super(message, details);
    this.missing = details.missing;
  }
}

/** Use of an object after its dispose. */
export class DisposedError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_DISPOSED";

  /**
   * Names the object.
   *
   * @param what Name of its class, such as `SecretBytes`
   */
  constructor(what: string) {
    super(`Cannot use ${what}: it was disposed`, {
      hint: "Is it used after its `using` scope ended, or after close()?",
    });
  }
}
