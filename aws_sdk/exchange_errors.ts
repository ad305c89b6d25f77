import { ConnectionError, EnclaveKmsError, ProtocolError, TimeoutError } from "../lib/core/errors.ts";
import type { TimeoutStage } from "../lib/core/timeout_stage.ts";

/**
 * Makes the error that an SDK client gets. Its retry strategies try again after those of a connection and of time,
 * and after no other.
 *
 * @param error Error of the runtime, or one of ours
 * @param hostName Name of the service
 */
export function sdkError(error: unknown, hostName: string): unknown {
  const failure = toOurs(error, hostName);
  return failure instanceof ConnectionError || failure instanceof TimeoutError
    ? Object.assign(failure, { $retryable: { throttling: false } })
    : failure;
}

function toOurs(error: unknown, hostName: string): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (error instanceof EnclaveKmsError || error instanceof TypeError || code === "") return error;
  if (code.startsWith("HPE_")) {
    const isLarge = code === "HPE_HEADER_OVERFLOW";
    return malformed(hostName, isLarge ? "its headers are larger than maxHeaderBytes" : "it is not HTTP/1.1");
  }
  return broken(hostName, error);
}

/**
 * Makes the error for a connection that broke.
 *
 * @param hostName Name of the service
 * @param cause Error of the runtime, if there is one
 */
export function broken(hostName: string, cause?: unknown): ConnectionError {
  const code = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : "";
  return new ConnectionError(`Cannot complete the request to ${hostName}: the connection broke${code}`, {
    hint: "Did the relay or the proxy on the parent restart, or reach a limit of its own?",
    cause,
  });
}

/**
 * Makes the error for an answer that is not read.
 *
 * @param hostName Name of the service
 * @param what Fault of the answer
 */
export function malformed(hostName: string, what: string): ProtocolError {
  return new ProtocolError(`Cannot read the answer of ${hostName}: ${what}`, {
    hint: "The certificate was the service's. Is a TLS-inspecting proxy answering in its place?",
  });
}

/**
 * Makes the error for a time that passed.
 *
 * @param hostName Name of the service
 * @param stage Stage that the request was in
 * @param timeoutMs The limit
 */
export function timedOut(hostName: string, stage: TimeoutStage, timeoutMs: number): TimeoutError {
  const { missing, hint } = STAGES[stage] ?? { missing: "no byte was sent or received", hint: WAITING };
  return new TimeoutError(`Cannot complete the request to ${hostName}: ${missing} within ${timeoutMs} ms`, {
    stage,
    hint,
  });
}

const WAITING = "Does the relay still forward, and does the reader of the body still read?";

const STAGES: Partial<Record<TimeoutStage, { readonly missing: string; readonly hint: string }>> = {
  "free-connection": {
    missing: "no free connection",
    hint: "All maxConnections to this service were in use: are the bodies of its answers read, or destroyed?",
  },
  connect: { missing: "no connection", hint: "Does the relay or the proxy on the parent listen there?" },
  tls: {
    missing: "no TLS handshake",
    hint: "Something accepted the connection and then sent nothing: can the parent reach the service?",
  },
  kms: {
    missing: "no answer",
    hint:
      "The request was sent: is the service slow (raise idleTimeoutMs), or did the relay stop forwarding?",
  },
};

/**
 * Makes the error for a request that its caller ended, as SDK clients have it.
 *
 * @param signal Signal of the caller
 */
export function aborted(signal: object): Error {
  const { reason } = signal as { readonly reason?: unknown };
  const error = new Error("Request aborted", reason === undefined ? undefined : { cause: reason });
  error.name = "AbortError";
  return error;
}
