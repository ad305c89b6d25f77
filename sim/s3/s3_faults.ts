import type { S3ErrorCode } from "./s3_errors.ts";

/** A way in which the simulated S3 misbehaves. */
export type S3Fault =
  /** Answers later. */
  | { readonly kind: "latency"; readonly ms: number }
  /** Never answers. */
  | { readonly kind: "hang" }
  /** Sends a few bytes at a time, with a pause between them. */
  | { readonly kind: "slow"; readonly bytes: number; readonly pauseMs: number }
  /** Ends the connection in good order after so many bytes of the body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Resets the connection after so many bytes of the body. */
  | { readonly kind: "reset"; readonly afterBytes: number }
  /** Sends so many bytes of the body, breaks off, and has another object under that key from then on. */
  | { readonly kind: "change"; readonly afterBytes: number }
  /** Refuses with an error of S3's. */
  | { readonly kind: "refusal"; readonly s3Code: S3ErrorCode }
  /** Sends the client elsewhere with status 307. */
  | { readonly kind: "redirect"; readonly location: string }
  /** Answers with a status and a body of its own. */
  | { readonly kind: "answer"; readonly status: number; readonly body: string }
  /** Sends so many zero bytes as the object, without telling their number first. */
  | { readonly kind: "endless"; readonly bytes: number }
  /** Answers a request for a part with the whole object. */
  | { readonly kind: "wholeForPart" }
  /** Answers a request for a part with another part. */
  | { readonly kind: "wrongPart" }
  /** Answers something that is not HTTP. */
  | { readonly kind: "notHttp" };

/** The name of a kind of fault. */
export type S3FaultKind = S3Fault["kind"];

/** One fault of the table. */
export interface NamedS3Fault {
  /** Effect in a few words; unique. */
  readonly name: string;
  /** Fault to inject. */
  readonly fault: S3Fault;
}

/**
 * Every kind of fault with typical numbers, for tests that try them all.
 *
 * @example
 * ```ts
 * import { S3_FAULTS, SimulatedS3 } from "enclave-kms/sim";
 *
 * await using s3 = await SimulatedS3.start();
 * for (const { name, fault } of S3_FAULTS) {
 *   s3.injectFault(fault);
 *   // … the code under test must fail in good order; the test shows `name` when it does not
 *   s3.clearFaults();
 * }
 * ```
 */
export const S3_FAULTS: readonly NamedS3Fault[] = [
  { name: "answers after 50 ms", fault: { kind: "latency", ms: 50 } },
  { name: "never answers", fault: { kind: "hang" } },
  { name: "sends a few bytes at a time", fault: { kind: "slow", bytes: 64, pauseMs: 2 } },
  { name: "closes before the body", fault: { kind: "cut", afterBytes: 0 } },
  { name: "closes within the body", fault: { kind: "cut", afterBytes: 10 } },
  { name: "resets within the body", fault: { kind: "reset", afterBytes: 10 } },
  { name: "changes the object between two reads", fault: { kind: "change", afterBytes: 10 } },
  { name: "throttles", fault: { kind: "refusal", s3Code: "SlowDown" } },
  { name: "fails internally", fault: { kind: "refusal", s3Code: "InternalError" } },
  { name: "denies", fault: { kind: "refusal", s3Code: "AccessDenied" } },
  { name: "sends elsewhere", fault: { kind: "redirect", location: "https://bucket.example/key" } },
  { name: "answers 502 without XML", fault: { kind: "answer", status: 502, body: "Bad gateway" } },
  { name: "answers 403 without XML", fault: { kind: "answer", status: 403, body: "Forbidden" } },
  { name: "sends 4 MB without a length", fault: { kind: "endless", bytes: 4_000_000 } },
  { name: "answers with the whole for a part", fault: { kind: "wholeForPart" } },
  { name: "answers with another part", fault: { kind: "wrongPart" } },
  { name: "answers something that is not HTTP", fault: { kind: "notHttp" } },
];
