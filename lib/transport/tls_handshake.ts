import type { TLSSocket } from "node:tls";

/**
 * Resolves when a handshake is over and the peer's certificate was accepted.
 *
 * @param socket TLS of a client
 * @throws {Error} The runtime's own, or one without a code when the connection closes first
 */
export function untilSecure(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("close", () => reject(new Error("closed")));
    // Stays for good: an error between two owners of the socket must not end the process.
    socket.on("error", reject);
  });
}

/**
 * Tells the faults of a certificate from those of a connection.
 *
 * @param code The `code` of a failed handshake, on either runtime
 */
export function isCertificateFault(code: string): boolean {
  return CERTIFICATE_CODES.test(code);
}

// UNSPECIFIED is Node's word for the reasons that it has no name for, such as an issuer that may not sign.
const CERTIFICATE_CODES = new RegExp(
  "^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|" +
    "PATH_LENGTH_EXCEEDED|CRL_|ERROR_IN_CERT_|ERR_TLS_CERT_|ERR_SSL_CERTIFICATE_|ERR_SSL_INVALID_PURPOSE|" +
    "UNSPECIFIED$)",
);
