import { X509Certificate } from "node:crypto";
import { isGranted } from "../../native/deno_rights.ts";
import tls, { type DetailedPeerCertificate, type TLSSocket } from "node:tls";

/** Whether the runtime's TLS accepts certificates that nobody signed: see {@link checkPeerChain}. */
export const ACCEPTS_FORGED_CHAINS: boolean = "Deno" in globalThis;

/** Most certificates of a chain that are looked at: KMS shows four. */
const MAX_LENGTH = 8;

/**
 * Checks once more that a peer's certificates lead to a trusted one, each signed by the next.
 *
 * Deno needs this. Where its TLS library cannot read one of the certificates (they are older than version 3, or badly
 * encoded), Deno 2.9.5 accepts the chain when the names in it fit, and checks no signature: neither those of the
 * certificates, nor the peer's own in the handshake. Anybody on the way could be KMS.
 *
 * @param socket Connection whose handshake is over
 * @param roots Trusted certificates
 * @param nowMs Time at which the chain must be valid, milliseconds since 1970
 * @throws {Error} With OpenSSL's name for the fault in `code`
 */
export function checkPeerChain(
  socket: TLSSocket,
  roots: readonly X509Certificate[],
  nowMs: number = Date.now(),
): void {
  const presented = presentedBy(socket);
  let current = presented[0];
  for (let length = 0; current !== undefined && length < MAX_LENGTH; length++) {
    const certificate: X509Certificate = current;
    if (!isVersion3(certificate.raw) || (length > 0 && !certificate.ca)) throw refused("INVALID_CA");
    if (!isValidAt(certificate, nowMs)) throw refused("CERT_HAS_EXPIRED");
    if (roots.some((root) => root.raw.equals(certificate.raw) || isSignedBy(certificate, root))) return;
    current = presented.find((other) => other !== certificate && isSignedBy(certificate, other));
  }
  throw refused("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
}

/**
 * Reads trusted certificates.
 *
 * @param pem PEM, one certificate in each text. Default: the runtime's own authorities; without rights for the
 *   environment, on Deno, those that it brings along
 */
export function readRoots(pem?: readonly string[]): readonly X509Certificate[] {
  return (pem ?? runtimeRoots()).flatMap((text) => {
    try {
      return [new X509Certificate(text)];
    } catch {
      return []; // the system's store may hold what cannot be read, and vouches for nothing then
    }
  });
}

function runtimeRoots(): readonly string[] {
  const mayAsk = isGranted({ name: "env" }, { name: "sys", kind: "ca" });
  return mayAsk ? tls.getCACertificates("default") : tls.rootCertificates;
}

function presentedBy(socket: TLSSocket): readonly X509Certificate[] {
  const found: X509Certificate[] = [];
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
  for (; next?.raw !== undefined && found.length < MAX_LENGTH; next = next.issuerCertificate) {
    const { raw } = next;
    if (found.some((certificate) => certificate.raw.equals(raw))) break;
    found.push(read(raw));
  }
  return found;
}

function read(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    throw refused("ERROR_IN_CERT_FIELD");
  }
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false; // of a kind of key or signature that the runtime does not know
  }
}

function isValidAt({ validFrom, validTo }: X509Certificate, nowMs: number): boolean {
  return nowMs >= Date.parse(validFrom) && nowMs <= Date.parse(validTo);
}

/** Looks for the version behind the two outer headers: a certificate without one is of version 1. */
function isVersion3(der: Uint8Array): boolean {
  const inner = headerLength(der, 0);
  const first = inner + headerLength(der, inner);
  return VERSION_3.every((byte, index) => der[first + index] === byte);
}

const VERSION_3 = [0xa0, 3, 2, 1, 2];

/** Counts the bytes of the tag and the length at a place. */
function headerLength(der: Uint8Array, at: number): number {
  const length = der[at + 1] ?? 0;
  return length < 0x80 ? 2 : 2 + (length & 0x7f);
}

function refused(code: string): Error {
  return Object.assign(new Error("the certificate chain is not valid"), { code });
}
