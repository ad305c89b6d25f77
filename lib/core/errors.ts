/**
 * Every error this library throws on its own account, each with a stable `code` and a `hint`.
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
export { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";
export type { ErrorCode } from "./error_code.ts";
export type { TimeoutStage } from "./timeout_stage.ts";

/** A native library or one of its symbols could not be loaded, or this runtime cannot call C at all. */
export class LibraryLoadError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_LIBRARY_LOAD";
}

/** What a failed call into a C library left behind. */
export interface NativeErrorDetails extends ErrorDetails {
  /** The C function that failed. */
  readonly cFunction: string;
  /** `aws_last_error()` or `errno` right after the call; 0 when C set none. */
  readonly nativeCode?: number;
}

/** A call into a C library failed. */
export abstract class NativeError extends EnclaveKmsError {
  /** The C function that failed. */
  readonly cFunction: string;
  /** `aws_last_error()` or `errno` right after the call; 0 when C set none. */
  readonly nativeCode: number;

  /**
   * Makes an error of what C returned, right after the call.
   *
   * @param message What failed
   * @param details The C function, its error number and the hint
   */
  constructor(message: string, details: NativeErrorDetails) {
    super(message, details);
    this.cFunction = details.cFunction;
    this.nativeCode = details.nativeCode ?? 0;
  }
}

/** `aws_nitro_enclaves_library_init` or the library's allocator failed. */
export class SdkInitError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_INIT";
}

/** A helper of the C SDK (string, buffer, key pair) failed. */
export class SdkGenericError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_GENERIC";
}

/** The C SDK made no client configuration. */
export class SdkKmsConfigError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_CONFIG";
}

/** The C SDK made no KMS client, or its client may not be used any more. */
export class SdkKmsClientError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_CLIENT";
}

/** The C SDK could not decrypt. */
export class SdkKmsDecryptError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_DECRYPT";
}

/** The C SDK's client could not do another operation than decrypt. */
export class SdkKmsRequestError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_REQUEST";
}

/** A system call through libc failed. */
export class SystemCallError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SYSTEM_CALL";
}

/** What KMS said of a request that it refused. */
export interface KmsErrorDetails extends ErrorDetails {
  /** The exception's name on the wire, such as `AccessDeniedException`. */
  readonly kmsCode: string;
  /** The `x-amzn-requestid` header, where KMS sent one. */
  readonly requestId: string | undefined;
  /** The HTTP status. */
  readonly httpStatus: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** See {@link KmsError.credentialsRefused}. Default: false. */
  readonly credentialsRefused?: boolean | undefined;
}

/** KMS answered, and refused. */
export class KmsError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_KMS";
  /** The exception's name on the wire, such as `AccessDeniedException`. */
  readonly kmsCode: string;
  /** The `x-amzn-requestid` header, where KMS sent one. */
  readonly requestId: string | undefined;
  /** The HTTP status. */
  readonly httpStatus: number;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /**
   * Whether KMS does not take the credentials: they have expired, it does not know them, or they are not those that
   * the signature was made with. Other credentials can help then, and nothing else.
   */
  readonly credentialsRefused: boolean;

  /**
   * Makes an error of KMS's answer.
   *
   * @param message What was refused
   * @param details KMS's answer and the hint
   */
  constructor(message: string, details: KmsErrorDetails) {
    super(message, details);
    this.kmsCode = details.kmsCode;
    this.requestId = details.requestId;
    this.httpStatus = details.httpStatus;
    this.retryable = details.retryable;
    this.credentialsRefused = details.credentialsRefused ?? false;
  }
}

/** The connection to KMS could not be made, or broke. */
export class ConnectionError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CONNECTION";
}

/** The peer's certificate was not accepted, or there is nothing to judge it by. Never retried. */
export class CertificateError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CERTIFICATE";
}

/** What a deadline passed over. */
export interface TimeoutErrorDetails extends ErrorDetails {
  /** What the call waited for when its time was up. */
  readonly stage: TimeoutStage;
}

/**
 * A deadline passed.
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
  /** What the call waited for when its time was up. */
  readonly stage: TimeoutStage;

  /**
   * Says what did not come in time.
   *
   * @param message What failed
   * @param details The stage and the hint
   */
  constructor(message: string, details: TimeoutErrorDetails) {
    super(message, details);
    this.stage = details.stage;
  }
}

/** The engine in use has no way to do what was asked; nothing was sent. */
export class UnsupportedOperationError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_UNSUPPORTED_OPERATION";
}

/** An answer was not what the protocol allows: not JSON, oversized, not the envelope KMS sends. */
export class ProtocolError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_PROTOCOL";
}

/** Credentials are missing, malformed or could not be had from their provider. */
export class CredentialsError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_CREDENTIALS";
}

/** A policy did not say yes. */
export class PolicyDeniedError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_POLICY_DENIED";
}

/** Where in a policy something is wrong; what is not known is undefined. */
export interface PolicyErrorDetails extends ErrorDetails {
  /** The first line is 1. */
  readonly line?: number | undefined;
  /** In Unicode characters; the first is 1. */
  readonly column?: number | undefined;
  /** Its `@id`, or `policy` and its number from 0. */
  readonly policyId?: string | undefined;
}

/** A policy could not be loaded: it is malformed, does not fit the schema, or cannot decide. */
export class PolicyLoadError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_POLICY_LOAD";
  /** The line it is about, from 1. */
  readonly line: number | undefined;
  /** The character in that line, from 1. */
  readonly column: number | undefined;
  /** The policy it is about: its `@id`, or `policy` and its number from 0. */
  readonly policyId: string | undefined;

  /**
   * Says what is wrong with a policy, and where.
   *
   * @param message What failed
   * @param details The place, as far as it is known, and the hint
   */
  constructor(message: string, details: PolicyErrorDetails) {
    super(message, details);
    this.line = details.line;
    this.column = details.column;
    this.policyId = details.policyId;
  }
}

/** Something was used after it had been disposed. */
export class DisposedError extends EnclaveKmsError {
  /** Stable code. */
  readonly code = "ERR_DISPOSED";

  /**
   * Names what was used too late.
   *
   * @param what The thing that is gone, such as `SecretBytes`
   */
  constructor(what: string) {
    super(`Cannot use ${what}: it was disposed`, {
      hint: "Is it used after its `using` scope ended, or after close()?",
    });
  }
}
