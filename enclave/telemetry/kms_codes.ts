/** Exceptions of KMS that are counted by name, with those of AWS's front end; any other counts as `Other`. */
const KMS_CODES: ReadonlySet<string> = new Set([
  "AccessDeniedException",
  "DependencyTimeoutException",
  "DisabledException",
  "DryRunOperationException",
  "ExpiredToken",
  "ExpiredTokenException",
  "IncompleteSignatureException",
  "IncorrectKeyException",
  "InternalFailure",
  "InvalidCiphertextException",
  "InvalidClientTokenId",
  "InvalidGrantTokenException",
  "InvalidKeyUsageException",
  "InvalidSignatureException",
  "KMSInternalException",
  "KMSInvalidMacException",
  "KMSInvalidSignatureException",
  "KMSInvalidStateException",
  "KeyUnavailableException",
  "LimitExceededException",
  "MissingAuthenticationTokenException",
  "NotFoundException",
  "OptInRequired",
  "RequestExpired",
  "ServiceUnavailableException",
  "SignatureDoesNotMatch",
  "ThrottlingException",
  "UnknownError",
  "UnrecognizedClientException",
  "UnsupportedOperationException",
  "ValidationException",
]);

/**
 * Names an exception as it is counted: what answers in KMS's place must not make series without end.
 *
 * @param code Name of the exception, as the answer has it
 */
export function countedCode(code: string): string {
  return KMS_CODES.has(code) ? code : "Other";
}
