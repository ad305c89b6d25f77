import { KmsError } from "../../core/errors.ts";
import type { KmsAnswer } from "./kms_connection.ts";

/**
 * Turns KMS's refusal into an error.
 *
 * KMS's own text goes into the message only for exceptions whose text names principals, keys and times and
 * nothing else. It is left out for the others: that of InvalidSignatureException repeats the canonical request
 * with the session token in it, that of ValidationException repeats values from the request. What goes in is
 * stripped of control characters, cut to 512 characters, and loses every word longer than any ARN.
 *
 * @param operation Such as `Decrypt`
 * @param answer With a status other than 200
 * @returns The error; `kmsCode` is `UnknownError` if the answer is not in KMS's form: then the message has the status
 *   and the media type, and the hint says who may have answered instead
 */
export function kmsError(operation: string, answer: KmsAnswer): KmsError {
  const { code, text } = parseRefusal(answer.body);
  const { status: httpStatus, requestId } = answer;
  const throttled = httpStatus === 429 || THROTTLING.test(code);
  const retryable = throttled || httpStatus >= 500 || RETRYABLE.test(code);
  const shown = shownText(code, text);
  const what = operation.replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
  const isForeign = code === UNKNOWN_CODE;
  const said = isForeign ? foreign(answer) : `KMS answered ${code}${shown === "" ? "" : `: ${shown}`}`;
  const hint = isForeign ? foreignHint(answer) : HINTS[code] ?? (retryable ? ITS_SIDE : UNKNOWN);
  return new KmsError(`Cannot ${what}: ${said}`, {
    hint: isClockError(text) ? WRONG_CLOCK : hint,
    kmsCode: code,
    requestId: cleanRequestId(requestId),
    httpStatus,
    retryable,
    throttled,
    credentialsRefused: isCredentialsRefusal(answer),
  });
}

/** Name of an exception when the answer has none. */
const UNKNOWN_CODE = "UnknownError";

/** Never the body: whoever answered may have put in it what was asked. */
function foreign({ status, contentType }: KmsAnswer): string {
  const [type = "without a media type"] = /^[\w.+-]{1,40}\/[\w.+-]{1,60}/.exec(contentType ?? "") ?? [];
  return `the answer has status ${status} (${type}) and is not an error of KMS`;
}

function foreignHint({ status, requestId }: KmsAnswer): string {
  if (requestId !== undefined) return "KMS's front end answered instead of KMS: a later try may succeed";
  if (status >= 300 && status < 400) return `${SOMETHING_ELSE} KMS never redirects`;
  if (status === 403 || status === 401 || status === 407) {
    return `${SOMETHING_ELSE} A TLS-inspecting proxy may have refused the request`;
  }
  if (status === 429) return `${SOMETHING_ELSE} It limits the request rate`;
  if (status >= 500) {
    return `${SOMETHING_ELSE} A load balancer answers like this when it cannot reach KMS: a later try may succeed`;
  }
  return SOMETHING_ELSE;
}

const SOMETHING_ELSE =
  "Something other than KMS answers, with a trusted certificate: where does the endpoint lead?";

/**
 * @param answer Whatever its status
 * @returns Whether KMS refused the signature for its time
 */
export function isClockRefusal(answer: KmsAnswer): boolean {
  if (answer.status === 200) return false;
  const { code, text } = parseRefusal(answer.body);
  return /^(?:InvalidSignatureException|SignatureDoesNotMatch)$/.test(code) && isClockError(text);
}

/**
 * @param answer Whatever its status
 * @returns Whether KMS does not take the credentials: expired, unknown, or not those that made the signature. Not
 *   so if the signature was refused for its time
 */
export function isCredentialsRefusal(answer: KmsAnswer): boolean {
  if (answer.status === 200 || isClockRefusal(answer)) return false;
  return CREDENTIALS_REFUSALS.has(parseRefusal(answer.body).code);
}

/** KMS's own names, and those of the same refusals elsewhere at AWS. */
const CREDENTIALS_REFUSALS = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "SignatureDoesNotMatch",
  "UnrecognizedClientException",
]);

/** KMS's own names, and those of the same refusal elsewhere at AWS. */
const THROTTLING = new RegExp(
  "^(?:Throttling|ThrottlingException|ThrottledException|TooManyRequestsException|SlowDown|" +
    "LimitExceeded|LimitExceededException|RequestLimitExceeded|RequestThrottled|RequestThrottledException)$",
);

const RETRYABLE = new RegExp(
  "^(?:KMSInternalException|DependencyTimeoutException|KeyUnavailableException|" +
    "InternalFailure|InternalServerError|ServiceUnavailable|ServiceUnavailableException|RequestTimeout)$",
);

const SHOWN_TEXTS = new Set([
  "AccessDeniedException",
  "DependencyTimeoutException",
  "DisabledException",
  "ExpiredTokenException",
  "IncorrectKeyException",
  "InvalidKeyUsageException",
  "KMSInternalException",
  "KMSInvalidStateException",
  "KeyUnavailableException",
  "LimitExceededException",
  "NotFoundException",
  "OptInRequired",
  "ThrottlingException",
  "UnrecognizedClientException",
]);

const MAX_TEXT_LENGTH = 512;

const WRONG_CLOCK =
  "Is the enclave's clock right? KMS accepts signatures up to five minutes old, and the client corrects a " +
  "clock by KMS's own only if it is less than a day off";
const THROTTLED = "The account's request quota in this region is used up: a later try may succeed";
const ITS_SIDE = "KMS failed on its side: a later try may succeed";
const UNKNOWN = "Does the endpoint lead to KMS, and does this key allow the request?";
const EXPIRED =
  "The temporary credentials expired: give a function as `credentials` that returns fresh ones, and check their source";
const CREDENTIALS =
  "Are the credentials complete, as STS or the parent handed them out, and for this partition?";

// KMS chooses the name that is looked up, so this must not inherit anything.
const HINTS: Readonly<Record<string, string>> = {
  __proto__: null as never,
  AccessDeniedException:
    "Does the key policy allow this role, and do its conditions (kms:RecipientAttestation:ImageSha384, " +
    ":PCR0 and so on) match this enclave? In debug mode all PCRs are zero",
  DependencyTimeoutException: ITS_SIDE,
  DisabledException: "The key is disabled: enable it, or use another key",
  ExpiredToken: EXPIRED,
  ExpiredTokenException: EXPIRED,
  IncompleteSignatureException: CREDENTIALS,
  IncorrectKeyException: "The ciphertext was encrypted under another key than `keyId` names",
  InvalidClientTokenId: CREDENTIALS,
  InvalidCiphertextException:
    "Are encryption context and region the same as at encryption, and is the ciphertext whole? For an asymmetric key, is the algorithm the same?",
  InvalidGrantTokenException: "Was the grant retired, or made for another principal?",
  InvalidKeyUsageException:
    "The key is not for this kind of operation (see its KeyUsage), or not for this algorithm",
  InvalidSignatureException:
    "Does the secret access key belong to the access key id, and the region to the host name?",
  KMSInvalidMacException: "The code was not made of this very message, with this key and algorithm",
  KMSInvalidSignatureException:
    "The signature was not made of this very message, in this form (`messageType`), with this key and algorithm",
  KMSInvalidStateException: "The key is pending deletion or import, or its key store is not connected",
  KeyUnavailableException: ITS_SIDE,
  LimitExceededException: THROTTLED,
  MissingAuthenticationTokenException: CREDENTIALS,
  NotFoundException: "Is the key in this region and account? A key of another account needs its full ARN",
  SignatureDoesNotMatch:
    "Does the secret access key belong to the access key id, and the region to the host name?",
  ThrottlingException: THROTTLED,
  UnrecognizedClientException: CREDENTIALS,
  ValidationException:
    "KMS found the request invalid: is the attestation document less than five minutes old, and from this enclave?",
};

function parseRefusal(body: Uint8Array): { readonly code: string; readonly text: string } {
  const refusal = parseObject(body);
  const type = typeof refusal["__type"] === "string" ? refusal["__type"] : "";
  const code = /^(?:[\w.]{1,100}#)?([A-Za-z]\w{0,99})(?::|$)/.exec(type)?.[1] ?? UNKNOWN_CODE;
  const text = refusal["message"] ?? refusal["Message"];
  return { code, text: typeof text === "string" ? text : "" };
}

function parseObject(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

function shownText(code: string, text: string): string {
  if (!SHOWN_TEXTS.has(code)) return "";
  return text
    .replaceAll(/[\p{C}\p{Z}]+/gu, " ")
    .replaceAll(/\S{257,}/g, "[redacted]")
    .slice(0, MAX_TEXT_LENGTH)
    .trim()
    .replace(/\.$/, "");
}

function isClockError(text: string): boolean {
  return /^Signature (?:expired|not yet current)\b/.test(text);
}

function cleanRequestId(requestId: string | undefined): string | undefined {
  return requestId !== undefined && /^[\w-]{1,64}$/.test(requestId) ? requestId : undefined;
}
