/** The exceptions of KMS that the simulator knows, and those of AWS's front door. */
export type KmsExceptionName =
  | "AccessDeniedException"
  | "AlreadyExistsException"
  | "CustomKeyStoreNotFoundException"
  | "DependencyTimeoutException"
  | "DisabledException"
  | "DryRunOperationException"
  | "ExpiredTokenException"
  | "IncompleteSignatureException"
  | "IncorrectKeyException"
  | "InvalidCiphertextException"
  | "InvalidGrantTokenException"
  | "InvalidKeyUsageException"
  | "InvalidSignatureException"
  | "KeyUnavailableException"
  | "KMSInternalException"
  | "KMSInvalidMacException"
  | "KMSInvalidSignatureException"
  | "KMSInvalidStateException"
  | "LimitExceededException"
  | "MalformedPolicyDocumentException"
  | "MissingAuthenticationTokenException"
  | "NotFoundException"
  | "SerializationException"
  | "ThrottlingException"
  | "UnknownOperationException"
  | "UnrecognizedClientException"
  | "UnsupportedOperationException"
  | "ValidationException";

/** A request that the simulated KMS refuses. */
export class KmsRefusal extends Error {
  /** The exception's name on the wire. */
  readonly kmsCode: KmsExceptionName;
  /** Its message on the wire; null as KMS sends it with some. */
  readonly wireMessage: string | null;

  /**
   * Makes a refusal.
   *
   * @param kmsCode The exception's name
   * @param wireMessage Its message; without one, the usual text
   */
  constructor(kmsCode: KmsExceptionName, wireMessage: string | null = USUAL_MESSAGES[kmsCode] ?? null) {
    super(wireMessage ?? kmsCode);
    this.name = "KmsRefusal";
    this.kmsCode = kmsCode;
    this.wireMessage = wireMessage;
  }

  /** The HTTP status that goes with it. */
  get status(): number {
    return STATUSES[this.kmsCode] ?? 400;
  }

  /** The body on the wire. IAM's refusal spells `Message` with a capital letter, unlike all others. */
  get body(): Readonly<Record<string, string | null>> {
    const field = this.kmsCode === "AccessDeniedException" ? "Message" : "message";
    return { __type: this.kmsCode, [field]: this.wireMessage };
  }
}

const STATUSES: Readonly<Partial<Record<KmsExceptionName, number>>> = {
  DependencyTimeoutException: 500,
  KeyUnavailableException: 500,
  KMSInternalException: 500,
};

const USUAL_MESSAGES: Readonly<Partial<Record<KmsExceptionName, string>>> = {
  DependencyTimeoutException: "The system timed out while trying to fulfill the request.",
  DryRunOperationException: "The request would have succeeded, but the DryRun option is set.",
  ExpiredTokenException: "The security token included in the request is expired",
  IncorrectKeyException: "The key ID in the request does not identify a CMK that can perform this operation.",
  KeyUnavailableException: "The request was rejected because the specified KMS key was not available.",
  KMSInternalException: "The request was rejected because an internal exception occurred.",
  MissingAuthenticationTokenException: "Missing Authentication Token",
  ThrottlingException: "Rate exceeded",
  UnrecognizedClientException: "The security token included in the request is invalid.",
};
