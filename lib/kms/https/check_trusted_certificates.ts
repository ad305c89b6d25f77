import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { CertificateError } from "../../core/errors.ts";
import { isGranted } from "../../native/deno_rights.ts";

/**
 * Checks the certificates that replace the runtime's own trust store.
 *
 * @param certificates PEM, one or more certificates in each text; text between them is passed over
 * @returns One PEM text for each certificate
 * @throws {TypeError} If there is none, or one cannot be read
 */
export function checkTrustedCertificates(certificates: string | readonly string[]): readonly string[] {
  const texts = typeof certificates === "string" ? [certificates] : certificates;
  if (!Array.isArray(texts) || texts.length === 0) throw malformed("expected PEM text or a list of it");
  return texts.flatMap((text, index) => certificatesOf(text, index));
}

/**
 * Checks that the runtime has certificate authorities of its own. It brings some along, unless it is to use the
 * system's instead (Node with `--use-openssl-ca`, or as a distribution built it; Deno with
 * `DENO_TLS_CA_STORE=system`), and those are not there. Node before 22.15, and Deno without rights for the
 * environment, cannot be asked; the handshake fails then.
 *
 * @throws {CertificateError} When there are none
 */
export function checkRuntimeTrust(): void {
  const { getCACertificates } = tls as { getCACertificates?: (type: "default") => readonly string[] };
  if (getCACertificates === undefined || !isGranted({ name: "env" }, { name: "sys", kind: "ca" })) return;
  let reason = "its store is empty";
  try {
    if (getCACertificates("default").length > 0) return;
  } catch (error) {
    reason = error instanceof Error ? error.message : "its store cannot be read";
  }
  throw new CertificateError(`Cannot trust KMS: the runtime has no certificate authorities: ${reason}`, {
    hint: "Is --use-openssl-ca or DENO_TLS_CA_STORE set, and no certificate where SSL_CERT_FILE and " +
      "SSL_CERT_DIR point? Unset it, give trustedCertificates, or put a CA bundle into the image",
  });
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function certificatesOf(text: unknown, index: number): readonly string[] {
  const found = typeof text === "string" ? text.match(CERTIFICATE) : null;
  if (found === null) {
    throw malformed(`text ${index} holds no PEM certificate${isPath(text) ? PATH_GIVEN : ""}`);
  }
  for (const [place, pem] of found.entries()) {
    if (!isReadable(pem)) throw malformed(`certificate ${place} of text ${index} cannot be read`);
  }
  return found;
}

const PATH_GIVEN = ": it looks like a file name; give the text of the file";

function isPath(text: unknown): boolean {
  return typeof text === "string" && /^(?:\.{0,2}\/|file:)\S+$/.test(text);
}

function isReadable(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

function malformed(reason: string): TypeError {
  return new TypeError(`Cannot use trustedCertificates: ${reason}`);
}
