/** Request to the simulated metadata service that a fault can be limited to. */
export type ImdsPath = "token" | "roles" | "credentials";

/** Fault of the simulated metadata service. `on` limits it to one kind of request; without it all are hit. */
export type ImdsFault =
  & (
    /** Reads the request and never answers. On `token`, that is what a hop limit of 1 does to a container. */
    | { readonly kind: "silence" }
    /** Knows no tokens (404 on `PUT`), and answers without them: version 1 alone. */
    | { readonly kind: "versionOneOnly" }
    /** Answers any status and body. */
    | { readonly kind: "answer"; readonly status: number; readonly body: string }
    /** Answers with bytes that are not HTTP. */
    | { readonly kind: "notHttp" }
    /** Answers after so many milliseconds. */
    | { readonly kind: "latency"; readonly ms: number }
    /** Sends the answer a byte at a time, each so many milliseconds after the one before. */
    | { readonly kind: "drip"; readonly ms: number }
    /** Ends the connection in good order after so many bytes of the answer, its headers included. */
    | { readonly kind: "truncate"; readonly byte: number }
    /** Breaks the connection (RST) after so many bytes of the answer. */
    | { readonly kind: "reset"; readonly byte: number }
    /** Answers status 200 with so many bytes. */
    | { readonly kind: "oversized"; readonly bytes: number }
    /** Answers status 200 with so many bytes, and does not tell their number beforehand. */
    | { readonly kind: "endless"; readonly bytes: number }
    /** Credentials with another `Code`, and without keys: `AssumeRoleUnauthorizedAccess`. */
    | { readonly kind: "code"; readonly code: string }
    /** Credentials whose `Expiration` is so many milliseconds off. */
    | { readonly kind: "clockSkew"; readonly ms: number }
  )
  & { readonly on?: ImdsPath | undefined };

/** One fault of the table. */
export interface NamedImdsFault {
  /** Effect in a few words; unique. */
  readonly name: string;
  /** Fault to inject. */
  readonly fault: ImdsFault;
}

/**
 * Every kind of fault with typical numbers, for tests that try them all.
 *
 * @example
 * ```ts
 * import { IMDS_FAULTS, startImds } from "enclave-kms/sim";
 *
 * await using imds = await startImds();
 * for (const { fault } of IMDS_FAULTS) {
 *   using _ = imds.injectFault(fault);
 *   // … the code under test must fail in good order
 * }
 * ```
 */
export const IMDS_FAULTS: readonly NamedImdsFault[] = [
  { name: "never answers", fault: { kind: "silence" } },
  { name: "never answers for a token: the hop limit", fault: { kind: "silence", on: "token" } },
  { name: "never answers with credentials", fault: { kind: "silence", on: "credentials" } },
  { name: "knows version 1 only", fault: { kind: "versionOneOnly" } },
  { name: "is switched off", fault: { kind: "answer", status: 403, body: "Forbidden" } },
  { name: "takes no token", fault: { kind: "answer", status: 401, body: "Unauthorized", on: "roles" } },
  { name: "has no role", fault: { kind: "answer", status: 404, body: "Not Found", on: "roles" } },
  { name: "has no such role", fault: { kind: "answer", status: 404, body: "Not Found", on: "credentials" } },
  { name: "fails inside", fault: { kind: "answer", status: 500, body: "Internal Server Error" } },
  { name: "throttles", fault: { kind: "answer", status: 429, body: "Too Many Requests" } },
  { name: "redirects", fault: { kind: "answer", status: 302, body: "" } },
  { name: "answers with an empty body", fault: { kind: "answer", status: 200, body: "" } },
  { name: "answers garbage", fault: { kind: "answer", status: 200, body: "\u0000<html>{" } },
  { name: "answers no credentials", fault: { kind: "answer", status: 200, body: "{}", on: "credentials" } },
  { name: "answers something that is not HTTP", fault: { kind: "notHttp" } },
  { name: "answers after 50 ms", fault: { kind: "latency", ms: 50 } },
  { name: "answers a byte at a time", fault: { kind: "drip", ms: 200 } },
  { name: "closes before the answer", fault: { kind: "truncate", byte: 0 } },
  { name: "closes within the headers", fault: { kind: "truncate", byte: 40 } },
  { name: "closes within the credentials", fault: { kind: "truncate", byte: 400, on: "credentials" } },
  { name: "resets before the answer", fault: { kind: "reset", byte: 0 } },
  { name: "resets within the credentials", fault: { kind: "reset", byte: 400, on: "credentials" } },
  { name: "answers 8 MB", fault: { kind: "oversized", bytes: 8_000_000 } },
  { name: "answers without an end", fault: { kind: "endless", bytes: 8_000_000 } },
  { name: "may not assume the role", fault: { kind: "code", code: "AssumeRoleUnauthorizedAccess" } },
  { name: "gives credentials of an hour ago", fault: { kind: "clockSkew", ms: -7_200_000 } },
];
