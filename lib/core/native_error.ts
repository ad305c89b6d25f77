import { EnclaveKmsError, type ErrorDetails } from "./error_base.ts";

/** Details of a failed call into a C library. */
export interface NativeErrorDetails extends ErrorDetails {
  /** C function that failed. */
  readonly cFunction: string;
  /** Value of `aws_last_error()`, `ERR_get_error()` or `errno` right after the call; 0 when C set none. */
  readonly nativeCode?: number;
}

/** Failure of a call into a C library. */
export abstract class NativeError extends EnclaveKmsError {
  /** C function that failed. */
  readonly cFunction: string;
  /** Value of `aws_last_error()`, `ERR_get_error()` or `errno` right after the call; 0 when C set none. */
  readonly nativeCode: number;

  /**
   * Makes an error of C's result, right after the call.
   *
   * @param message Failure, action first
   * @param details The C function, its error number and the hint
   */
  constructor(message: string, details: NativeErrorDetails) {
    super(message, details);
    this.cFunction = details.cFunction;
    this.nativeCode = details.nativeCode ?? 0;
  }
}

/** Failure of `aws_nitro_enclaves_library_init`, or of the library's allocator. */
export class SdkInitError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_INIT";
}

/** Failure of a helper of the C SDK (string, buffer, key pair). */
export class SdkGenericError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_GENERIC";
}

/** Failure of the C SDK to make a client configuration. */
export class SdkKmsConfigError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_CONFIG";
}

/** Failure of the C SDK to make a KMS client, or use of one that must not be used any more. */
export class SdkKmsClientError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_CLIENT";
}

/** Failure of the C SDK's client to decrypt. */
export class SdkKmsDecryptError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_DECRYPT";
}

/** Failure of the C SDK's client in another operation than decrypt. */
export class SdkKmsRequestError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SDK_KMS_REQUEST";
}

/** Failure of a system call through libc. */
export class SystemCallError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_SYSTEM_CALL";
}

/** Failure of OpenSSL, in other work than judging what it was given: a wrong tag or padding is no such error. */
export class OpensslError extends NativeError {
  /** Stable code. */
  readonly code = "ERR_OPENSSL";
}
