import { X509Certificate } from "node:crypto";

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

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function certificatesOf(text: unknown, index: number): readonly string[] {
  const found = typeof text === "string" ? text.match(CERTIFICATE) : null;
  if (found === null) throw malformed(`text ${index} holds no PEM certificate`);
  for (const [place, pem] of found.entries()) {
    if (!isReadable(pem)) throw malformed(`certificate ${place} of text ${index} cannot be read`);
  }
  return found;
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
