import type { EnvelopeVariant } from "./cms_envelope.ts";
import { ENVELOPE_VARIANTS } from "./cms_envelope.ts";
import type { KmsExceptionName } from "./kms_errors.ts";
import type { CertificateKind } from "../tls/tls_certificates.ts";

/** Fault of the simulated KMS. */
export type KmsFault =
  /** Answers after so many milliseconds. */
  | { readonly kind: "latency"; readonly ms: number }
  /** Reads the request and never answers. */
  | { readonly kind: "hang" }
  /** Accepts the TCP or unix connection and never speaks TLS. */
  | { readonly kind: "tlsSilence" }
  /** Breaks the connection (RST over TCP) after so many bytes of the answer, its headers included. */
  | { readonly kind: "resetAtByte"; readonly byte: number }
  /** Ends the connection in good order after so many bytes of the answer, its headers included. */
  | { readonly kind: "truncate"; readonly byte: number }
  /** Refuses with `ThrottlingException`. */
  | { readonly kind: "throttled" }
  /** Refuses with `KMSInternalException`, status 500. */
  | { readonly kind: "internalError" }
  /** Answers status 503 with a text that is not JSON, as a load balancer does. */
  | { readonly kind: "unavailable" }
  /** Refuses with any exception. */
  | { readonly kind: "refusal"; readonly kmsCode: KmsExceptionName }
  /** Answers any status and body, as AWS's front door or another server does. */
  | { readonly kind: "answer"; readonly status: number; readonly body: string }
  /** Answers status 200 with something that is not JSON. */
  | { readonly kind: "garbage" }
  /** Answers with bytes that are not HTTP. */
  | { readonly kind: "notHttp" }
  /** Answers status 200 with JSON of so many bytes. */
  | { readonly kind: "oversized"; readonly bytes: number }
  /** Sends a wrong `CiphertextForRecipient`. */
  | { readonly kind: "wrongEnvelope"; readonly variant: EnvelopeVariant }
  /** Leaves `CiphertextForRecipient` out. */
  | { readonly kind: "missingEnvelope" }
  /** Sends the plaintext itself instead of `CiphertextForRecipient`. */
  | { readonly kind: "plaintextInstead" }
  /** Sends the plaintext itself beside `CiphertextForRecipient`. */
  | { readonly kind: "plaintextBeside" }
  /** Names another key in the answer. */
  | { readonly kind: "wrongKeyId" }
  /** Shows a certificate that a client must refuse; applies to new connections. */
  | { readonly kind: "certificate"; readonly certificate: Exclude<CertificateKind, "valid"> }
  /** Ends the connection in good order so many milliseconds after an answer that promised to keep it. */
  | { readonly kind: "closeWhenIdle"; readonly afterMs?: number }
  /** Stops listening and breaks all connections. */
  | { readonly kind: "refuse" };

/** The name of a kind of fault. */
export type KmsFaultKind = KmsFault["kind"];

/** One fault of the table. */
export interface NamedFault {
  /** Effect in a few words; unique. */
  readonly name: string;
  /** Fault to inject. */
  readonly fault: KmsFault;
}

/**
 * Finds the point at which a fault strikes: once per listener, per connection or per request.
 */
export function faultScope(fault: KmsFault): "listener" | "connection" | "request" {
  if (fault.kind === "refuse") return "listener";
  return fault.kind === "certificate" || fault.kind === "tlsSilence" ? "connection" : "request";
}

const CERTIFICATE_KINDS = ["expired", "notYetValid", "wrongName", "unknownCa"] as const;

/**
 * Every kind of fault with typical numbers, for tests that try them all.
 *
 * @example
 * ```ts
 * import { KMS_FAULTS, startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * for (const { name, fault } of KMS_FAULTS) {
 *   await enclave.kms.injectFault(fault);
 *   // … the code under test must fail in good order; the test shows `name` when it does not
 *   await enclave.kms.clearFaults();
 * }
 * ```
 */
export const KMS_FAULTS: readonly NamedFault[] = [
  { name: "answers after 50 ms", fault: { kind: "latency", ms: 50 } },
  { name: "never answers", fault: { kind: "hang" } },
  { name: "never speaks TLS", fault: { kind: "tlsSilence" } },
  { name: "resets before the answer", fault: { kind: "resetAtByte", byte: 0 } },
  { name: "resets within the status line", fault: { kind: "resetAtByte", byte: 7 } },
  { name: "resets within the headers", fault: { kind: "resetAtByte", byte: 60 } },
  { name: "resets within the body", fault: { kind: "resetAtByte", byte: 400 } },
  { name: "closes before the answer", fault: { kind: "truncate", byte: 0 } },
  { name: "closes within the status line", fault: { kind: "truncate", byte: 7 } },
  { name: "closes within the headers", fault: { kind: "truncate", byte: 60 } },
  { name: "closes within the body", fault: { kind: "truncate", byte: 400 } },
  { name: "throttles", fault: { kind: "throttled" } },
  { name: "fails internally", fault: { kind: "internalError" } },
  { name: "is unavailable", fault: { kind: "unavailable" } },
  { name: "times out on a dependency", fault: { kind: "refusal", kmsCode: "DependencyTimeoutException" } },
  { name: "answers status 403", fault: { kind: "answer", status: 403, body: "Forbidden" } },
  { name: "answers something that is not JSON", fault: { kind: "garbage" } },
  { name: "answers something that is not HTTP", fault: { kind: "notHttp" } },
  { name: "answers 8 MB", fault: { kind: "oversized", bytes: 8_000_000 } },
  ...ENVELOPE_VARIANTS.map((variant): NamedFault => (
    { name: `sends a wrong envelope: ${variant}`, fault: { kind: "wrongEnvelope", variant } }
  )),
  { name: "sends no envelope", fault: { kind: "missingEnvelope" } },
  { name: "sends the plaintext instead of the envelope", fault: { kind: "plaintextInstead" } },
  { name: "sends the plaintext beside the envelope", fault: { kind: "plaintextBeside" } },
  { name: "answers for another key", fault: { kind: "wrongKeyId" } },
  ...CERTIFICATE_KINDS.map((certificate): NamedFault => (
    { name: `shows a wrong certificate: ${certificate}`, fault: { kind: "certificate", certificate } }
  )),
  { name: "closes when idle", fault: { kind: "closeWhenIdle" } },
  { name: "refuses connections", fault: { kind: "refuse" } },
];
