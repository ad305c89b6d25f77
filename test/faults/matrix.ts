/**
 * The fault matrix: what can go wrong between a caller and KMS's key, and what a decrypt then comes to, for
 * each engine. The tests read this table; README.md is written from it.
 *
 * @module
 */
import type { EngineName, TimeoutStage } from "../../mod.ts";
import type { EnvelopeVariant, KmsFault, NsmFault } from "../../sim/mod.ts";
import { ENVELOPE_VARIANTS } from "../../sim/kms/cms_envelope.ts";
import type { Failure, Outcome } from "./outcome.ts";

/** One fault. */
export interface FaultRow {
  /** Effect in a few words; unique. */
  readonly name: string;
  readonly group: FaultGroup;
  readonly made: Making;
  readonly expected: Readonly<Record<EngineName, Outcome>>;
  /**
   * A client of its own meets the fault, because another one is not served again soon, or gives up sooner.
   */
  readonly ownClient: "as ever" | "three attempts" | "refusal of expired credentials" | undefined;
}

/** Party that fails. */
export type FaultGroup =
  | "proxy"
  | "TLS"
  | "HTTP"
  | "refusal"
  | "answer"
  | "envelope"
  | "NSM"
  | "credentials"
  | "clock"
  | "process";

/** Way to make a fault. */
export type Making =
  /** The simulated KMS does it: to so many requests, or to all. */
  | { readonly by: "kms"; readonly fault: KmsFault; readonly times?: number }
  /** The simulated KMS changes these members of its answer; null leaves a member out. */
  | { readonly by: "members"; readonly change: Readonly<Record<string, unknown>> }
  /** The relay between client and KMS cuts new connections after this part of what goes through one way. */
  | {
    readonly by: "cut";
    readonly direction: "toServer" | "toClient";
    readonly part: number;
    readonly how: Cut;
  }
  /** The relay does something else. */
  | { readonly by: "proxy"; readonly does: ProxyFault }
  /** The client is opened with something else. */
  | { readonly by: "options"; readonly has: OptionsFault }
  /** The software NSM does it. */
  | { readonly by: "nsm"; readonly fault: NsmFault }
  /** There is no NSM when the client is opened, or from then on. */
  | { readonly by: "no NSM"; readonly when: "opening" | "asking" }
  /** The provider of credentials, or KMS with them. */
  | { readonly by: "credentials"; readonly are: CredentialsFault }
  /** KMS's clock is ahead by so much. */
  | { readonly by: "clock"; readonly offsetMs: number }
  /** The process itself, while the call runs. */
  | { readonly by: "process"; readonly does: ProcessFault };

/** Cut of a connection: by FIN without TLS's close_notify, by RST, or by silence. */
export type Cut = "end" | "reset" | "stall";

/** Other faults of the relay. */
export type ProxyFault =
  | "cannot reach KMS"
  | "comes back"
  | "breaks idle connections"
  | "answers in plain HTTP"
  | "corrupts the handshake"
  | "corrupts the answer";

/** Faults of the options of a client. */
export type OptionsFault = "closed port" | "missing socket" | "no bundle";

/** Faults of credentials. */
export type CredentialsFault =
  | "expired by their own date"
  | "expired by their own date, and to be refused"
  | "expired for KMS, and the provider throws from then on"
  | "revoked, and others are there"
  | "of a wrong secret, and others are there"
  | "expired for KMS"
  | "revoked"
  | "of a wrong secret"
  | "without their token"
  | "malformed"
  | "nothing"
  | "thrown"
  | "never given"
  | "replaced on the way"
  | "expired on the way, and others are there"
  | "revoked on the way, and others are there";

/** Faults of the process. */
export type ProcessFault = "collects garbage" | "closes the client" | "ends a worker";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const timeout = (stage: TimeoutStage): Failure => ({ error: "TimeoutError", code: "ERR_TIMEOUT", stage });
/** The C client does not say what it waits for. */
const C_TIMEOUT = timeout("sdk-client");
const CONNECTION: Failure = { error: "ConnectionError", code: "ERR_CONNECTION" };
const CERTIFICATE: Failure = { error: "CertificateError", code: "ERR_CERTIFICATE" };
const PROTOCOL: Failure = { error: "ProtocolError", code: "ERR_PROTOCOL" };
const CREDENTIALS: Failure = { error: "CredentialsError", code: "ERR_CREDENTIALS" };
const DISPOSED: Failure = { error: "DisposedError", code: "ERR_DISPOSED" };

/** The C client says that it could not connect, or that it could not decrypt, and never why. */
const C_CLIENT: Failure = { error: "SdkKmsClientError", code: "ERR_SDK_KMS_CLIENT" };
const C_DECRYPT: Failure = { error: "SdkKmsDecryptError", code: "ERR_SDK_KMS_DECRYPT" };

const attestation = (check: string): Failure => (
  { error: "AttestationError", code: `ERR_ATTESTATION_${check}` }
);

function refused(kmsCode: string, httpStatus = 400, retryable = false): Failure {
  return { error: "KmsError", code: "ERR_KMS", kms: { kmsCode, httpStatus, retryable } };
}

const retryable = (kmsCode: string, httpStatus = 400) => refused(kmsCode, httpStatus, true);

/** Makes a row: the outcome of our own HTTPS, on engines `direct` and `sdk`, and that of the C client. */
function row(
  group: FaultGroup,
  name: string,
  made: Making,
  https: Outcome | { readonly direct: Outcome; readonly sdk: Outcome },
  client: Outcome = C_DECRYPT,
  ownClient?: FaultRow["ownClient"],
): FaultRow {
  const { direct, sdk } = typeof https === "object" && "direct" in https
    ? https
    : { direct: https, sdk: https };
  return { name, group, made, expected: { direct, sdk, "sdk-client": client }, ownClient };
}

/** Makes an answer of a status and a body, or of type and text as JSON. */
function answered(status: number, body: string | { readonly type: string }): Making {
  const text = typeof body === "string" ? body : JSON.stringify({ __type: body.type, message: "No." });
  return { by: "kms", fault: { kind: "answer", status, body: text } };
}

const kms = (fault: KmsFault, times?: number): Making => (
  { by: "kms", fault, ...(times === undefined ? {} : { times }) }
);
const cut = (direction: "toServer" | "toClient", part: number, how: Cut): Making => (
  { by: "cut", direction, part, how }
);
const members = (change: Readonly<Record<string, unknown>>): Making => ({ by: "members", change });
const proxy = (does: ProxyFault): Making => ({ by: "proxy", does });
const options = (has: OptionsFault): Making => ({ by: "options", has });
const nsm = (fault: NsmFault): Making => ({ by: "nsm", fault });
const credentials = (are: CredentialsFault): Making => ({ by: "credentials", are });
const clock = (offsetMs: number): Making => ({ by: "clock", offsetMs });
const certificate = (kind: "expired" | "notYetValid" | "wrongName" | "unknownCa"): Making =>
  kms({ kind: "certificate", certificate: kind });

/**
 * Faults of the proxy. A cut's place is a share of the bytes: 0.1 is in the handshake, 0.9 in the request or
 * the answer.
 */
const PROXY: readonly FaultRow[] = [
  row("proxy", "nothing listens at the port", options("closed port"), CONNECTION, C_CLIENT),
  row("proxy", "there is no such unix socket", options("missing socket"), CONNECTION, C_CLIENT),
  row("proxy", "KMS refuses connections", kms({ kind: "refuse" }), CONNECTION, C_CLIENT),
  row("proxy", "the proxy cannot reach KMS", proxy("cannot reach KMS"), CONNECTION, C_CLIENT),
  row(
    "proxy",
    "the proxy accepts and passes nothing on",
    cut("toServer", 0, "stall"),
    timeout("tls"),
    C_TIMEOUT,
  ),
  row("proxy", "the proxy stalls in the handshake", cut("toClient", 0.1, "stall"), timeout("tls"), C_TIMEOUT),
  row("proxy", "the proxy stalls in the request", cut("toServer", 0.9, "stall"), timeout("kms"), C_TIMEOUT),
  // Of half a TLS record nothing can be read: to the client the answer has not begun.
  row("proxy", "the proxy stalls in the answer", cut("toClient", 0.9, "stall"), timeout("kms"), C_TIMEOUT),
  row("proxy", "a reset at the first byte", cut("toServer", 0, "reset"), CONNECTION, C_CLIENT),
  row("proxy", "a reset in the handshake", cut("toClient", 0.1, "reset"), CONNECTION, C_CLIENT),
  row("proxy", "a reset in the request", cut("toServer", 0.9, "reset"), CONNECTION),
  row("proxy", "a reset in the answer", cut("toClient", 0.9, "reset"), CONNECTION),
  row(
    "proxy",
    "the proxy is away and comes back",
    proxy("comes back"),
    "plaintext",
    C_CLIENT,
    "three attempts",
  ),
  row(
    "proxy",
    "the proxy breaks idle connections",
    proxy("breaks idle connections"),
    "plaintext",
    "plaintext",
  ),
];

const TLS: readonly FaultRow[] = [
  row("TLS", "a certificate for another name", certificate("wrongName"), CERTIFICATE, C_CLIENT),
  row("TLS", "an expired certificate", certificate("expired"), CERTIFICATE, C_CLIENT),
  row("TLS", "a certificate that is not valid yet", certificate("notYetValid"), CERTIFICATE, C_CLIENT),
  row("TLS", "a certificate of an unknown authority", certificate("unknownCa"), CERTIFICATE, C_CLIENT),
  row("TLS", "no bundle that has KMS's authority", options("no bundle"), CERTIFICATE, C_CLIENT),
  row("TLS", "KMS never speaks TLS", kms({ kind: "tlsSilence" }), timeout("tls"), C_TIMEOUT),
  row("TLS", "something else than TLS answers", proxy("answers in plain HTTP"), CONNECTION, C_CLIENT),
  row("TLS", "the connection ends in the handshake", cut("toClient", 0.1, "end"), CONNECTION, C_CLIENT),
  row("TLS", "the connection ends in the request", cut("toServer", 0.9, "end"), CONNECTION),
  row(
    "TLS",
    "the connection ends in the answer, without close_notify",
    cut("toClient", 0.9, "end"),
    CONNECTION,
  ),
  row("TLS", "a bit changes in the handshake", proxy("corrupts the handshake"), CONNECTION, C_CLIENT),
  row("TLS", "a bit changes in the answer", proxy("corrupts the answer"), CONNECTION),
];

const HTTP: readonly FaultRow[] = [
  row("HTTP", "KMS answers late", kms({ kind: "latency", ms: 50 }), "plaintext", "plaintext"),
  row("HTTP", "KMS never answers", kms({ kind: "hang" }), timeout("kms"), C_TIMEOUT),
  row("HTTP", "KMS breaks off before its answer", kms({ kind: "resetAtByte", byte: 0 }), CONNECTION),
  row("HTTP", "KMS breaks off in the status line", kms({ kind: "resetAtByte", byte: 7 }), CONNECTION),
  row("HTTP", "KMS breaks off in the headers", kms({ kind: "resetAtByte", byte: 60 }), CONNECTION),
  row("HTTP", "KMS breaks off in the body", kms({ kind: "resetAtByte", byte: 400 }), CONNECTION),
  row("HTTP", "KMS ends the connection before its answer", kms({ kind: "truncate", byte: 0 }), CONNECTION),
  row("HTTP", "KMS ends the connection in the status line", kms({ kind: "truncate", byte: 7 }), CONNECTION),
  row("HTTP", "KMS ends the connection in the headers", kms({ kind: "truncate", byte: 60 }), CONNECTION),
  row("HTTP", "KMS ends the connection in the body", kms({ kind: "truncate", byte: 400 }), CONNECTION),
  row("HTTP", "KMS ends idle connections", kms({ kind: "closeWhenIdle" }), "plaintext", "plaintext"),
  row("HTTP", "KMS answers what is not HTTP", kms({ kind: "notHttp" }), PROTOCOL, C_TIMEOUT),
  row("HTTP", "KMS answers 8 MB", kms({ kind: "oversized", bytes: 8_000_000 }), PROTOCOL),
  row("HTTP", "KMS answers a byte more than is read", kms({ kind: "oversized", bytes: 65_523 }), PROTOCOL),
  row("HTTP", "a redirect", answered(302, ""), refused("UnknownError", 302)),
];

const REFUSALS: readonly FaultRow[] = [
  ...([
    ["AccessDeniedException", false],
    ["DisabledException", false],
    ["IncorrectKeyException", false],
    ["InvalidCiphertextException", false],
    ["InvalidGrantTokenException", false],
    ["InvalidKeyUsageException", false],
    ["KMSInvalidStateException", false],
    ["LimitExceededException", true],
    ["NotFoundException", false],
    ["ThrottlingException", true],
    ["ValidationException", false],
  ] as const).map(([kmsCode, isRetryable]) =>
    row("refusal", `400 ${kmsCode}`, kms({ kind: "refusal", kmsCode }), refused(kmsCode, 400, isRetryable))
  ),
  ...(["DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException"] as const).map((
    kmsCode,
  ) => row("refusal", `500 ${kmsCode}`, kms({ kind: "refusal", kmsCode }), retryable(kmsCode, 500))),
  row(
    "refusal",
    "400 ThrottlingException, once",
    kms({ kind: "throttled" }, 1),
    "plaintext",
    C_DECRYPT,
    "three attempts",
  ),
  row(
    "refusal",
    "500 KMSInternalException, once",
    kms({ kind: "internalError" }, 1),
    "plaintext",
    C_DECRYPT,
    "three attempts",
  ),
  row(
    "refusal",
    "403 AccessDeniedException",
    answered(403, { type: "AccessDeniedException" }),
    refused("AccessDeniedException", 403),
  ),
  row("refusal", "403 in plain words", answered(403, "Forbidden"), refused("UnknownError", 403)),
  row(
    "refusal",
    "429 TooManyRequestsException",
    answered(429, { type: "TooManyRequestsException" }),
    retryable("TooManyRequestsException", 429),
  ),
  row("refusal", "429 in plain words", answered(429, "Slow down"), retryable("UnknownError", 429)),
  row("refusal", "500 with half an answer", answered(500, '{"__type":"KMS'), retryable("UnknownError", 500)),
  row(
    "refusal",
    "503 ServiceUnavailableException",
    answered(503, { type: "ServiceUnavailableException" }),
    retryable("ServiceUnavailableException", 503),
  ),
  row("refusal", "503 in plain words", kms({ kind: "unavailable" }), retryable("UnknownError", 503)),
];

const ANSWERS: readonly FaultRow[] = [
  row("answer", "a web page", kms({ kind: "garbage" }), PROTOCOL),
  row("answer", "nothing", answered(200, ""), PROTOCOL),
  row("answer", "half of its JSON", answered(200, '{"KeyId":"arn:aws:kms'), PROTOCOL),
  row("answer", "null", answered(200, "null"), PROTOCOL),
  row("answer", "a list", answered(200, "[]"), PROTOCOL),
  row("answer", "an empty object", answered(200, "{}"), PROTOCOL),
  row("answer", "another key's answer", kms({ kind: "wrongKeyId" }), PROTOCOL, "plaintext"),
  row("answer", "no key id", members({ KeyId: null }), PROTOCOL),
  row("answer", "a key id that is no ARN", members({ KeyId: "alias/other" }), PROTOCOL, "plaintext"),
  row("answer", "the plaintext instead of the envelope", kms({ kind: "plaintextInstead" }), PROTOCOL),
  row("answer", "the plaintext beside the envelope", kms({ kind: "plaintextBeside" }), PROTOCOL, "plaintext"),
  row("answer", "no envelope", kms({ kind: "missingEnvelope" }), PROTOCOL),
  row("answer", "an envelope that is a number", members({ CiphertextForRecipient: 1 }), PROTOCOL),
  row("answer", "an envelope that is not base64", members({ CiphertextForRecipient: "%%%" }), PROTOCOL),
];

/** Fault of each envelope in words. */
const ENVELOPES: Readonly<Record<EnvelopeVariant, string>> = {
  anotherKey: "an envelope for another key pair",
  flippedKey: "an envelope whose wrapped key is changed",
  flippedPadding: "an envelope whose padding is changed",
  twoRecipients: "an envelope with two recipients",
  noRecipient: "an envelope with no recipient",
  tripleDes: "an envelope under 3DES",
  aes128: "an envelope under AES-128",
  pkcs1: "an envelope with a key wrapped by PKCS #1 v1.5",
  oaepSha1: "an envelope with a key wrapped by OAEP with SHA-1",
  trailingByte: "an envelope with a byte after it",
  cutOff: "an envelope cut off",
  noise: "noise for an envelope",
  empty: "an empty envelope",
};

/** C's own parser takes the first recipient, and does not look behind the envelope. */
const TAKEN_BY_C: readonly EnvelopeVariant[] = ["twoRecipients", "trailingByte"];

const NSM: readonly FaultRow[] = [
  row(
    "NSM",
    "there is none when the client is opened",
    { by: "no NSM", when: "opening" },
    attestation("UNAVAILABLE"),
  ),
  row("NSM", "it is gone when it is asked", { by: "no NSM", when: "asking" }, attestation("UNAVAILABLE")),
  row("NSM", "it refuses the operation", nsm({ kind: "refuse", errorName: "InvalidOperation" }), {
    direct: attestation("REFUSED"),
    sdk: attestation("UNAVAILABLE"),
  }),
  row("NSM", "it fails", nsm({ kind: "refuse", errorName: "InternalError" }), {
    direct: attestation("REFUSED"),
    sdk: attestation("UNAVAILABLE"),
  }),
  row("NSM", "it answers what is not CBOR", nsm({ kind: "garbage" }), {
    direct: attestation("ANSWER"),
    sdk: attestation("UNAVAILABLE"),
  }),
  row("NSM", "it never answers", nsm({ kind: "silent" }), timeout("nsm"), C_TIMEOUT, "as ever"),
  row("NSM", "it is slow", nsm({ kind: "latency", ms: 50 }), "plaintext", "plaintext"),
  row("NSM", "it answers after the deadline", nsm({ kind: "latency", ms: 600 }), timeout("nsm"), C_TIMEOUT),
  row("NSM", "it signs with another key", nsm({ kind: "wrongKey" }), refused("ValidationException")),
  row("NSM", "its certificate has expired", nsm({ kind: "expiredLeaf" }), refused("ValidationException")),
  row("NSM", "its documents are an hour old", nsm({ kind: "stale" }), refused("ValidationException")),
  row("NSM", "it says debug mode", nsm({ kind: "debug" }), refused("AccessDeniedException")),
];

const CREDENTIALS_ROWS: readonly FaultRow[] = [
  row(
    "credentials",
    "they expired by their own date, but not for KMS",
    credentials("expired by their own date"),
    "plaintext",
    "plaintext",
    "as ever",
  ),
  row(
    "credentials",
    "they expired by their own date, and are to be refused",
    credentials("expired by their own date, and to be refused"),
    CREDENTIALS,
    CREDENTIALS,
    "refusal of expired credentials",
  ),
  row(
    "credentials",
    "they expired, for KMS",
    credentials("expired for KMS"),
    refused("ExpiredTokenException"),
  ),
  row(
    "credentials",
    "they expired for KMS, and their source is down",
    credentials("expired for KMS, and the provider throws from then on"),
    CREDENTIALS,
  ),
  row("credentials", "they were revoked", credentials("revoked"), refused("UnrecognizedClientException")),
  row(
    "credentials",
    "they were revoked, and the provider has others",
    credentials("revoked, and others are there"),
    "plaintext",
  ),
  row(
    "credentials",
    "the secret is another's",
    credentials("of a wrong secret"),
    refused("InvalidSignatureException"),
  ),
  row(
    "credentials",
    "the secret is another's, and the provider has the right one",
    credentials("of a wrong secret, and others are there"),
    "plaintext",
  ),
  row(
    "credentials",
    "the session token is missing",
    credentials("without their token"),
    refused("UnrecognizedClientException"),
  ),
  row("credentials", "they are malformed", credentials("malformed"), CREDENTIALS, CREDENTIALS),
  row("credentials", "the provider returns nothing", credentials("nothing"), CREDENTIALS, CREDENTIALS),
  row("credentials", "the provider throws", credentials("thrown"), CREDENTIALS, CREDENTIALS),
  row(
    "credentials",
    "the provider never answers",
    credentials("never given"),
    timeout("credentials"),
    timeout("credentials"),
  ),
  row(
    "credentials",
    "they are replaced while a request is on its way",
    credentials("replaced on the way"),
    "plaintext",
    "plaintext",
  ),
  row(
    "credentials",
    "they expire while a request is on its way, and the provider has others",
    credentials("expired on the way, and others are there"),
    "plaintext",
  ),
  row(
    "credentials",
    "they are revoked while a request is on its way, and the provider has others",
    credentials("revoked on the way, and others are there"),
    "plaintext",
  ),
];

const CLOCK: readonly FaultRow[] = [
  row("clock", "the enclave's is ten minutes behind", clock(10 * MINUTE_MS), "plaintext"),
  row("clock", "the enclave's is ten minutes ahead", clock(-10 * MINUTE_MS), "plaintext"),
  row("clock", "the enclave's is two days behind", clock(2 * DAY_MS), refused("InvalidSignatureException")),
  row("clock", "the enclave's is two days ahead", clock(-2 * DAY_MS), refused("InvalidSignatureException")),
];

const PROCESS: readonly FaultRow[] = [
  row(
    "process",
    "garbage is collected all the time",
    { by: "process", does: "collects garbage" },
    "plaintext",
    "plaintext",
  ),
  row(
    "process",
    "the client is closed in flight",
    { by: "process", does: "closes the client" },
    DISPOSED,
    "plaintext",
  ),
  row("process", "a worker ends in flight", { by: "process", does: "ends a worker" }, "plaintext", {
    notAsked: "ended inside C, a worker may leave its C client behind (sdk_client_ended_worker.test.ts)",
  }),
];

/** Every fault. */
export const FAULT_MATRIX: readonly FaultRow[] = [
  ...PROXY,
  ...TLS,
  ...HTTP,
  ...REFUSALS,
  ...ANSWERS,
  ...ENVELOPE_VARIANTS.map((variant) =>
    row(
      "envelope",
      ENVELOPES[variant],
      kms({ kind: "wrongEnvelope", variant }),
      PROTOCOL,
      TAKEN_BY_C.includes(variant) ? "plaintext" : C_DECRYPT,
    )
  ),
  ...NSM,
  ...CREDENTIALS_ROWS,
  ...CLOCK,
  ...PROCESS,
];
