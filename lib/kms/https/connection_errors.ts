import { CertificateError, ConnectionError, EnclaveKmsError, ProtocolError } from "../../core/errors.ts";
import { isCertificateFault } from "../../transport/tls_handshake.ts";

/**
 * No connection came about, so nothing was sent, for a reason that may pass: a proxy that restarts, or one that
 * cannot reach KMS just now.
 */
export class UnreachableError extends ConnectionError {
  /** To callers it is no kind of its own. */
  override readonly name = "ConnectionError";
}

/**
 * A connection that was kept broke before the answer began. Most likely the peer had closed it while it was idle,
 * but it may as well have read the request first.
 */
export class StaleConnectionError extends ConnectionError {
  /** To callers it is no kind of its own. */
  override readonly name = "ConnectionError";

  /** @param failure Error of the runtime */
  constructor({ message, cause }: ConnectionError) {
    super(message, {
      hint: "The proxy or KMS closed an idle connection: is connectionMaxIdleMs longer than they allow? " +
        "With maxAttempts 1 the request is not sent again",
      cause,
    });
  }
}

/**
 * Says whether a stream that could not be opened may be there soon.
 *
 * @param error Error of the function that opens it
 * @returns An {@link UnreachableError} if so, else the same error
 */
export function openError(error: unknown): unknown {
  if (!(error instanceof ConnectionError) || !PASSING_CODES.test(openCodeOf(error))) return error;
  return new UnreachableError(error.message, error);
}

/**
 * Says what a failed TLS handshake means.
 *
 * @param error Error of the runtime
 * @param hostName The name that the certificate should have had
 * @param peer Name of the peer, for the message
 * @returns A {@link CertificateError} if the peer's certificate was refused, else a {@link ConnectionError}
 */
export function handshakeError(error: unknown, hostName: string, peer = "KMS"): EnclaveKmsError {
  const code = codeOf(error);
  if (isCertificateFault(code)) {
    return new CertificateError(`Cannot trust ${peer}: the certificate was refused (${code})`, {
      hint: CERTIFICATE_HINTS[code]?.(hostName) ?? UNTRUSTED,
      cause: error,
    });
  }
  const Kind = code === "" || PASSING_CODES.test(code) ? UnreachableError : ConnectionError;
  return new Kind(`Cannot connect to ${peer}: the TLS handshake failed${suffix(code)}`, {
    hint:
      `Can the proxy on the parent reach ${peer}, and does it forward bytes unchanged? TLS must end in the enclave`,
    cause: error,
  });
}

/**
 * Says what a failed request means, once there was a connection.
 *
 * @param error Error of the runtime, or one of ours, which stays as it is
 */
export function requestError(error: unknown): EnclaveKmsError {
  if (error instanceof EnclaveKmsError) return error;
  const code = codeOf(error);
  if (code.startsWith("HPE_")) {
    return new ProtocolError(`Cannot read KMS's answer: it is not HTTP/1.1 (${code})`, {
      hint: "Does the endpoint lead to KMS, or to a proxy that speaks another protocol?",
    });
  }
  return new ConnectionError(`Cannot complete the request to KMS: the connection broke${suffix(code)}`, {
    hint: "Did the proxy on the parent restart, or reach a limit of its own?",
    cause: error,
  });
}

/** Nobody listens, or who does closes at once. By Deno's names, too. */
const PASSING_CODES =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ENOENT|EAGAIN|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ConnectionRefused|ConnectionReset)$/;

const UNTRUSTED =
  "Is the service's certificate authority in trustedCertificates, or in the runtime's store if there are none? " +
  "Deno also reports an expired certificate like this: is the enclave's clock right?";

const WRONG_CLOCK = () =>
  "Is the enclave's clock right? The service's certificate is not valid at the time it shows";

const CERTIFICATE_HINTS: Readonly<Record<string, (hostName: string) => string>> = {
  CERT_HAS_EXPIRED: WRONG_CLOCK,
  CERT_NOT_YET_VALID: WRONG_CLOCK,
  ERR_TLS_CERT_ALTNAME_INVALID: (hostName) =>
    `Does the endpoint lead to ${hostName}? The certificate there is for another name; check region and hostName`,
};

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Over vsock the code is only in the message, at its end. */
function openCodeOf(error: ConnectionError): string {
  return codeOf(error.cause) || (/: (\w+)$/.exec(error.message)?.[1] ?? "");
}

function suffix(code: string): string {
  return code === "" ? "" : ` (${code})`;
}
